"""Reading data with parts that are not valid: collecting their faults, and reading the rest.

Faulty parts are removed, or replaced if they are required, and the rest is read again until it is
valid. The rest can then be checked further before all faults are reported together.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from fedsim.config.faults import faults_in
from fedsim.plugins.plain_data import as_json, plain_data_faults

Schema = TypeVar("Schema", bound=BaseModel)
IN_PARTS = {"in parts": True}
"""The context in which a model does not compare its sections: some may be replaced."""
_MOST_PASSES = 12


@dataclass(frozen=True)
class PartsOfSchema:
    """The parts of a schema, each of which can be left out.

    Attributes
    ----------
    depths
        The number of keys that name a part, by its location; by default one.
    stand_ins
        The replacement of a faulty part that is required; by default the schema's default.
    """

    depths: Mapping[str, int]
    stand_ins: Mapping[str, Any]

    def part_of(self, location: Sequence[str | int]) -> tuple[str, ...]:
        """Return the keys of the part that a place is in."""
        # pydantic puts the branch of a union in round brackets, and "[key]" after a bad key.
        keys = tuple(str(one) for one in location if str(one)[:1] not in ("(", "["))
        inside = [depth for where, depth in self.depths.items() if _is_below(keys, where)]
        return keys[: max(inside, default=1)]


@dataclass(frozen=True)
class PartlyRead(Generic[Schema]):
    """What could be read, what is wrong with the rest, and which parts are replaced."""

    valid: Schema | None
    faults: tuple[str, ...]
    broken: frozenset[str]


def read_partly(
    tree: Mapping[str, Any], schema: type[Schema], parts: PartsOfSchema
) -> PartlyRead[Schema]:
    """Return data of type `schema` as far as they are valid.

    Parameters
    ----------
    tree
        The data, as YAML or JSON has it.
    schema, parts
        What they are to be, and into what they fall.
    """
    broken: set[str] = set()
    not_plain = list(plain_data_faults(tree))
    faults = [sentence for _, sentence in not_plain]
    if any(not path for path, _ in not_plain):
        return PartlyRead(None, tuple(faults), frozenset())
    # All at once: what is taken out of a list moves what follows it.
    tree = _without(tree, [parts.part_of(path) for path, _ in not_plain], parts, broken)
    for _ in range(_MOST_PASSES):
        text = as_json(tree)
        try:
            valid = schema.model_validate_json(text, context=IN_PARTS)
        except ValidationError as error:
            places = [(one["type"], one["loc"]) for one in error.errors(include_url=False)]
            message = _told(error, schema, broken, parts)
            faults += [one for one in message if one not in faults]
            at_fault = [_at_fault(kind, place, parts) for kind, place in places]
            if () in at_fault:  # of the whole
                return PartlyRead(None, tuple(faults), frozenset(broken))
            tree = _without(json.loads(text), at_fault, parts, broken)
            continue
        return PartlyRead(valid, tuple(faults), frozenset(broken))
    return PartlyRead(None, tuple(faults), frozenset(broken))


def _told(
    error: ValidationError, schema: type[BaseModel], broken: set[str], parts: PartsOfSchema
) -> list[str]:
    """Return the faults of an error; those of parts that were at fault before are consequences."""
    if not broken:
        return faults_in(error, schema)
    new = [
        one
        for one in error.errors(include_url=False)
        if ".".join(parts.part_of(one["loc"])) not in broken
    ]
    return faults_in(error, schema, new)


def _at_fault(kind: str, place: Sequence[str | int], parts: PartsOfSchema) -> tuple[str, ...]:
    """Return which part has to go; a part in which something is missing goes whole."""
    if kind == "extra_forbidden":
        return tuple(str(one) for one in place if str(one)[:1] not in ("(", "["))
    return parts.part_of(place)


def _without(
    tree: Mapping[str, Any],
    paths: Sequence[tuple[str, ...]],
    parts: PartsOfSchema,
    broken: set[str],
) -> dict[str, Any]:
    """Return the tree without some parts; those that must be there are replaced."""
    found: Any = tree
    # From the end of each list, so that positions hold.
    for path in sorted(set(paths), key=_position, reverse=True):
        dotted = ".".join(path)
        if dotted in broken and dotted not in parts.stand_ins and len(path) > 1:
            path = path[:-1]  # it is missing, though it was only taken out: the whole goes
            dotted = ".".join(path)
        found = _replaced(found, path, parts.stand_ins.get(dotted))
        broken.add(_name(tree, path))
    return dict(found)


def _name(tree: Any, path: tuple[str, ...]) -> str:
    """Return a part's name; what stands at a position of a list afterwards is another part."""
    for key in path[:-1]:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return ".".join((*path[:-1], f"#{path[-1]}" if isinstance(tree, list | tuple) else path[-1]))


def _position(path: tuple[str, ...]) -> tuple[Any, ...]:
    return (len(path), *map(_place, path), path)


def _place(key: str) -> int:
    """Return the position in a list that a key may be; -1 if it is none."""
    return int(key) if len(key) < 10 and key.isdecimal() else -1


def _replaced(tree: Any, path: tuple[str, ...], value: Any) -> Any:
    """Return a tree with another value at a place, or without the place where that is None."""
    first, *rest = path
    if isinstance(tree, Mapping):
        held = {str(key): one for key, one in tree.items()}
        new = _replaced(held[first], tuple(rest), value) if rest and first in held else value
        return {k: v for k, v in {**held, first: new}.items() if v is not None or k != first}
    place = _place(first)
    if isinstance(tree, list | tuple) and 0 <= place < len(tree):
        new = _replaced(tree[place], tuple(rest), value) if rest else value
        return [*tree[:place], *([] if new is None else [new]), *tree[place + 1 :]]
    return tree


def _is_below(keys: tuple[str, ...], where: str) -> bool:
    prefix = tuple(where.split("."))
    return keys[: len(prefix)] == prefix
