"""What the tests of the command line share; the fixture ``fedsim`` is in `conftest`."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Said:
    """What a call of the command line said and how it ended."""

    code: int
    out: str
    err: str


Fedsim = Callable[..., Said]
