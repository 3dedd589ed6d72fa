"""What an honest round's witness remembers, and what that costs."""

import pytest
import toys
from flwr.app import ArrayRecord, MetricRecord

from fedsim.federation import replay
from fedsim.federation.replay import Witness
from fedsim.transport.record_views import Content, View


class Counted(Content):
    """A memory that knows how often somebody went through all of it."""

    times = 0

    @property
    def metric_records(self) -> View[MetricRecord]:
        self.times += 1
        return super().metric_records


def test_a_witness_remembers_the_last_round_without_going_through_it_for_each_participant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replay, "Content", Counted)
    witness = Witness()
    sent = ArrayRecord(toys.new_model().state_dict())
    for number in (1, 2):
        for participant in range(3 - number):
            witness.send(number, participant, sent)
            witness.receive(number, participant, sent)
        witness.aggregated(number, sent)
    memory = witness.memory
    assert isinstance(memory, Counted)
    assert list(memory) == ["round", "sent-0", "received-0", "aggregate"]
    assert memory["round"]["round"] == 2
    assert memory.times == 0
