"""The tables on the page of settings, generated from the classes that check an experiment.

The page is committed with its tables, so that it can be read in the repository. This program (it is
``make settings``) writes them anew; a test and the build of the documentation fail while they are
stale. A table goes between two comments, ``<!-- settings: experiment -->`` (or the name of a group
of plugins instead of ``experiment``) and ``<!-- end of settings -->``.

Names, types and defaults come from the classes and signatures. What a setting means comes from the
docstring of its class or plugin, or, where that says nothing, from ``settings-words.yaml``. A
setting without words, and words without a setting, are warnings, hence errors.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, get_args

from numpydoc.docscrape import NumpyDocString
from pydantic import BaseModel
from schema_words import default_in_words, type_in_words
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging

from fedsim import plugins
from fedsim.config.choice import Choice
from fedsim.config.experiment import Experiment
from fedsim.config.yaml_files import parse_yaml

PAGE = "settings"
MARK = re.compile(r"<!-- settings: (\w+) -->\n.*?<!-- end of settings -->", re.DOTALL)
SAME_AS = re.compile(r"(?:See|As in) `+([\w.]+)`+\.")
SEE_TABLE = re.compile(r"[,;] see `[\w.]+(?:Settings|Changes)`")
OWN_PART = re.compile(r"\[\w+(?:Settings|Training|Round)\]\(#\w+\)")
FROM_THE_RUN = "from the run"
ORIGIN = "fedsim"
Schema = dict[str, Any]


@dataclass
class Words:
    """What settings mean, by their dotted place; notes which were asked for."""

    of: Mapping[str, str]
    asked: set[str] = field(default_factory=set)

    def __getitem__(self, place: str) -> str:
        self.asked.add(place)
        return self.of.get(place, "")

    def faults(self) -> Iterator[str]:
        """Yield what is missing and what is left over, once all was asked for."""
        for place in sorted(self.asked - self.of.keys()):
            yield f"neither a docstring nor settings-words.yaml says what {place} means"
        for place in sorted(self.of.keys() - self.asked):
            yield f"settings-words.yaml tells of {place}, which needs no words, or is no setting"


def page_of_settings(text: str, words: Words) -> str:
    """Return the page with its tables, made anew, between the comments that mark their places."""
    return MARK.sub(lambda mark: _marked(mark[1], words), text)


def _marked(what: str, words: Words) -> str:
    tables = re.sub(r"\n{3,}", "\n\n", "\n".join(TABLES[what](words))).strip()
    return f"<!-- settings: {what} -->\n\n{tables}\n\n<!-- end of settings -->"


def _experiment(words: Words) -> Iterator[str]:
    yield from _section(Experiment, "", words)


def _section(model: type[BaseModel], place: str, words: Words) -> Iterator[str]:
    """Yield the table of a part of an experiment, then those of the parts in it."""
    schema = model.model_json_schema()
    properties: Schema = schema["properties"]
    if place:
        named = properties.get("name", {}).get("const")
        yield f"\n### `{place}`" + (f" named `{named}`" if named else "") + "\n"
        yield _introduction(model)
    described = _documented_with_bases(model)
    defs = schema.get("$defs", {})
    yield from _table(
        Row(
            name,
            _linked(type_in_words(of, defs), f"{place}.{name}".lstrip(".")),
            _default(name, of, schema),
            described.get(name) or words[f"{place}.{name}".lstrip(".")],
        )
        for name, of in properties.items()
    )
    for name, found in model.model_fields.items():
        for kind in _models(found.annotation):
            if kind.model_fields.keys() - Choice.model_fields.keys():
                yield from _section(kind, f"{place}.{name}".lstrip("."), words)


def _linked(takes: str, place: str) -> str:
    """Return what a setting takes with its class's name as a link to the part that it describes."""
    anchor = f"[`{place}`](#{place.replace('.', '').lower()})"
    return OWN_PART.sub(anchor, takes)


def _introduction(model: type[BaseModel]) -> str:
    text = NumpyDocString(inspect.getdoc(model) or "")
    return _markdown("\n".join([*text["Summary"], "", *text["Extended Summary"]])) + "\n"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _plugins(group: str, words: Words) -> Iterator[str]:
    """Yield a section for each of our plugins of a group, and for the settings inside settings."""
    inside: dict[str, Schema] = {}
    for name, point in plugins.available(group).items():
        if point.dist is None or point.dist.name != ORIGIN:
            continue
        plugin = plugins.resolve(group, name)
        yield from _settings(name, plugin, plugins.GROUPS[group], words, inside)
    yield from _inside(inside, words)


def _settings(
    name: str,
    plugin: Callable[..., Any],
    group: plugins.Group,
    words: Words,
    inside: dict[str, Schema],
) -> Iterator[str]:
    yield f"\n### `{name}`\n"
    yield _markdown(plugins.summary(plugin)) + "\n"
    provided = group.provided
    schema = plugins.settings_schema(plugin, provided, group.arguments).model_json_schema()
    defs = schema.get("$defs", {})
    inside |= defs
    described = _documented_with_bases(plugin)
    rows = [
        Row(
            setting,
            type_in_words(of, defs),
            FROM_THE_RUN if setting in provided else _default(setting, of, schema),
            described.get(setting) or words[f"{name}.{setting}"],
        )
        for setting, of in schema.get("properties", {}).items()
        if (setting in described or setting not in provided) and "const" not in of
    ]
    yield from _table(rows)
    if not rows:
        yield "It has no settings.\n"


def _inside(schemas: Mapping[str, Schema], words: Words) -> Iterator[str]:
    """Yield the tables of settings that are inside others: dataclasses of the attacks."""
    for name, schema in schemas.items():
        kind = _dataclass(name)
        described = _documented(kind)
        yield f"\n### {name}\n"
        yield _markdown(plugins.summary(kind)) + "\n"
        yield from _table(
            Row(
                setting,
                type_in_words(of, schemas),
                _default(setting, of, schema),
                described.get(setting) or words[f"{name}.{setting}"],
            )
            for setting, of in schema["properties"].items()
        )


class Row(NamedTuple):
    """A setting in words: its name, what it takes, its default, and what it means."""

    name: str
    takes: str
    default: str
    meaning: str


def _table(rows: Iterable[Row]) -> Iterator[str]:
    lines = [f"| `{row.name}` | {row.takes} | {row.default} | {row.meaning} |" for row in rows]
    if lines:
        yield "| setting | what it takes | default | what it means |"
        yield "|---|---|---|---|"
        yield from lines
        yield ""


def _default(name: str, of: Schema, schema: Schema) -> str:
    return "must be given" if name in schema.get("required", ()) else default_in_words(of)


def _documented(plugin: Callable[..., Any]) -> dict[str, str]:
    """Return what a docstring says of each parameter or attribute, other docstrings followed."""
    text = NumpyDocString(inspect.getdoc(plugin) or "")
    found = {
        name.strip(): " ".join(line.strip() for line in entry.desc)
        for entry in [*text["Parameters"], *text["Attributes"]]
        for name in entry.name.split(",")
    }
    return {name: _followed(name, said) for name, said in found.items()}


def _documented_with_bases(plugin: Callable[..., Any]) -> dict[str, str]:
    """Return what the docstrings of a plugin, and of the classes it derives from, say of each."""
    kinds = reversed(inspect.getmro(plugin)) if isinstance(plugin, type) else (plugin,)
    return {name: said for kind in kinds for name, said in _documented(kind).items()}


def _followed(name: str, said: str) -> str:
    reference = SAME_AS.fullmatch(said)
    if reference is None:
        return re.sub(r"\bNone\b", "`null`", SEE_TABLE.sub("", _markdown(said)))
    return _documented(_dataclass(reference[1].rpartition(".")[2]))[name]


def _dataclass(name: str) -> Callable[..., Any]:
    """Return one of the classes that settings are documented in, by its bare name."""
    for home in HOMES:
        if found := getattr(import_module(home), name, None):
            return found  # type: ignore[no-any-return]
    raise ExtensionError(f"no class {name} with settings in {', '.join(HOMES)}")


HOMES = (
    "adversaries.inference.autoencoder",
    "adversaries.inference.input_selection",
    "adversaries.inference.lira",
    "adversaries.inference.network",
    "adversaries.inference.training_settings",
    "adversaries.inference.plans",
    "adversaries.inference.supervised",
    "adversaries.inference.unsupervised",
    "adversaries.positions.gradient_ascent",
)

TABLES: Mapping[str, Callable[[Words], Iterator[str]]] = {
    "experiment": _experiment,
    **{group: partial(_plugins, group) for group in plugins.GROUPS},
}


def _markdown(docstring: str) -> str:
    """Return a docstring's words as Markdown."""
    return docstring.replace("``", "`")


def read_words(path: Path) -> Words:
    """Return what settings mean, as a file says."""
    return Words(parse_yaml(path.read_text(encoding="utf-8"), str(path)))


def _check_tables(app: Sphinx, page: str, source: list[str]) -> None:
    if page == PAGE:
        words = read_words(app.srcdir / "settings-words.yaml")
        fresh = page_of_settings(source[0], words)
        stale = [] if fresh == source[0] else ["its tables are stale; `make settings` renews them"]
        for fault in [*stale, *words.faults()]:
            logging.getLogger(__name__).warning(fault, location=page)
        source[0] = fresh


def setup(app: Sphinx) -> dict[str, bool]:
    """Check the page when it is read."""
    app.connect("source-read", _check_tables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def main() -> None:
    """Write the tables of the page anew, where it lies."""
    docs = Path(__file__).resolve().parents[1]
    page = docs / f"{PAGE}.md"
    text = page.read_text(encoding="utf-8")
    words = read_words(docs / "settings-words.yaml")
    page.write_text(page_of_settings(text, words), encoding="utf-8")
    for fault in words.faults():
        print(fault, file=sys.stderr)


if __name__ == "__main__":
    main()
