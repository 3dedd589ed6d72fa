"""The active positions: which messages they change, by how much, and that nothing else differs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from torch.nn import functional

from adversaries.positions.gradient_ascent_participant import GradientAscentParticipant
from adversaries.positions.gradient_ascent_server import GradientAscentServer
from adversaries.positions.isolating_server import IsolatingServer
from fedsim.adversary.resources import AttackerResources
from fedsim.data import about_participant
from fedsim.errors import PluginError
from fedsim.federation.client_app import Participants, make_client_app
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshots import SnapshotStore

pytestmark = pytest.mark.usefixtures("flower")
TARGETS = np.arange(20)
TRAIN, EVALUATE = "train", "evaluate"
# Two rounds of three participants, evaluated after the second: messages 0 to 2 are round 1's.
EVALUATION_AT_THE_END = [(6, 2, EVALUATE), (7, 3, EVALUATE), (8, 4, EVALUATE)]
# One step on the loss of all targets: the rule as the paper has it.
PAPER: dict[str, Any] = {"targets": None, "steps": 1, "objective": "loss", "drop": None}


def attacker_resources() -> AttackerResources:
    return AttackerResources(toys.new_model, toys.dataset(), TARGETS, seed=5)


def differing(run: toys.Federation, honest: toys.Federation) -> list[tuple[int, int, str]]:
    """Return (position, node, type) of the messages to participants that differ."""
    pairs = enumerate(zip(run.grid.sent, honest.grid.sent, strict=True))
    return [(at, sent[0], sent[1]) for at, (sent, other) in pairs if sent != other]


def victims_sent(run: toys.Federation) -> list[dict[str, bytes]]:
    return [content for node, kind, content in run.grid.sent if (node, kind) == (2, TRAIN)]


def victims_uploads(run: toys.Federation) -> list[dict[str, bytes]]:
    return [content for node, kind, content in run.grid.returned if (node, kind) == (2, TRAIN)]


def parameters(content: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in content.items() if name.startswith("arrays/")}


def test_the_threat_says_when_and_how_it_acts() -> None:
    paper = GradientAscentServer(first=3, last=9, **PAPER).threat().does
    assert paper == (
        "from round 3 to round 9 it raises the loss of the target records by gradient ascent in "
        "the parameters that it sends the victim"
    )
    ours = GradientAscentParticipant(1, first=2).threat().does
    assert ours == (
        "from round 2 on it lowers the model's confidence in the target records by gradient ascent "
        "in its own upload"
    )


def test_somebody_must_be_left_to_aggregate() -> None:
    isolating = IsolatingServer(victims=(0, 1))
    assert [q.victims for q in isolating.queries((0,), 3)] == [(0,), (1,)]
    with pytest.raises(PluginError, match="isolate all 2 participants, and nobody is left"):
        isolating.queries((0,), 2)
    kept = IsolatingServer(victims=(0, 1), others="last-honest")
    assert len(kept.queries((0,), 2)) == 2


def test_an_isolated_victim_trains_as_if_it_were_alone(tmp_path: Path) -> None:
    run = toys.Federation([IsolatingServer(first=2).keep_in(tmp_path)], rounds=4)
    run.run()
    data = toys.dataset()
    alone = toys.Federation(rounds=4, participants=3)
    members = Participants(data, toys.training_sets(data), toys.new_model, alone.local, None, 3)
    app = make_client_app(members)
    grid = toys.LocalGrid(app, 3)
    arrays, uploads = alone.initial.arrays, []
    for round_number in range(1, 5):  # one participant that is always sent what it sent
        message = Message(
            RecordDict({"arrays": arrays, "config": ConfigRecord({"server-round": round_number})}),
            2,
            TRAIN,
        )
        [reply] = grid.send_and_receive([message])
        arrays = reply.content.array_records["arrays"]
        uploads.append(toys.content_bytes(reply.content))
    assert [parameters(u) for u in victims_uploads(run)] == [parameters(u) for u in uploads]


@pytest.mark.parametrize("others", ["without-it", "last-honest"])
@pytest.mark.parametrize("strategy", ["FedMedian", "FedTrimmedAvg"])
def test_a_victim_is_isolated_whatever_the_strategy_does_with_uploads(
    strategy: str, others: Any, tmp_path: Path
) -> None:
    """These empty the record of each upload while they read it."""
    isolating = IsolatingServer(first=2, others=others).keep_in(tmp_path)
    run = toys.Federation([isolating], strategy=strategy, rounds=4)
    run.run()
    sent, uploads = victims_sent(run), victims_uploads(run)
    assert all(parameters(content) for content in uploads)
    assert [parameters(one) for one in sent[1:]] == [parameters(one) for one in uploads[:-1]]


def test_isolation_changes_the_victims_messages_and_the_others_go_on_without_it(
    tmp_path: Path,
) -> None:
    run = toys.Federation([IsolatingServer(first=2).keep_in(tmp_path)], rounds=2)
    honest = toys.Federation(rounds=2)
    end, _ = run.run(), honest.run()
    # Round 1 is honest; in round 2 the victim trains on its own upload. At the end of round 2 all
    # evaluate something else than they would have: the victim its own, the others what is without.
    assert differing(run, honest) == [(3, 2, TRAIN), *EVALUATION_AT_THE_END]
    assert parameters(victims_sent(run)[1]) == parameters(victims_uploads(run)[0])
    evaluated = {node: c for node, kind, c in run.grid.sent if kind == EVALUATE}
    assert parameters(evaluated[2]) == parameters(victims_uploads(run)[1])
    assert _named(evaluated[3]) == {name: array.data for name, array in end.arrays.items()}
    assert evaluated[3] == evaluated[4]
    others = [
        {n.removeprefix("arrays/"): b for n, b in parameters(content).items()}
        for node, kind, content in run.grid.returned[3:]
        if kind == TRAIN and node != 2
    ]
    expected = toys.mean([_tensors(run, other) for other in others], [30, 20])
    for name, value in end.arrays.to_torch_state_dict().items():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6)


def test_isolation_may_leave_the_last_honest_upload_with_the_others(tmp_path: Path) -> None:
    adversary = IsolatingServer(first=2, others="last-honest").keep_in(tmp_path)
    honest = ArrayRecord({"w": Array(np.ones(2))})
    later = ArrayRecord({"w": Array(np.zeros(2))})
    assert adversary.receive(1, 0, honest) is honest
    assert adversary.receive(2, 0, later) is honest
    assert adversary.send(3, 0, honest) is later


def test_one_step_of_ascent_equals_the_hand_computed_one(tmp_path: Path) -> None:
    adversary = GradientAscentServer(rate=0.25, relative=False, first=2, **PAPER).keep_in(tmp_path)
    run = toys.Federation([adversary.give_resources(attacker_resources())], rounds=2)
    honest = toys.Federation(rounds=2)
    run.run(), honest.run()
    # What the victim made of it is in the aggregate that all evaluate at the end of round 2.
    assert differing(run, honest) == [(3, 2, TRAIN), *EVALUATION_AT_THE_END]
    model, start = toys.new_model(), _tensors(honest, _named(victims_sent(honest)[1]))
    model.load_state_dict(start)
    inputs, labels = toys.dataset().batch(TARGETS)
    loss = functional.cross_entropy(model(inputs), labels)
    slopes = torch.autograd.grad(loss, list(model.parameters()))
    malicious = _tensors(run, _named(victims_sent(run)[1]))
    for (name, value), slope in zip(model.named_parameters(), slopes, strict=True):
        torch.testing.assert_close(malicious[name], value.detach() + 0.25 * slope)


def test_a_relative_ascent_is_as_long_as_it_says(tmp_path: Path) -> None:
    adversary = (
        GradientAscentServer(rate=0.5, first=2, **PAPER)
        .keep_in(tmp_path)
        .give_resources(attacker_resources())
    )
    run, honest = toys.Federation([adversary], rounds=2), toys.Federation(rounds=2)
    run.run(), honest.run()

    def vector(federation: toys.Federation, content: dict[str, bytes]) -> torch.Tensor:
        tensors = _tensors(federation, _named(content))
        return torch.cat([tensors[name].double().flatten() for name in sorted(tensors)])

    update = vector(run, victims_uploads(run)[0]) - vector(run, victims_sent(run)[0])
    ascent = vector(run, victims_sent(run)[1]) - vector(honest, victims_sent(honest)[1])
    assert float(ascent.norm() / update.norm()) == pytest.approx(0.5, rel=1e-4)


def test_an_ascending_participant_changes_its_own_upload_only(tmp_path: Path) -> None:
    adversary = GradientAscentParticipant(1, rate=0.5, first=3, participants=3).keep_in(tmp_path)
    run = toys.Federation([adversary.give_resources(attacker_resources())], rounds=3)
    honest = toys.Federation(rounds=3)
    run.run(), honest.run()
    # Rounds 1 and 2 with an evaluation are messages 0 to 8, and what all train on in round 3 is
    # honest; only the aggregate of round 3 differs, which they evaluate.
    assert differing(run, honest) == [(12, 2, EVALUATE), (13, 3, EVALUATE), (14, 4, EVALUATE)]
    pairs = zip(run.grid.returned, honest.grid.returned, strict=True)
    changed = [(sent[0], sent[1]) for sent, other in pairs if sent != other and sent[1] == TRAIN]
    assert changed == [(3, TRAIN)]


def test_the_ascent_of_a_participant_is_boosted_and_taken_out_of_the_aggregate(
    tmp_path: Path,
) -> None:
    settings: dict[str, Any] = {"relative": False, "rate": 0.2, "participants": 3, **PAPER}
    adversary = GradientAscentParticipant(1, first=2, **settings)
    run = toys.Federation(
        [adversary.keep_in(tmp_path).give_resources(attacker_resources())], rounds=2
    )
    honest = toys.Federation(rounds=2)
    run.run(), honest.run()

    def upload(federation: toys.Federation) -> dict[str, torch.Tensor]:
        sent = [c for node, kind, c in federation.grid.returned if (node, kind) == (3, TRAIN)]
        return _tensors(federation, _named(sent[1]))

    model, start = toys.new_model(), upload(honest)
    model.load_state_dict(start)
    inputs, labels = toys.dataset().batch(TARGETS)
    loss = functional.cross_entropy(model(inputs), labels)
    slopes = torch.autograd.grad(loss, list(model.parameters()))
    malicious = upload(run)
    for (name, value), slope in zip(model.named_parameters(), slopes, strict=True):
        torch.testing.assert_close(malicious[name], value.detach() + 3 * 0.2 * slope)
    # Participant 1 holds a third of the records, so a third of what it put in came out.
    (clean,) = SnapshotStore(tmp_path).series(SnapshotKind.CLEAN.of())
    others = SnapshotStore(tmp_path).series(SnapshotKind.AGGREGATE.of())[-1].load()
    for (name, _), slope in zip(model.named_parameters(), slopes, strict=True):
        expected = others[name] - 0.2 * slope
        torch.testing.assert_close(clean.load()[name], expected, rtol=1e-4, atol=1e-6)


def test_every_target_gets_its_turn(tmp_path: Path) -> None:
    ascent = (
        GradientAscentServer(first=3, last=7, targets=6, steps=2)
        .give_resources(attacker_resources())
        .ascent
    )
    asked = about_participant(0)
    groups = [ascent.targets_in(attacker_resources(), asked, r) for r in range(3, 9)]
    assert [len(group) for group in groups] == [7, 7, 6, 7, 7, 0]
    assert sorted(np.concatenate(groups[:3])) == TARGETS.tolist()
    assert groups[0].tolist() == groups[3].tolist()
    assert ascent.targets_in(attacker_resources(), asked, 2).size == 0


def test_confidence_is_what_is_lowered(tmp_path: Path) -> None:
    model = toys.new_model()
    inputs, labels = toys.dataset().batch(TARGETS)

    def confidence(arrays: ArrayRecord) -> float:
        model.load_state_dict(arrays.to_torch_state_dict())
        with torch.no_grad():
            return float(model(inputs).softmax(1)[torch.arange(20), labels].mean())

    start = ArrayRecord(model.state_dict())
    settings: dict[str, Any] = {"first": 2, "targets": None, "steps": 3, "rate": 1.0}
    ascended, _ = GradientAscentServer(**settings).ascent.ascend(
        start, attacker_resources(), about_participant(0), 2, 0.5
    )
    assert confidence(ascended) < confidence(start) - 0.02


def test_they_compose_in_order(tmp_path: Path) -> None:
    isolating = IsolatingServer(first=2).keep_in(tmp_path / "isolating")
    ascending = GradientAscentServer(rate=0.1, relative=False, first=3, **PAPER)
    ascending.keep_in(tmp_path / "ascending").give_resources(attacker_resources())
    both = toys.Federation([isolating, ascending], rounds=3)
    alone = toys.Federation([IsolatingServer(first=2).keep_in(tmp_path / "alone")], rounds=3)
    both.run(), alone.run()
    assert victims_sent(both)[:2] == victims_sent(alone)[:2]
    assert victims_sent(both)[2] != victims_sent(alone)[2]
    kept = SnapshotStore(tmp_path / "isolating").series(SnapshotKind.UPLOAD.of(0))
    assert [snapshot.round for snapshot in kept] == [1, 2, 3]


@pytest.mark.parametrize(
    "adversary",
    [
        {"name": "isolating-server", "first": 2},
        {"name": "gradient-ascent-server", "first": 2},
        {"name": "gradient-ascent-participant", "participant": 1, "first": 2},
    ],
)
def test_a_stopped_active_run_goes_on_as_if_it_had_not_been(
    tmp_path: Path, adversary: dict[str, object]
) -> None:
    whole = toys.simulated(tmp_path / "whole", adversaries=[adversary])
    with pytest.raises(KeyboardInterrupt):
        toys.simulated(tmp_path / "cut", adversaries=[adversary], watcher=toys.Stopping(3))
    cut = toys.simulated(tmp_path / "cut", adversaries=[adversary])
    assert toys.content_of(cut) == toys.content_of(whole)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: GradientAscentServer(rate=0.0), "rate must be a positive number"),
        (lambda: GradientAscentServer(first=1), "a relative rate needs an honest update"),
        (lambda: GradientAscentServer(first=5, last=4), "last is 4, before first"),
        (lambda: GradientAscentParticipant(0, targets=2, steps=3), "no more steps than"),
        (lambda: IsolatingServer(first=1), "first must be at least 2"),
    ],
)
def test_impossible_settings_are_one_sentence(make: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()  # type: ignore[operator]


def test_an_unbriefed_or_lost_adversary_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        PluginError, match="IsolatingServer: victims cannot be \\[7\\]; name some of"
    ):
        IsolatingServer(victims=(7,)).queries((0,), 4)
    with pytest.raises(PluginError, match="has no targets; call aim_at"):
        GradientAscentServer().keep_in(tmp_path).required_resources()


def _named(content: dict[str, bytes]) -> dict[str, bytes]:
    return {name.removeprefix("arrays/"): data for name, data in parameters(content).items()}


def _tensors(federation: toys.Federation, named: dict[str, bytes]) -> dict[str, torch.Tensor]:
    """Return parameters from their bytes, in the order and shape of the model's."""
    like = federation.initial.arrays
    record = ArrayRecord(
        {
            name: Array(array.dtype, tuple(array.shape), array.stype, named[name])
            for name, array in like.items()
        }
    )
    return dict(record.to_torch_state_dict())


def test_several_victims_are_attacked_at_once_and_apart(tmp_path: Path) -> None:
    isolating = IsolatingServer(victims=(0, 1), first=2).keep_in(tmp_path / "i")
    ascending = GradientAscentServer(victims=(0, 1), first=3, targets=None, steps=1)
    targets = {"participant-0": TARGETS[:10], "participant-1": TARGETS[10:]}
    data = toys.dataset()
    ascending.keep_in(tmp_path / "a").give_resources(
        AttackerResources(toys.new_model, data, targets, seed=5)
    )
    both = toys.Federation([isolating, ascending], rounds=3)
    both.run()
    chosen = ascending.ascent.targets_in(ascending.required_resources(), about_participant(1), 3)
    assert set(chosen) == set(TARGETS[10:])
    alone = {}
    for victim in (0, 1):
        one = IsolatingServer(victims=(victim,), first=2).keep_in(tmp_path / f"{victim}")
        apart = GradientAscentServer(victims=(victim,), first=3, targets=None, steps=1)
        apart.keep_in(tmp_path / f"a{victim}")
        apart.give_resources(AttackerResources(toys.new_model, data, targets, seed=5))
        toys.Federation([one, apart], rounds=3).run()
        alone[victim] = SnapshotStore(tmp_path / f"{victim}").series(SnapshotKind.UPLOAD.of(victim))
    # An isolated victim gets nothing of the others, so it does not matter who else is attacked.
    for victim, series in alone.items():
        together = SnapshotStore(tmp_path / "i").series(SnapshotKind.UPLOAD.of(victim))
        assert [s.digest for s in series] == [s.digest for s in together]


def test_victims_are_named_once_and_exist() -> None:
    for victims in ((), (0, 0), (3,)):
        with pytest.raises(PluginError, match="victims cannot be"):
            GradientAscentServer(victims=victims).queries((0,), 3)


def test_an_ascent_ends_where_its_targets_have_lost_enough(tmp_path: Path) -> None:
    model, data = toys.new_model(), toys.dataset()
    inputs, labels = data.batch(TARGETS)

    def confidence(arrays: ArrayRecord) -> float:
        model.load_state_dict(arrays.to_torch_state_dict())
        with torch.no_grad():
            return float(model(inputs).softmax(1)[torch.arange(20), labels].mean())

    def ascended(drop: float | None) -> float:
        settings: dict[str, Any] = {"first": 2, "targets": None, "steps": 2, "rate": 1.0}
        ascent = GradientAscentServer(**settings, drop=drop).ascent
        return confidence(
            ascent.ascend(start, attacker_resources(), about_participant(0), 2, 2.0)[0]
        )

    start = ArrayRecord(model.state_dict())
    before = confidence(start)
    assert ascended(None) < before - 0.1
    assert before - 0.05 <= ascended(0.05) < before - 0.04
    assert ascended(0.9) == ascended(None)
    with pytest.raises(ValueError, match="drop must be between 0 and 1"):
        GradientAscentServer(drop=1.5)
