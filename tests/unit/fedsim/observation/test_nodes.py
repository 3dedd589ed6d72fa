"""Nodes' numbers are noted once each, by several processes too, and read back or refused."""

import multiprocessing
from pathlib import Path

import pytest
import toys
from flwr.app import Context, Message, RecordDict

from adversaries import CuriousServer
from fedsim import NodeNumbers
from fedsim.errors import SnapshotError
from fedsim.observation.nodes import read_nodes
from fedsim.observation.snapshots import SnapshotStore


@pytest.mark.usefixtures("flower")
def test_every_node_is_noted_and_no_message_is_changed(tmp_path: Path) -> None:
    noted = toys.Federation(mods=[NodeNumbers(tmp_path / "audit")], rounds=2)
    plain = toys.Federation(rounds=2)
    assert toys.arrays_equal(noted.run().arrays, plain.run().arrays)
    assert read_nodes(tmp_path / "audit") == noted.participant_of
    assert (tmp_path / "audit" / "nodes.json").stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("flower")
def test_a_server_adversary_keeps_its_snapshots_in_the_same_folder(tmp_path: Path) -> None:
    federation = toys.Federation(
        [CuriousServer().keep_in(tmp_path)], mods=[NodeNumbers(tmp_path)], rounds=1
    )
    federation.run()
    participants = {s.participant for s in SnapshotStore(tmp_path).index()} - {None}
    assert participants == set(read_nodes(tmp_path).values())


def note(folder: Path, first: int) -> None:
    mod = NodeNumbers(folder)
    for node in range(first, first + 10):
        context = Context(1, node, {"partition-id": node % 7}, RecordDict(), {})
        mod(Message(RecordDict(), node, "train"), context, lambda message, _: message)


@pytest.mark.usefixtures("flower")
def test_processes_take_turns(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=note, args=(tmp_path, 10 * n)) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert read_nodes(tmp_path) == {node: node % 7 for node in range(40)}


@pytest.mark.usefixtures("flower")
def test_a_node_that_does_not_say_its_partition_is_left_out(tmp_path: Path) -> None:
    context = Context(1, 5, {}, RecordDict(), {})
    NodeNumbers(tmp_path)(Message(RecordDict(), 5, "train"), context, lambda m, _: m)
    with pytest.raises(SnapshotError, match=r"put fedsim\.NodeNumbers"):
        read_nodes(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"1": -1}', '{"1": "x"}'])
def test_a_damaged_file_is_one_sentence(content: str, tmp_path: Path) -> None:
    (tmp_path / "nodes.json").write_text(content)
    with pytest.raises(SnapshotError, match=r"cannot read .*nodes\.json") as error:
        read_nodes(tmp_path)
    assert "\n" not in str(error.value)
