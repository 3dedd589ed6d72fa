"""Which version of fedsim made a run, and a notice if it is another one.

A finished run is never computed again, so the figures of a study may come from an older commit. A
notice leaves the decision to the reader.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from fedsim.report.results import Results
from fedsim.rundir.provenance import provenance
from fedsim.studies.cells import Cell

_SHORT = 12
"""Digits of a commit in a line for a person."""


@dataclass(frozen=True)
class RunOrigin:
    """A fedsim by its version, and by the commit of its checkout; "None" where there is none."""

    commit: str
    version: str

    def __str__(self) -> str:
        """Return both in words, with the first digits of the commit."""
        digits, dash, changed = self.commit.partition("-")
        return f"commit {digits[:_SHORT]}{dash}{changed}, fedsim {self.version}"


def maker_of(results: Results) -> RunOrigin:
    """Return the version that made a run, from its results."""
    recorded = results.provenance
    return RunOrigin(str(recorded.get("commit")), str(recorded.get("fedsim version")))


def this_maker() -> RunOrigin:
    """Return the running version."""
    made_by = provenance(None)
    versions = made_by["versions"]
    return RunOrigin(
        str(made_by["commit"]),
        str(versions.get("fedsim") if isinstance(versions, dict) else None),
    )


def other_makers_sentence(finished: Iterable[tuple[Cell, Results]], this: RunOrigin) -> str | None:
    """Return a line on finished cells that another version made; None if there are none."""
    by_maker: dict[RunOrigin, list[str]] = {}
    for cell, results in finished:
        by_maker.setdefault(maker_of(results), []).append(cell.name)
    others = [f"{', '.join(names)} by {one}" for one, names in by_maker.items() if one != this]
    if not others:
        return None
    return (
        f"finished before, and not computed again: {'; '.join(others)}; this is {this} (delete a "
        "run's folder, and it is computed anew)"
    )
