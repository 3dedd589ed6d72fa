"""Who is away is neither asked nor trained, and nobody in the server's position sees otherwise."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import toys
from flwr.app import ArrayRecord, RecordDict
from toys import SilentServer, arrays_equal, simulated

from fedsim.config.federation import FederationSettings as Settings
from fedsim.errors import ConfigError
from fedsim.federation.participation import ParticipatingGrid
from fedsim.federation.strategies import build_strategy
from fedsim.training.optimizers import optimizer_factory

ANYBODY = {"min_available_nodes": 1}

pytestmark = pytest.mark.usefixtures("flower")


class Watching(SilentServer):
    """A server that notes whom it could have sent what."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int, int]] = []

    def send(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        self.sent.append(("train", round_number, participant))
        return arrays

    def send_evaluation(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord:
        self.sent.append(("evaluate", round_number, participant))
        return arrays


def attended(federation: toys.Federation, **attendance: tuple[int, ...]) -> toys.Federation:
    """Return the toy federation with attendance from rounds r1, r2, ... on."""
    settings = Settings(
        rounds=federation.rounds, attendance={int(k[1:]): v for k, v in attendance.items()}
    )
    federation.schedule = dataclasses.replace(
        federation.schedule,
        present=lambda r: settings.present(r, federation.participants),
    )
    return federation


def by_hand(start: dict[str, torch.Tensor], participant: int, rounds: range) -> ArrayRecord:
    """Train one participant alone, from some parameters, with its own optimiser state."""
    local = toys.Federation().local
    data, model = toys.dataset(), toys.new_model()
    model.load_state_dict(start)
    optimizer = optimizer_factory("sgd", {})(model.parameters(), local.learning_rate)
    records = toys.training_sets(data)[participant]
    for number in rounds:
        toys.train_locally(model, optimizer, records, local, (3, number, participant))
    return ArrayRecord(model.state_dict())


def test_fine_tuning_is_one_participant_after_the_other_bit_for_bit() -> None:
    ended = attended(toys.Federation(rounds=5, settings=ANYBODY), r1=(0,), r4=(1,)).run()
    first = by_hand(toys.new_model().state_dict(), 0, range(1, 4))
    second = by_hand(first.to_torch_state_dict(), 1, range(4, 6))
    assert arrays_equal(ended.arrays, second)


def test_nobody_sees_a_message_for_those_away() -> None:
    server = Watching()
    federation = attended(
        toys.Federation([server], rounds=4, settings=ANYBODY),
        r2=(0, 2),
        r3=(1,),
        r4=(0, 1, 2),
    )
    nodes = {p: node for node, p in federation.participant_of.items()}
    federation.run()
    expected = [("train", 1, p) for p in (0, 1, 2)] + [("train", 2, p) for p in (0, 2)]
    expected += [("evaluate", 2, p) for p in (0, 2)] + [("train", 3, 1)]
    expected += [("train", 4, p) for p in (0, 1, 2)] + [("evaluate", 4, p) for p in (0, 1, 2)]
    assert sorted(server.sent) == sorted(expected)
    assert [node for node, _, _ in federation.grid.sent] == [nodes[p] for _, _, p in expected]


class Noted:
    """A grid that notes what it is asked, and answers with its name."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *given, **named: self.asked.append((name, (*given, *named.values()))) or name


def test_all_but_the_nodes_is_that_of_the_grid_behind() -> None:
    behind: Any = Noted()
    grid = ParticipatingGrid(behind, [5, 3])
    content = RecordDict()
    assert grid.create_message(content, "train", 3, "1", 2.0) == "create_message"
    assert grid.push_messages([]) == "push_messages"
    assert grid.pull_messages(["a"]) == "pull_messages"
    assert grid.send_and_receive([], timeout=4.0) == "send_and_receive"
    grid.set_run("run")
    assert behind.asked == [
        ("create_message", (content, "train", 3, "1", 2.0)),
        ("push_messages", ([],)),
        ("pull_messages", (["a"],)),
        ("send_and_receive", ([], 4.0)),
        ("set_run", ("run",)),
    ]
    behind.run, behind.get_node_ids = "the run", lambda: [3, 4, 5]
    assert grid.run == "the run"
    assert grid.get_node_ids() == [5, 3]


def test_everybody_always_is_what_no_attendance_is() -> None:
    plain = toys.Federation(settings={"fraction_train": 0.7}).run()
    told = attended(toys.Federation(settings={"fraction_train": 0.7}), r1=(0, 1, 2)).run()
    assert arrays_equal(plain.arrays, told.arrays)


def test_a_strategy_samples_among_those_present() -> None:
    server = Watching()
    settings = {"fraction_train": 0.5, "min_available_nodes": 2}
    federation = toys.Federation([server], rounds=6, participants=3, settings=settings)
    attended(federation, r1=(0, 2)).run()
    trained = [who for kind, _, who in server.sent if kind == "train"]
    assert len(trained) == 6
    assert set(trained) == {0, 2}


def test_a_strategy_that_would_wait_forever_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"would wait forever for min_train_nodes = 2; .* only 1"):
        build_strategy("FedAvg", {"min_train_nodes": 2}, 1)


def test_a_run_keeps_only_what_those_present_send(tmp_path: Path) -> None:
    run = simulated(
        tmp_path / "r",
        federation={"attendance": {1: [0], 3: [1]}},
        audit={"victims": [0, 1]},
        adversaries=["curious-server"],
        snapshots={"rounds": [1, 2, 3, 4]},
    )
    uploads = run.snapshots("curious-server").glob("*.participant-*")
    names = sorted(path.name for path in uploads)
    assert names == [
        "round-00001.participant-0.safetensors",
        "round-00002.participant-0.safetensors",
        "round-00003.participant-1.safetensors",
        "round-00004.participant-1.safetensors",
    ]


@pytest.mark.parametrize(
    ("attendance", "sentence"),
    [
        ({1: [0], 9: [1]}, "from round 9 on, but federation.rounds is 4"),
        ({2: []}, "from round 2 on nobody takes part; name at least one participant"),
        ({2: [0, 3]}, r"from round 2 on \[0, 3\] take part, but participants are numbered 0 to 2"),
        ({2: [1, 1]}, "each named once"),
        (
            {1: [1, 2]},
            "victims has 0, but federation.attendance lets it take part in no round",
        ),
        ({0: [1]}, "federation.attendance.0 is 0|federation.attendance"),
    ],
)
def test_attendance_that_cannot_be_is_one_sentence(
    attendance: dict[int, list[int]], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        toys.experiment(federation={"attendance": attendance})
