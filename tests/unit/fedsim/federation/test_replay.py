"""What an honest round's last-round recorder remembers, and what that costs."""

import pytest
import toys
from flwr.app import ArrayRecord, MetricRecord

from fedsim.federation import replay
from fedsim.federation.replay import LastRoundRecorder
from fedsim.transport.record_views import Content, KindView


class Counted(Content):
    """A memory that knows how often somebody went through all of it."""

    times = 0

    @property
    def metric_records(self) -> KindView[MetricRecord]:
        self.times += 1
        return super().metric_records


def test_a_recorder_remembers_the_last_round_without_going_through_it_for_each_participant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replay, "Content", Counted)
    last_round_recorder = LastRoundRecorder()
    sent = ArrayRecord(toys.new_model().state_dict())
    for number in (1, 2):
        for participant in range(3 - number):
            last_round_recorder.send(number, participant, sent)
            last_round_recorder.receive(number, participant, sent)
        last_round_recorder.aggregated(number, sent)
    memory = last_round_recorder.memory
    assert isinstance(memory, Counted)
    assert list(memory) == ["round", "sent-0", "received-0", "aggregate"]
    assert memory["round"]["round"] == 2
    assert memory.times == 0
