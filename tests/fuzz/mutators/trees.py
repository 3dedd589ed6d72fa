"""Breaking plain data, as JSON and YAML hold it, value by value and key by key."""

import copy
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 2, 255, 2**31, 2**53, 2**63, -(2**63), 2**64, 10**12, 10**30, 10**400),
    *(0.0, -0.0, 0.5, 1.5, -1.0, 1e-320, 1e308, float("nan"), float("inf"), float("-inf")),
)
TEXTS: tuple[str, ...] = (
    *("", " ", "a", "0", "-1", "1e9", "nan", "null", "true", "mean", "\0", "\n", "a\nb", "\r\n"),
    *("\x1b[2J\x1b[31m", "\u202e", "\ufeff", "\ud800", "\U0001f600", "<script>alert(1)</script>"),
    *("../../outside", "/outside", "C:\\outside", "a/b", "..", ".", "~", "$HOME", "a" * 300),
    *("{scale}", "{0}", "{x}", "{", "%s", "{scale:>999999999999}", "x" * 100_000, "9" * 5000),
    *("__class__", "__init__", "no_such_module:thing", "json:dumps", "honest", "participant-0"),
)
CONTAINERS: tuple[Any, ...] = ([], {}, [[]], [None], {"": None}, {"name": None}, [0, "a", {}])
OTHERS: tuple[Any, ...] = (None, True, False)


def mutated(tree: Any, random: Random, keys: Sequence[str] = ()) -> Any:
    """Return `tree` after one to four random changes; `keys` are names worth a try."""
    root = {"root": copy.deepcopy(tree)}
    for _ in range(random.choice((1, 1, 1, 2, 3, 4))):
        _change(root, random, keys)
    return root.get("root")


def scalar(random: Random) -> Any:
    """Return a number, a text or a constant that has surprised a reader before."""
    return random.choice(random.choice((NUMBERS, TEXTS, OTHERS)))


def nested(depth: int, leaf: Any = None) -> Any:
    """Return lists in lists."""
    for _ in range(depth):
        leaf = [leaf]
    return leaf


def _change(root: dict[str, Any], random: Random, keys: Sequence[str]) -> None:
    if not root:  # an earlier change has removed it all
        root["root"] = scalar(random)
    container, key = random.choice(list(_places(root)))
    random.choice(CHANGES)(container, key, random, keys)


def _places(tree: Any) -> Any:
    """Yield every (container, key) that holds a value."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in list(pairs):
        yield tree, key
        if isinstance(value, dict | list) and value:
            yield from _places(value)


def _replace(container: Any, key: Any, random: Random, keys: Sequence[str]) -> None:
    container[key] = scalar(random)


def _replace_by_container(container: Any, key: Any, random: Random, keys: Sequence[str]) -> None:
    container[key] = copy.deepcopy(random.choice(CONTAINERS))


def _deepen(container: Any, key: Any, random: Random, keys: Sequence[str]) -> None:
    container[key] = nested(random.choice((1, 2, 20, 90)), container[key])


def _remove(container: Any, key: Any, random: Random, keys: Sequence[str]) -> None:
    del container[key]


def _add(container: Any, key: Any, random: Random, keys: Sequence[str]) -> None:
    """Add a value under a strange or a sensible name, or at the end of a list."""
    if isinstance(container, list):
        container.append(scalar(random))
    else:
        container[random.choice([*keys, *TEXTS])] = scalar(random)


def _rename(container: Any, key: Any, random: Random, keys: Sequence[str]) -> None:
    if isinstance(container, dict):
        container[random.choice([*keys, *TEXTS])] = container.pop(key)


def _multiply(container: Any, key: Any, random: Random, keys: Sequence[str]) -> None:
    """Make a list of a value, a few times over."""
    container[key] = [copy.deepcopy(container[key]) for _ in range(random.choice((1, 2, 3, 40)))]


def _nudge(container: Any, key: Any, random: Random, keys: Sequence[str]) -> None:
    """Change a value into a neighbour of the same type."""
    value = container[key]
    if isinstance(value, bool) or value is None:
        container[key] = not value
    elif isinstance(value, int | float):
        container[key] = random.choice((value + 1, value - 1, -value, value * 1000, str(value)))
    elif isinstance(value, str):
        cut = random.randint(0, len(value))
        container[key] = random.choice((value[:cut], value + value, value[::-1], value.upper()))
    elif isinstance(value, list):
        random.shuffle(value)


CHANGES: tuple[Callable[[Any, Any, Random, Sequence[str]], None], ...] = (
    _replace,
    _replace,
    _replace_by_container,
    _deepen,
    _remove,
    _add,
    _rename,
    _multiply,
    _nudge,
    _nudge,
)
