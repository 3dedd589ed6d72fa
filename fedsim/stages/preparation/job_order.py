"""The order in which the queries of attackers are scored side by side."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

Job = TypeVar("Job")


def apart(jobs: Iterable[Job], alike: Callable[[Job], Hashable]) -> list[Job]:
    """Return jobs so that those that are alike do not begin together.

    Attackers that ask the same query may have seen the same parameters, whose features are then
    extracted once; jobs that begin together would extract them side by side.

    >>> apart(["server-0", "server-1", "participant-0"], alike=lambda name: name[0])
    ['server-0', 'participant-0', 'server-1']
    """
    before: Counter[Hashable] = Counter()
    turns: list[tuple[int, Job]] = []
    for job in jobs:
        turns.append((before[alike(job)], job))
        before[alike(job)] += 1
    return [job for _, job in sorted(turns, key=lambda turn: turn[0])]
