"""How many messages a process of a cluster is given at a time."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from flwr.app import Message, RecordDict

from fedsim.engines.ray.dispatch import DispatchWindow
from fedsim.engines.ray.shard import Shard, StoredParameters, StoreTraffic

pytestmark = pytest.mark.usefixtures("flower")


@dataclass(frozen=True, eq=False)
class Handle:
    """Stands for a process: what it is asked to run is ended at once."""

    run: Any


def sizes(messages: int, **settings: Any) -> list[int]:
    """Return how many a process is given in each call, which it ends in their order."""
    ended = iter(range(messages))
    share = Shard(0, Handle(SimpleNamespace(remote=lambda *_: next(ended))))
    asked = [Message(RecordDict(), 2 + number, "train") for number in range(messages)]
    turn = DispatchWindow(asked, {share: range(messages)}, **settings)
    contents, found = StoredParameters(StoreTraffic()), []
    while turn.go_on(contents):
        reference, call = next(iter(turn.calls.items()))
        found.append(len(call.numbers))
        turn.done(reference)
    return found


@pytest.mark.parametrize(
    ("messages", "seconds_each", "expected"),
    [
        (10, 0.0, [5, 3, 1, 1]),  # nothing is known: half of what waits
        (10, 0.085, [5, 3, 2]),  # two are worth a call
        (10, 0.02, [5, 5]),
        (5, 0.001, [5]),  # so quick that calls cost more
        (40, 0.001, [8] * 5),  # half of what may be under way
        (40, 3.0, [8, 8, 8, 8, 4, 2, 1, 1]),
    ],
)
def test_calls_are_as_large_as_pays(
    messages: int, seconds_each: float, expected: list[int]
) -> None:
    settings = {"in_flight": 16, "timeout": None, "seconds_each": seconds_each}
    assert sizes(messages, **settings) == expected


def test_participants_who_are_timed_go_one_by_one() -> None:
    assert sizes(3, in_flight=16, timeout=5.0, seconds_each=0.001) == [1, 1, 1]
    assert sizes(3, in_flight=1, timeout=None, seconds_each=0.001) == [1, 1, 1]
