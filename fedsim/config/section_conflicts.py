"""Rules on contradictions between sections of an experiment, one function per rule.

Each rule states the parts that it reads, so that it is skipped if one of them is invalid itself.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fedsim.config.federation import FederationSettings
from fedsim.config.sections import AuditSettings, SnapshotSettings

VICTIMS_FIT = "audit.victims and who takes part"
"""What is broken where victims are named that there are not, or twice."""


@dataclass(frozen=True)
class Rule:
    """A rule on several sections: the parts that it reads, and what a breach invalidates."""

    reads: tuple[str, ...]
    breaks: tuple[str, ...]
    breaches: Callable[[], Iterator[str]]


def late_snapshots(federation: FederationSettings, snapshots: SnapshotSettings) -> Iterator[str]:
    """Yield a fault if an observed round does not exist."""
    late = [r for r in snapshots.observed(federation.rounds) if r > federation.rounds]
    if late:
        yield f"snapshots.rounds has {late[0]}, but federation.rounds is {federation.rounds}"


def strange_victims(audit: AuditSettings, participants: int) -> Iterator[str]:
    """Yield a fault if a victim is no participant."""
    if not audit.victims or max(audit.victims) >= participants:
        yield (
            f"audit.victims is {list(audit.victims)}, but participants are numbered 0 to "
            f"{participants - 1}"
        )


def doubled_victims(audit: AuditSettings) -> Iterator[str]:
    """Yield a fault if a victim is named twice."""
    if len(set(audit.victims)) < len(audit.victims):
        yield (
            f"audit.victims names a participant twice, {list(audit.victims)}, and its "
            "records would count twice; name each once"
        )


def doubled_labels(section: str, labels: list[str]) -> Iterator[str]:
    """Yield a fault if a list of plugins is empty, or has a label twice."""
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if not labels and section in ("adversaries", "attacks"):
        yield f"{section} is empty; name at least one"
    if twice:
        yield f"{section} has {twice[0]!r} twice; give one of them another label"


def strange_attendance(federation: FederationSettings, participants: int) -> Iterator[str]:
    """Yield a fault if `attendance` names rounds or participants that do not exist."""
    for first, attending in federation.attendance.items():
        where = f"federation.attendance: from round {first} on"
        if first > federation.rounds:
            yield f"{where}, but federation.rounds is {federation.rounds}"
        if not attending:
            yield f"{where} nobody takes part; name at least one participant"
        elif max(attending) >= participants or len(set(attending)) < len(attending):
            yield (
                f"{where} {list(attending)} take part, but participants are numbered 0 to "
                f"{participants - 1}, each named once"
            )


def absent_victims(
    audit: AuditSettings,
    federation: FederationSettings,
    snapshots: SnapshotSettings,
    participants: int,
) -> Iterator[str]:
    """Yield a fault if a victim takes part in no round up to the last observed one."""
    last = max(snapshots.observed(federation.rounds), default=federation.rounds)
    changes = {1, *(first for first in federation.attendance if first <= last)}
    came = {p for first in changes for p in federation.present(first, participants)}
    absent = [v for v in audit.victims if v < participants and v not in came]
    if absent:
        yield (
            f"audit.victims has {absent[0]}, but federation.attendance lets it take part in "
            f"no round up to the last observed one, {last}"
        )


def canary_participants(audit: AuditSettings, participants: int, *, given: bool) -> Iterator[str]:
    """Yield a fault if canaries leave too few participants, or there is no training."""
    honest = participants - audit.canary_participants
    if audit.canary_participants == 1 or honest < 1:
        yield (
            f"audit.canary_participants is {audit.canary_participants} of "
            f"{participants} participants; valid: 0, or from 2 on and fewer than all"
        )
    elif audit.canary_participants and max(audit.victims, default=0) >= honest:
        yield (
            f"audit.victims has {max(audit.victims)}, but participants from {honest} on are "
            "canaries (audit.canary_participants) and train on nothing"
        )
    if audit.canary_participants and given:
        yield "audit.canary_participants are in training; a given model was trained before"


def federation_seeds_beside(audit: AuditSettings, *, given: bool) -> Iterator[str]:
    """Yield a fault if there is no training to repeat."""
    if audit.federation_seeds > 1 and given:
        yield "audit.federation_seeds trains anew; a given model was trained before"


def canaries_beside(audit: AuditSettings, *, given: bool) -> Iterator[str]:
    """Yield faults of audit settings that exclude canaries."""
    if not audit.canaries:
        return
    if audit.unit == "user":
        yield "audit.canaries are records; leave them out, or audit.unit: user"
    if audit.nonmembers != "unseen":
        yield (
            f"audit.nonmembers is {audit.nonmembers!r}, but with audit.canaries non-members "
            "are the canaries that their coins left out; leave it out"
        )
    if given:
        yield "audit.canaries are put in before training; a given model was trained before"
