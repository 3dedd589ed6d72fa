"""Everything that is wrong with what was given, collected by one check after another.

A check says which parts it reads. Where one of those is at fault itself, the check is passed over:
what it would say is a consequence. So every fault is reported once.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from fedsim.errors import ConfigError, FedsimError

Found = TypeVar("Found")


class FaultCollector:
    """Faults found so far, and which parts are broken.

    A part is named by its path, as in ``federation.local``; a broken part breaks what it is in,
    and all that is in it.

    Parameters
    ----------
    faults, broken
        What was found already.

    Examples
    --------
    >>> collector = FaultCollector(["seed is -1"], ["seed"])
    >>> def divide() -> int:
    ...     raise ConfigError("rounds is 0")
    >>> collector.check(divide, "federation.rounds")
    >>> collector.check(lambda: 1, "federation"), collector.check(lambda: 1, "data", "model")
    (None, 1)
    >>> [str(fault) for fault in collector.faults]
    ['seed is -1', 'rounds is 0']
    """

    def __init__(self, faults: Iterable[str] = (), broken: Iterable[str] = ()) -> None:
        self.faults: list[FedsimError] = [ConfigError(fault) for fault in faults]
        self._broken = set(broken)

    def add(self, fault: FedsimError, *broken: str) -> None:
        """Take up a fault, by which parts are broken."""
        self.faults.append(fault)
        self._broken.update(broken)

    def is_sound(self, *parts: str) -> bool:
        """Return whether nothing is wrong with some parts."""
        return not any(_overlap(part, broken) for part in parts for broken in self._broken)

    def check(self, run: Callable[[], Found], *reads: str) -> Found | None:
        """Run a check unless a part that it reads is broken; what it raises breaks the first.

        Returns
        -------
        object
            What the check returns; None if it was passed over, or raised a `FedsimError`.
        """
        if not self.is_sound(*reads):
            return None
        try:
            return run()
        except FedsimError as fault:
            self.add(fault, *reads[:1])
            return None

    def require_none(self, source: str = "") -> None:
        """Raise one error of all faults, if there are any.

        Raises
        ------
        FedsimError
            Of the faults' own kind where they have one.
        """
        if not self.faults:
            return
        kinds = {type(fault) for fault in self.faults}
        kind = kinds.pop() if len(kinds) == 1 else ConfigError
        sentences = list(dict.fromkeys(one for fault in self.faults for one in fault.faults))
        raise kind.of_all(sentences, f"{source}: " if source else "") from self.faults[0]


def _overlap(part: str, broken: str) -> bool:
    return part == broken or part.startswith(f"{broken}.") or broken.startswith(f"{part}.")
