"""Where a setting stands in an experiment: read off the classes that check one, so that new ones
are found by themselves.

A place is a path of keys and positions, and the type that a value there is to have.
"""

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from itertools import pairwise
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fedsim import plugins
from fedsim.config.choice import Choice, LabelledChoice
from fedsim.config.experiment import Experiment
from fedsim.config.metrics import MetricChoice

Path = tuple[str | int, ...]

GROUP_PATHS: Mapping[str, Path] = {
    "datasets": ("data",),
    "partitioners": ("partition",),
    "models": ("model",),
    "objectives": ("objective",),
    "optimizers": ("federation", "local", "optimizer"),
    "trainers": ("federation", "local", "trainer"),
    "strategies": ("federation", "strategy"),
    "defences": ("defences", 0),
    "adversaries": ("adversaries", 0, "together", 0),
    "attacks": ("attacks", 0),
    "metrics": ("metrics", 0),
    "engines": ("engine",),
    "canaries": ("audit", "canaries", 0),
}
"""Where an experiment names a member of each group."""

POSITIONS: Mapping[type, Path] = {LabelledChoice: (0,), MetricChoice: (0,)}
"""In a list of those, the one that is looked at."""


@dataclass(frozen=True)
class Place:
    """A setting: where it stands, the type of its values, and its default (None: there is none)."""

    path: Path
    kind: Any
    default: Any = None
    required: bool = False

    @property
    def names(self) -> frozenset[str]:
        """What a sentence may call it."""
        return frozenset(str(part) for part in self.path if isinstance(part, str))


def section_places() -> tuple[Place, ...]:
    """Return every setting of an experiment that is no plugin's own."""
    return tuple(_inside(Experiment, ()))


def plugin_places(group: str, name: str) -> tuple[Place, ...]:
    """Return every setting of a plugin, those inside of settings included."""
    provided, arguments = plugins.GROUPS[group].provided, plugins.GROUPS[group].arguments
    schema = plugins.settings_schema(plugins.resolve(group, name), provided, arguments)
    return tuple(place for place in _inside(schema, GROUP_PATHS[group]) if place.path[-1] != "name")


def with_value(tree: Any, path: Path, value: Any) -> Any:
    """Put a value at a place of a tree, making what leads there, and return the tree.

    What leads there and holds something else is a short form: a name alone, or null.
    """
    root = {"": tree}
    container: Any = root
    way: Path = ("", *path)
    for key, following in pairwise(way):
        inside = container[key] if _has(container, key) else None
        _put(container, key, _holding(inside, following))
        container = container[key]
    _put(container, way[-1], value)
    return root[""]


def _put(container: Any, key: str | int, value: Any) -> None:
    """Set a value; behind a list's end, at its end."""
    if isinstance(container, list) and not _has(container, key):
        container.append(value)
    else:
        container[key] = value


def _has(container: Any, key: str | int) -> bool:
    return key < len(container) if isinstance(key, int) else key in container


def _holding(value: Any, key: str | int) -> Any:
    """Return a value as what a key may stand in."""
    if isinstance(key, int):
        return value if isinstance(value, list) else []
    if isinstance(value, str):
        return {"name": value}
    return value if isinstance(value, dict) else {}


def _inside(schema: type, path: Path) -> Iterator[Place]:
    for name, field in _fields(schema).items():
        kind = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        default = None if field.is_required() else field.get_default(call_default_factory=False)
        yield Place((*path, name), kind, default, field.is_required())
        for inner in dict.fromkeys(_classes_in(field.annotation)):
            if inner is Choice or _fields(inner):
                behind = _position(field.annotation, inner)
                yield from _inside(inner, (*path, name, *behind))


def _fields(schema: type) -> Mapping[str, FieldInfo]:
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return schema.model_fields
    if is_dataclass(schema):
        hints = get_type_hints(schema, include_extras=True)
        return {
            one.name: FieldInfo.from_annotated_attribute(hints[one.name], one.default)
            for one in fields(schema)
        }
    return {}


def _classes_in(annotation: Any) -> Iterator[type]:
    """Yield the classes of settings that a value of some type may be, or hold."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _classes_in(get_args(annotation)[0])
    elif origin in (Union, types.UnionType, tuple, list):
        for part in get_args(annotation):
            yield from _classes_in(part)
    elif isinstance(annotation, type) and (is_dataclass(annotation) or _fields(annotation)):
        yield annotation


def _position(annotation: Any, inner: type) -> Path:
    """Return the way from a value to the class in it: the first place of a list, or nothing."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _position(get_args(annotation)[0], inner)
    return (0,) if origin in (tuple, list) else ()
