"""An adversary is seen through its messages only, and changes nothing but what it means to."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import toys
from flwr.app import ArrayRecord
from toys import SilentParticipant, SilentServer, added, arrays_equal

from adversaries.positions.curious_participant import CuriousParticipant
from adversaries.positions.curious_server import CuriousServer
from fedsim.errors import MessageError, PluginError

pytestmark = pytest.mark.usefixtures("flower")


class Shifting(SilentServer):
    """A server that sends one participant other parameters."""

    def send(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        return added(arrays, 0.5) if participant == 1 else arrays


class Dropping(SilentServer):
    """A server that leaves participants out of the mean."""

    def __init__(self, *dropped: int) -> None:
        self.dropped = dropped

    def receive(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord | None:
        return None if participant in self.dropped else arrays


class Adding(SilentServer):
    """A server that adds a number to all it passes on, and notes what it was given."""

    def __init__(self, amount: float, scale: float = 1.0) -> None:
        self.amount, self.scale = amount, scale
        self.calls: list[tuple[Any, ...]] = []

    def _changed(self, hook: str, r: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        bias = arrays["classifier.bias"].numpy()[0]
        self.calls.append((hook, r, participant, float(bias)))
        state = arrays.to_torch_state_dict()
        return ArrayRecord({k: v * self.scale + self.amount for k, v in state.items()})

    def send(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        return self._changed("send", round_number, participant, arrays)

    def receive(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        return self._changed("receive", round_number, participant, arrays)

    def aggregated(self, round_number: int, arrays: ArrayRecord) -> None:
        self.calls.append(("aggregated", round_number, -1, 0.0))

    def send_evaluation(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord:
        return self._changed("send_evaluation", round_number, participant, arrays)


class Noting(SilentParticipant):
    """A participant that notes when its hooks are called, and what it was given."""

    def __init__(self, participant: int, amount: float = 0.0) -> None:
        super().__init__(participant)
        self.amount = amount
        self.calls: list[tuple[str, int]] = []
        self.came: dict[int, ArrayRecord] = {}

    def arrived(self, round_number: int, arrays: ArrayRecord) -> ArrayRecord:
        self.calls.append(("arrived", round_number))
        self.came[round_number] = arrays
        return arrays

    def leaving(self, round_number: int, arrays: ArrayRecord) -> ArrayRecord:
        self.calls.append(("leaving", round_number))
        return added(arrays, self.amount) if self.amount else arrays


def run(*adversaries: Any, **settings: Any) -> toys.Federation:
    federation = toys.Federation(adversaries, **settings)
    federation.end = federation.run()
    return federation


def states(messages: Sequence[tuple[int, str, dict[str, bytes]]]) -> list[dict[str, bytes]]:
    return [content for _, _, content in messages]


def test_curious_adversaries_change_no_bit_of_any_message(tmp_path: Any) -> None:
    honest = run()
    watched = run(
        CuriousServer().keep_in(tmp_path / "s"), CuriousParticipant(1).keep_in(tmp_path / "p")
    )
    assert len(honest.grid.sent) == 3 * 3 + 2 * 3  # 3 rounds of training, evaluated in 2 and 3
    assert watched.grid.sent == honest.grid.sent
    assert watched.grid.returned == honest.grid.returned
    assert watched.end.history == honest.end.history


def test_what_one_participant_is_sent_changes_that_message_only() -> None:
    honest, shifted = run(rounds=1), run(Shifting(), rounds=1)
    pairs = list(zip(honest.grid.sent[:3], shifted.grid.sent[:3], strict=True))
    assert [one == other for one, other in pairs] == [True, False, True]
    sent = shifted.grid.sent[1][2]
    expected = added(honest.initial.arrays, 0.5)
    assert {k: sent[f"arrays/{k}"] for k in expected} == {k: a.data for k, a in expected.items()}
    assert sent["config"] == honest.grid.sent[1][2]["config"]
    replied = zip(honest.grid.returned[:3], shifted.grid.returned[:3], strict=True)
    assert [one == other for one, other in replied] == [True, False, True]


def uploads_of(federation: toys.Federation, count: int) -> list[dict[str, torch.Tensor]]:
    def decoded(data: bytes) -> torch.Tensor:
        return torch.from_numpy(np.load(io.BytesIO(data)))

    return [
        {
            k.removeprefix("arrays/"): decoded(v)
            for k, v in content.items()
            if k.startswith("arrays/")
        }
        for _, _, content in federation.grid.returned[:count]
    ]


def close(arrays: ArrayRecord, expected: dict[str, torch.Tensor]) -> bool:
    state = arrays.to_torch_state_dict()
    return all(
        torch.allclose(state[k].double(), expected[k], rtol=1e-6, atol=1e-7) for k in expected
    )


def test_fedavg_is_the_mean_weighted_by_records() -> None:
    honest = run(rounds=1)
    expected = toys.mean(uploads_of(honest, 3), [40, 30, 20])
    assert close(honest.end.arrays, expected)
    assert not close(honest.end.arrays, toys.mean(uploads_of(honest, 3), [1, 1, 1]))


def test_an_upload_that_is_not_received_is_left_out_of_the_mean() -> None:
    federation = run(Dropping(1), rounds=1)
    first, _, third = uploads_of(federation, 3)
    assert close(federation.end.arrays, toys.mean([first, third], [40, 20]))


def test_a_round_without_any_upload_is_an_error() -> None:
    with pytest.raises(MessageError, match="round 1 has no aggregate"):
        run(Dropping(0, 1, 2))


def test_server_adversaries_are_asked_in_order_on_both_ways() -> None:
    plus, times = Adding(1.0), Adding(0.0, scale=2.0)
    federation = run(plus, times, rounds=1)
    initial = federation.initial.arrays["classifier.bias"].numpy()[0]
    sent = [[c[3] for c in server.calls if c[0] == "send"] for server in (plus, times)]
    assert sent == [[pytest.approx(initial)] * 3, [pytest.approx(initial + 1)] * 3]
    upload = uploads_of(federation, 1)[0]["classifier.bias"][0].item()
    assert next(c[3] for c in plus.calls if c[0] == "receive") == pytest.approx(upload)
    assert next(c[3] for c in times.calls if c[0] == "receive") == pytest.approx(upload + 1)
    mean = toys.mean(uploads_of(federation, 3), [40, 30, 20])
    assert close(federation.end.arrays, {k: (v + 1) * 2 for k, v in mean.items()})


def test_a_servers_hooks_are_called_on_the_timeline() -> None:
    server = Adding(0.0)
    run(server, rounds=2)
    timeline = [(hook, r) for hook, r, _, _ in server.calls]
    assert timeline == [
        *[("send", 1)] * 3,
        *[("receive", 1)] * 3,
        ("aggregated", 1),
        *[("send", 2)] * 3,
        *[("receive", 2)] * 3,
        ("aggregated", 2),
        *[("send_evaluation", 2)] * 3,
    ]
    for step in (("send", 1), ("receive", 2), ("send_evaluation", 2)):
        assert {p for hook, r, p, _ in server.calls if (hook, r) == step} == {0, 1, 2}


def test_what_is_sent_for_evaluation_does_not_reach_the_next_round() -> None:
    class Flattering(SilentServer):
        def send_evaluation(self, r: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
            return added(arrays, 3.0)

    honest, flattered = run(), run(Flattering())
    assert arrays_equal(honest.end.arrays, flattered.end.arrays)
    assert honest.end.history[1].of("train_loss") != flattered.end.history[1].of("train_loss")
    assert honest.end.history[1].of("test_loss") == flattered.end.history[1].of("test_loss")


def test_a_participants_hooks_are_called_on_the_timeline() -> None:
    noting = Noting(1)
    federation = run(noting)
    assert noting.calls == [
        ("arrived", 0),
        ("leaving", 1),
        ("arrived", 1),
        ("leaving", 2),
        ("arrived", 2),  # evaluation of round 2
        ("arrived", 2),
        ("leaving", 3),
        ("arrived", 3),  # evaluation at the end
    ]
    assert arrays_equal(noting.came[0], federation.initial.arrays)
    assert arrays_equal(noting.came[3], federation.end.arrays)


def test_a_participant_acts_on_its_own_node_only() -> None:
    honest, changed = run(rounds=1), run(Noting(1, amount=0.25), rounds=1)
    assert changed.grid.sent[:3] == honest.grid.sent[:3]
    replies = zip(honest.grid.returned[:3], changed.grid.returned[:3], strict=True)
    assert [one == other for one, other in replies] == [True, False, True]
    uploads = uploads_of(honest, 3)
    uploads[1] = {k: v + 0.25 for k, v in uploads[1].items()}
    assert close(changed.end.arrays, toys.mean(uploads, [40, 30, 20]))


def test_what_arrives_may_be_replaced() -> None:
    class Starting(SilentParticipant):
        def arrived(self, round_number: int, arrays: ArrayRecord) -> ArrayRecord:
            return added(arrays, 0.5)

    honest, started, shifted = run(rounds=1), run(Starting(1), rounds=1), run(Shifting(), rounds=1)
    assert started.grid.sent[:3] == honest.grid.sent[:3]
    assert started.grid.returned[1] == shifted.grid.returned[1]


def test_two_participants_of_one_kind_do_not_meet() -> None:
    first, second = Noting(0), Noting(2)
    run(first, second, rounds=1)
    assert first.calls == second.calls == [("arrived", 0), ("leaving", 1), ("arrived", 1)]


def test_whoever_else_is_dishonest_changes_nothing_for_a_passive_one(tmp_path: Any) -> None:
    run(CuriousServer().keep_in(tmp_path / "alone"))
    server = CuriousServer().keep_in(tmp_path / "among")
    run(Noting(0), server, Noting(2), CuriousParticipant(1).keep_in(tmp_path / "other"))
    alone = sorted((tmp_path / "alone").iterdir())
    among = sorted((tmp_path / "among").iterdir())
    assert [p.name for p in alone] == [p.name for p in among]
    assert len(alone) == 18
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(alone, among, strict=True))


def test_an_adversary_that_breaks_the_aggregate_is_named() -> None:
    class Exploding(SilentServer):
        def receive(self, r: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
            return added(arrays, float("inf"))

    with pytest.raises(MessageError, match=r"the strategy in round 1 sent .* are not finite"):
        run(Exploding())
    with pytest.raises(MessageError, match=r"participant 2 in round 1 sent .* are not finite"):
        run(Noting(2, amount=float("nan")))


def test_recording_without_a_store_is_one_sentence() -> None:
    with pytest.raises(PluginError, match=r"CuriousServer has no store; call keep_in\(folder\)"):
        run(CuriousServer())
