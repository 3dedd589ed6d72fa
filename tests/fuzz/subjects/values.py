"""Values of settings, up to the moment at which round 1 would begin; a group of plugins a subject.

A value is refused in one sentence that names the setting, or round 1 begins, without a warning.
Every setting is given every value that `fuzz.values.candidates` has for it, in a shuffled order;
inputs beyond those change two or three settings of an experiment at once.
"""

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from random import Random
from typing import Any

from fedsim import plugins
from fedsim.errors import FedsimError, shown
from fedsim.plugins.error_sentences import OURS
from fuzz.corpus import Corpus
from fuzz.harness import Subject, unclear
from fuzz.values.bases import FULL, Tree, first_try, sound_base
from fuzz.values.candidates import values_for
from fuzz.values.places import GROUP_PATHS, Place, plugin_places, section_places, with_value
from fuzz.values.running import begin
from fuzz.values.toy_data import write_files

SECTIONS = "sections"
MODULES = (
    *("json", "builtins", "collections", "math", "toys", "no_such_module"),
    *("torch", "torch.nn", "torch.nn.functional", "torch.optim"),
)
"""Modules that candidates name."""
MOST_BYTES = 3 << 30  # a model may be large
FORKS = frozenset({"os.fork"})  # processes of the local engine
CONSEQUENCES = ("memory", "audit.known", "audit.canaries", "records of shape", "training pool")
"""What sentences name that a setting has brought about without being wrong in itself."""
PYTHON_ERROR = re.compile(r"\b[A-Z]\w*(Error|Exception|Warning): ")


@dataclass(frozen=True)
class Base:
    """An experiment to start from, and the settings of it that are given values.

    `sentence` is why even this one is refused; "" where it begins.
    """

    group: str
    what: str
    tree: Tree
    places: tuple[Place, ...]
    sentence: str = ""
    of_others: bool = False


@dataclass(frozen=True)
class Given:
    """An experiment with values at some places of a base."""

    base: Base
    places: tuple[Place, ...]
    values: tuple[Any, ...]

    @property
    def tree(self) -> Tree:
        """The experiment."""
        tree: Tree = copy.deepcopy(self.base.tree)
        for place, value in zip(self.places, self.values, strict=True):
            tree = with_value(tree, place.path, copy.deepcopy(value))
        return tree

    @property
    def names(self) -> set[str]:
        """What a sentence may call what was changed: the setting by its key, or what was given."""
        names = {str(key) for place in self.places for key in self._keys(place)}
        if self.of_others:  # it does not tell which of its settings it refuses
            names.add(self.base.what)
        for value in self.values:
            inside = list(value) if isinstance(value, list | dict) else [value]
            inside += [value.get("name")] if isinstance(value, dict) else []
            names |= {shown(one).strip("'") for one in inside if isinstance(one, str) and one}
            names |= {shown(one) for one in (value, *inside) if isinstance(one, int | float)}
            names |= {str(float(one)) for one in inside if isinstance(one, int) and one < 2**1000}
        return names - {"", "True", "False"}

    def _keys(self, place: Place) -> Iterator[str | int]:
        """Yield the keys that say which setting it is: its own, and of those that it is in."""
        of_plugin = place in self.base.places
        depth = len(GROUP_PATHS.get(self.base.group, ())) if of_plugin else 0
        own = [key for key in place.path[depth:] if isinstance(key, str)]
        yield from own if depth else own[-1:]
        if place.path[-1] == "name" or "given" in place.path:
            yield place.path[0]

    @property
    def of_others(self) -> bool:
        """Whether another library's code may be what refuses a value."""
        given = str(self.values)
        a_class = any(isinstance(one, type) for one in self.values)
        return self.base.of_others or a_class or any(f"{one}:" in given for one in MODULES)

    def __str__(self) -> str:
        return f"{self.base.what}: " + "; ".join(
            f"{'.'.join(map(str, place.path))} = {value!r}"[:200]
            for place, value in zip(self.places, self.values, strict=True)
        )


class ValuesOfSettings(Subject):
    """A group of plugins, or the sections of an experiment, with all their settings.

    Parameters
    ----------
    group
        A group of plugins, or `SECTIONS`.
    folder
        Where files may be written.
    """

    def __init__(self, group: str, folder: Path) -> None:
        self.group, self.folder = group, folder
        self.data = folder / "data of values"
        if not self.data.is_dir():
            write_files(self.data)
        self.accepted: list[Given] = []
        self._bases: dict[str, Base] = {}
        super().__init__(f"values of {group}", self._mixed, self._begin, FORKS, MOST_BYTES)

    @cached_property
    def places(self) -> Mapping[str, tuple[Place, ...]]:
        """The settings of each plugin of the group."""
        if self.group == SECTIONS:
            return {SECTIONS: section_places()}
        return {name: plugin_places(self.group, name) for name in plugins.available(self.group)}

    @cached_property
    def singles(self) -> Sequence[tuple[str, Place, Any]]:
        """Every value at every place of every plugin, one at a time."""
        found = [
            (name, place, value)
            for name, places in self.places.items()
            for place in places
            for value in [*values_for(place), *_names_at(place)]
        ]
        Random(self.name).shuffle(found)
        return found

    def input_of(self, number: int, seed: int) -> Given:
        """Return a single value, or behind the last of them a mixture."""
        if number < len(self.singles):
            name, place, value = self.singles[number]
            return Given(self.base(name), (place,), (value,))
        return self._mixed(self.random(number, seed))

    def problem_of(self, broken: Given, sentence: str) -> str | None:
        """Return why a sentence does not serve, or None."""
        if problem := unclear(sentence):
            return problem
        if broken.base.sentence and sentence == broken.base.sentence:
            return None
        if PYTHON_ERROR.search(sentence) and not broken.of_others:
            return "a sentence with an exception's name in it"
        if not any(name in sentence for name in {*broken.names, *CONSEQUENCES}):
            return "a sentence that does not name the setting"
        return None

    def _mixed(self, random: Random) -> Given:
        name = random.choice([name for name, places in self.places.items() if places])
        own = self.places[name]
        beside = [*own, *section_places()]
        places = [random.choice(own), *random.choices(beside, k=random.choice((1, 1, 2)))]
        values = [random.choice(values_for(place)) for place in places]
        return Given(self.base(name), tuple(places), tuple(values))

    def _begin(self, broken: Given, folder: Path) -> None:
        begin(broken.tree, folder, self.data)
        self.accepted.append(broken)

    def base(self, name: str) -> Base:
        """Return the experiment in which a plugin is tried."""
        if name not in self._bases:
            self._bases[name] = self._new_base(name)
        return self._bases[name]

    def _new_base(self, name: str) -> Base:
        if self.group == SECTIONS:
            return Base(SECTIONS, SECTIONS, FULL, self.places[name])
        sentence, others = "", self._is_of_others(name)
        tree = sound_base(self.group, name, lambda tree: begin(tree, self.folder, self.data))
        if tree is None:
            tree = first_try(self.group, name)
            try:
                begin(tree, self.folder, self.data)
            except FedsimError as error:
                sentence = str(error)
        return Base(self.group, name, tree, self.places[name], sentence, others)

    def _is_of_others(self, name: str) -> bool:
        module = plugins.resolve(self.group, name).__module__
        return module.partition(".")[0] not in OURS


def _names_at(place: Place) -> Iterator[str]:
    """Yield the names of all plugins of a group where one is named."""
    for group, path in GROUP_PATHS.items():
        if place.path in ((*path, "name"), path):
            yield from plugins.available(group)


def _subject(group: str, corpus: Corpus) -> Subject:
    return ValuesOfSettings(group, corpus.folder)


GROUPS = (SECTIONS, *plugins.GROUPS)
VALUES: Mapping[str, Callable[[Corpus], Subject]] = {
    f"values of {group}": partial(_subject, group) for group in GROUPS
}
