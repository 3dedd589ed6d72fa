"""Reset attributes of an attack's class between queries.

Each query gets a new instance; this resets what an attack sets on its class.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

from fedsim.attacks import Attack


@contextmanager
def reset_attributes(attack: type[Attack]) -> Iterator[None]:
    """Restore the attributes of an attack's class and of its base classes after the context."""
    classes = [one for one in attack.__mro__ if issubclass(one, Attack) and one is not Attack]
    before = {one: _state(one) for one in classes}
    try:
        yield
    finally:
        for one, state in before.items():
            for name in [name for name in vars(one) if _kept(name) and name not in state]:
                delattr(one, name)
            for name, value in state.items():
                setattr(one, name, value)


def _state(one: type[Attack]) -> dict[str, object]:
    return {
        name: copy.deepcopy(value) if isinstance(value, dict | list | set) else value
        for name, value in vars(one).items()
        if _kept(name)
    }


def _kept(name: str) -> bool:
    return not name.startswith(("__", "_abc_"))
