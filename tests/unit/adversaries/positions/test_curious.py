"""The two passive positions: what they are, what they ask, and what they keep."""

from pathlib import Path

import pytest
import torch
import toys

from adversaries.positions.curious_participant import CuriousParticipant
from adversaries.positions.curious_server import CuriousServer
from fedsim import plugins
from fedsim.data import about_all_but, about_participant
from fedsim.errors import PluginError
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshots import Policy, SnapshotStore


def test_they_are_found_like_anybodys() -> None:
    assert plugins.resolve("adversaries", "curious-server") is CuriousServer
    built = plugins.build("adversaries", "curious-participant", {"participant": 2})
    assert isinstance(built, CuriousParticipant)
    assert built.participant == 2


def test_they_follow_the_protocol_and_say_so() -> None:
    server, participant = CuriousServer().threat(), CuriousParticipant(3).threat()
    assert (server.who, participant.who) == ("the server", "participant 3")
    assert server.does == participant.does == toys.PASSIVE
    assert not server.active
    assert not participant.active
    assert "each participant's parameters" in server.sees
    assert "aggregate" in participant.sees


def test_a_server_asks_about_each_victim_by_its_uploads() -> None:
    server = CuriousServer()
    queries = server.queries((0, 2), 4)
    assert queries == (about_participant(0), about_participant(2))
    assert [server.answering(q) for q in queries] == [
        (SnapshotKind.SENT.of(v), SnapshotKind.UPLOAD.of(v)) for v in (0, 2)
    ]


def test_a_participant_asks_about_all_the_others_by_the_aggregate() -> None:
    participant = CuriousParticipant(1)
    [query] = participant.queries((0,), 3)
    assert query == about_all_but(1, 3)
    assert (query.victims, query.holders) == ((0, 2), (1,))
    assert participant.answering(query) == (SnapshotKind.AGGREGATE.of(),)


@pytest.mark.parametrize(("participant", "of"), [(3, 3), (-1, 3), (0, 1)])
def test_a_participant_must_be_there_with_others(participant: int, of: int) -> None:
    with pytest.raises(PluginError, match=f"there is no participant {participant} with others"):
        CuriousParticipant(participant).queries((0,), of)


@pytest.mark.usefixtures("flower")
def test_they_keep_what_passed_them_bit_for_bit(tmp_path: Path) -> None:
    rounds = Policy(rounds=frozenset({1, 3}))
    server = CuriousServer().keep_in(SnapshotStore(tmp_path / "server", rounds))
    participant = CuriousParticipant(2).keep_in(SnapshotStore(tmp_path / "participant", rounds))
    federation = toys.Federation([server, participant])
    end = federation.run()

    seen = {(s.round, s.key.name): s.load() for s in SnapshotStore(tmp_path / "server").index()}
    assert sorted(seen) == [
        (r, f"{kind}-{p}") for r in (1, 3) for kind in ("participant", "sent") for p in range(3)
    ]
    grid = federation.grid
    passed = {
        "sent": [content for _, kind, content in grid.sent if kind == "train"],
        "participant": [content for _, kind, content in grid.returned if kind == "train"],
    }
    for (round_number, owner), state in seen.items():
        kind, _, participant = owner.partition("-")
        message = passed[kind][3 * (round_number - 1) + int(participant)]
        for name, value in state.items():
            assert message[f"arrays/{name}"].endswith(value.numpy().tobytes())

    first, last = SnapshotStore(tmp_path / "participant").series(SnapshotKind.AGGREGATE.of())
    assert (first.round, last.round) == (1, 3)
    aggregate = end.arrays.to_torch_state_dict()
    assert all(torch.equal(last.load()[name], aggregate[name]) for name in aggregate)
    mean = toys.mean([seen[1, f"participant-{p}"] for p in range(3)], [40, 30, 20])
    assert all(
        torch.allclose(first.load()[n].double(), mean[n], rtol=1e-6, atol=1e-7) for n in mean
    )
