"""What a victim's training did to a record: the parameters it was sent, beside those it returned.

A server that keeps what it sent has two snapshots of one round: ``sent-N`` before the victim's
training, ``participant-N`` behind it. How much a record's scalars changed between the two is the
reaction that an active attack provokes: a member's loss is pulled down again, nobody pulls a
non-member's back.
"""

import re
from collections.abc import Sequence

from fedsim.snapshots import Snapshot, participant_owner

_SENT = re.compile(r"sent-(\d+)")


def own(snapshots: Sequence[Snapshot]) -> list[int]:
    """Return the positions of the snapshots that somebody's training made: all but the sent."""
    return [n for n, snapshot in enumerate(snapshots) if not _SENT.fullmatch(snapshot.owner)]


def pairs(snapshots: Sequence[Snapshot]) -> list[tuple[int, int]]:
    """Return the positions (sent, returned) of every round for which both are there, in order.

    ``sent-N`` goes with ``participant-N`` of the same round.
    """
    places = {(snapshot.round, snapshot.owner): n for n, snapshot in enumerate(snapshots)}
    found = []
    for (round_number, owner), sent in sorted(places.items()):
        match = _SENT.fullmatch(owner)
        answer = (round_number, participant_owner(int(match[1]))) if match else None
        if answer in places:
            found.append((sent, places[answer]))
    return found
