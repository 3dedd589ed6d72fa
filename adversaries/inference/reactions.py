"""What training did to a record: the parameters before it, beside those after it.

A server that keeps what it sent has two snapshots of one round: ``sent-N`` before the victim's
training, ``participant-N`` behind it. How much a record's scalars changed between the two is the
reaction that an active attack provokes: a member's loss is pulled down again, nobody pulls a
non-member's back.

An active adversary acts on some records in one round and on others in the next. What is seen of a
record in its own turn is about that record, so it is put into the same columns for all records:
the state that was *meant* before the adversary acted, the one that was *sent* instead, and the one
that was *returned*.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedsim.attacks import RecordIds
from fedsim.snapshots import (
    AGGREGATE,
    CLEAN,
    Snapshot,
    meant_owner,
    participant_owner,
    sent_owner,
)

_SENT = re.compile(r"sent-(\d+)")
_MEANT = re.compile(r"meant-(\d+)")


@dataclass(frozen=True)
class Turn:
    """A round in which an adversary acted: positions of the three snapshots, and on which records.

    A server's are all of one round. A participant puts its climb into its upload of a round; the
    others get it, and answer, in the next.
    """

    meant: int
    sent: int
    returned: int
    records: RecordIds


def own(snapshots: Sequence[Snapshot]) -> list[int]:
    """Return the positions of the snapshots that the victims' training alone has made.

    Not what was sent to them or meant to be; and not an aggregate of which the attacker has one
    without its own part.
    """
    clean = {snapshot.round for snapshot in snapshots if snapshot.owner == CLEAN}
    return [
        n
        for n, snapshot in enumerate(snapshots)
        if not (_SENT.fullmatch(snapshot.owner) or _MEANT.fullmatch(snapshot.owner))
        and not (snapshot.owner == AGGREGATE and snapshot.round in clean)
    ]


def pairs(snapshots: Sequence[Snapshot]) -> list[tuple[int, int]]:
    """Return the positions (before, after) of every round for which both are there, in order.

    ``participant-N`` comes after ``sent-N`` of the same round, and that after ``meant-N``; the
    aggregate that everybody gets comes after the one without the attacker's own part.
    """
    places = {(snapshot.round, snapshot.owner): n for n, snapshot in enumerate(snapshots)}
    return [
        (before, places[round_number, after])
        for (round_number, owner), before in sorted(places.items())
        if (after := _next(owner)) and (round_number, after) in places
    ]


def _next(owner: str) -> str | None:
    """Return what the state of an owner becomes within a round."""
    kind, _, participant = owner.partition("-")
    if owner == CLEAN:
        return AGGREGATE
    if kind == "meant":
        return sent_owner(int(participant))
    return participant_owner(int(participant)) if kind == "sent" else None


def turns(snapshots: Sequence[Snapshot], targeted: Mapping[int, RecordIds]) -> list[Turn]:
    """Return the turns whose three snapshots are there, in the order of the rounds."""
    places = {(snapshot.round, snapshot.owner): n for n, snapshot in enumerate(snapshots)}
    victim, found = _victim(snapshots), []
    for now, records in sorted(targeted.items()):
        if victim is None:
            answer = CLEAN if (now + 1, CLEAN) in places else AGGREGATE
            meant, sent, returned = (now, CLEAN), (now, AGGREGATE), (now + 1, answer)
        else:
            owners = meant_owner(victim), sent_owner(victim), participant_owner(victim)
            meant, sent, returned = ((now, owner) for owner in owners)
        if places.keys() >= {meant, sent, returned}:
            found.append(Turn(places[meant], places[sent], places[returned], records))
    return found


def in_turn(
    columns: Sequence[NDArray[np.float32]], found: Sequence[Turn], records: RecordIds
) -> list[NDArray[np.float32]]:
    """Return what each record showed in its own turns.

    Parameters
    ----------
    columns
        (N, S) a snapshot.
    found
        The turns.
    records
        (N,) ids, sorted.

    Returns
    -------
    Arrays (N, S), five for each time that a record had its turn: meant, sent, returned, sent minus
    meant, returned minus sent. A record that had fewer turns has the mean of those that had it.
    """
    had = np.zeros(len(records), dtype=np.int64)
    times: list[NDArray[np.float32]] = []  # (3, N, S) each, NaN where nothing was seen
    for turn in found:
        where = np.flatnonzero(np.isin(records, turn.records))
        while len(times) <= (had[where].max() if where.size else -1):
            times.append(np.full((3, *columns[0].shape), np.nan, dtype=np.float32))
        for time in np.unique(had[where]):
            now = where[had[where] == time]
            for place, n in enumerate((turn.meant, turn.sent, turn.returned)):
                times[time][place, now] = columns[n][now]
        had[where] += 1
    rows = []
    for seen in times:
        meant, sent, returned = np.where(
            np.isnan(seen), np.nanmean(seen, axis=1, keepdims=True), seen
        )
        rows += [meant, sent, returned, sent - meant, returned - sent]
    return rows


def _victim(snapshots: Sequence[Snapshot]) -> int | None:
    """Return the participant whose uploads these are; None if they are aggregates."""
    found = [_SENT.fullmatch(snapshot.owner) for snapshot in snapshots]
    return next((int(match[1]) for match in found if match), None)
