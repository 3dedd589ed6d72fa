"""What training did to a record: the parameters before it, beside those after it.

A server that keeps what it sent has two snapshots of one round: ``sent-N`` before the victim's
training, ``participant-N`` behind it. How much a record's scalars changed between the two is the
reaction that an active attack provokes: a member's loss is pulled down again, nobody pulls a
non-member's back. A server that crafts what it sends has a third, ``meant-N``: how a record moves
under the climb itself tells something, too.

More was tried and left out, as it cost the network with 2,000 known records more than it gave: what
a record showed in the very round in which it was climbed, and what a participant's own climb did to
the aggregate.
"""

import re
from collections.abc import Sequence

from fedsim.observation.snapshots import AGGREGATE, CLEAN, Snapshot, participant_owner, sent_owner

_GIVEN = re.compile(r"(meant|sent)-(\d+)")


def own(snapshots: Sequence[Snapshot]) -> list[int]:
    """Return the positions of the snapshots that the victims' training alone has made.

    Not what was sent to them or meant to be; and not an aggregate of which the attacker has one
    without its own part.
    """
    clean = {snapshot.round for snapshot in snapshots if snapshot.owner == CLEAN}
    return [
        n
        for n, snapshot in enumerate(snapshots)
        if not _GIVEN.fullmatch(snapshot.owner)
        and not (snapshot.owner == AGGREGATE and snapshot.round in clean)
    ]


def pairs(snapshots: Sequence[Snapshot]) -> list[tuple[int, int]]:
    """Return the positions (before, after) of every round for which both are there, in order.

    ``participant-N`` comes after ``sent-N`` of the same round, and that after ``meant-N``.
    """
    places = {(snapshot.round, snapshot.owner): n for n, snapshot in enumerate(snapshots)}
    return [
        (before, places[round_number, after])
        for (round_number, owner), before in sorted(places.items())
        if (after := _next(owner)) and (round_number, after) in places
    ]


def _next(owner: str) -> str | None:
    """Return what the state of an owner becomes within a round."""
    match = _GIVEN.fullmatch(owner)
    if match is None:
        return None
    becomes = {"meant": sent_owner, "sent": participant_owner}
    return becomes[match[1]](int(match[2]))
