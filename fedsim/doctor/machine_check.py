"""One thing that `fedsim doctor` looked at, and all of them for a person and for a program."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rich.table import Table
from rich.text import Text


class MachineStatus(StrEnum):
    """The status of a check."""

    GOOD = "good"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True)
class MachineCheck:
    """The result of one check: its name, its status, and what was found."""

    name: str
    status: MachineStatus
    found: str


def healthy(findings: Sequence[MachineCheck]) -> bool:
    """Return whether nothing that was found is a problem."""
    return all(finding.status is not MachineStatus.PROBLEM for finding in findings)


def findings_table(findings: Sequence[MachineCheck]) -> Table:
    """Return the findings for a terminal."""
    colours = {
        MachineStatus.GOOD: "green",
        MachineStatus.NOTE: "yellow",
        MachineStatus.PROBLEM: "bold red",
    }
    table = Table(box=None, pad_edge=False)
    for _ in ("name", "status"):
        table.add_column("", no_wrap=True)
    table.add_column("found", overflow="fold")
    for one in findings:
        table.add_row(Text(one.name), Text(one.status, colours[one.status]), Text(one.found))
    return table


def as_json(findings: Sequence[MachineCheck]) -> dict[str, Any]:
    """Return the findings for a program: schema 1."""
    return {
        "schema": 1,
        "healthy": healthy(findings),
        "findings": [
            {"name": one.name, "status": one.status.value, "found": one.found} for one in findings
        ],
    }
