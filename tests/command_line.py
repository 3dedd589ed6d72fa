"""What the tests of the command line share; the fixture ``fedsim`` is in `conftest`."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Said:
    """What a call of the command line said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every line as the JSON object that it must be."""
        return [json.loads(line) for line in self.out.splitlines()]


Fedsim = Callable[..., Said]
