"""A snapshot is there whole or not at all, and what is wrong with one is told in one sentence."""

import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from flwr.app import ArrayRecord

from fedsim.errors import SnapshotError
from fedsim.observation import snapshots
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshot_file import Snapshot
from fedsim.observation.snapshots import Policy, SnapshotStore, planned_bytes, require_space

STATE = {
    "z.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "a.bias": torch.tensor([0.5, -0.5]),
    "bn.batches": torch.tensor(7),
}


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(tmp_path / "seen")


@pytest.fixture
def snapshot(store: SnapshotStore) -> Snapshot:
    store.keep(3, SnapshotKind.AGGREGATE.of(), ArrayRecord(STATE))
    return store.index()[0]


def told(snapshot: Snapshot) -> str:
    with pytest.raises(SnapshotError) as error:
        snapshot.load()
    assert "\n" not in str(error.value)
    assert str(snapshot.path) in str(error.value)
    return str(error.value)


def test_a_snapshot_comes_back_as_it_was(snapshot: Snapshot) -> None:
    assert (snapshot.round, snapshot.key.name) == (3, "aggregate")
    assert snapshot.path.name == "round-00003.aggregate.safetensors"
    state = snapshot.load()
    assert state.keys() == STATE.keys()
    for name, value in STATE.items():
        assert torch.equal(state[name], value)
        assert (state[name].dtype, state[name].shape) == (value.dtype, value.shape)


def test_what_is_loaded_is_memory_mapped(store: SnapshotStore) -> None:
    store.keep(1, SnapshotKind.AGGREGATE.of(), ArrayRecord({"w": torch.ones(300_000)}))
    [snapshot] = store.index()
    state = snapshot.load()
    mapped = [
        line.split()[0].split("-")
        for line in Path("/proc/self/maps").read_text().splitlines()
        if line.endswith(str(snapshot.path))
    ]
    address = state["w"].data_ptr()
    assert any(int(start, 16) <= address < int(end, 16) for start, end in mapped)


def test_the_digest_depends_on_content_and_names_but_not_on_order(store: SnapshotStore) -> None:
    other = {**STATE, "a.bias": torch.tensor([0.5, -0.25])}
    for number, state in enumerate([STATE, dict(reversed(STATE.items())), other]):
        store.keep(number, SnapshotKind.AGGREGATE.of(), ArrayRecord(state))
    first, second, third = (s.digest for s in store.index())
    assert first == second != third


def test_the_policy_says_what_is_kept(tmp_path: Path) -> None:
    policy = Policy(frozenset({2, 4}), frozenset({SnapshotKind.UPLOAD.of(1)}))
    store = SnapshotStore(tmp_path / "seen", policy)
    for round_number in (1, 2, 3, 4):
        for key in (
            SnapshotKind.UPLOAD.of(0),
            SnapshotKind.UPLOAD.of(1),
            SnapshotKind.AGGREGATE.of(),
        ):
            store.keep(round_number, key, ArrayRecord(STATE))
    kept = [(s.round, s.key.name) for s in store.index()]
    assert kept == [(2, "participant-1"), (4, "participant-1")]
    keys = (SnapshotKind.AGGREGATE.of(), SnapshotKind.SENT.of(1))
    assert all(Policy().keeps(r, key) for r in (0, 9) for key in keys)


def test_a_series_is_in_the_order_of_the_rounds(store: SnapshotStore) -> None:
    for round_number in (100_000, 9, 10):
        store.keep(round_number, SnapshotKind.UPLOAD.of(12), ArrayRecord(STATE))
        store.keep(round_number, SnapshotKind.UPLOAD.of(1), ArrayRecord(STATE))
    assert [s.round for s in store.series(SnapshotKind.UPLOAD.of(12))] == [9, 10, 100_000]


def test_a_series_holds_what_the_policy_keeps(store: SnapshotStore, snapshot: Snapshot) -> None:
    assert store.series(SnapshotKind.UPLOAD.of(0)) == ()
    assert store.series(SnapshotKind.UPLOAD.of(0), SnapshotKind.AGGREGATE.of()) == (snapshot,)
    later = SnapshotStore(store.folder, Policy(rounds=frozenset({4})))
    assert later.series(SnapshotKind.AGGREGATE.of()) == ()
    assert SnapshotStore(store.folder / "absent").index() == ()


def test_files_that_are_no_snapshots_are_passed_over(
    store: SnapshotStore, snapshot: Snapshot
) -> None:
    for name in ("server-x", "Aggregate", "aggregate-1", "sent", "gradient-3"):
        shutil.copy(snapshot.path, snapshot.path.with_name(f"round-00003.{name}.safetensors"))
    assert store.index() == (snapshot,)


@pytest.mark.parametrize("size", [0, 7, 60, -1])
def test_a_truncated_file(snapshot: Snapshot, size: int) -> None:
    content = snapshot.path.read_bytes()
    snapshot.path.write_bytes(content[:size])
    assert "cannot read snapshot" in told(snapshot)


def test_every_flipped_bit_of_the_content_is_found(snapshot: Snapshot) -> None:
    content = bytearray(snapshot.path.read_bytes())
    length = 8 + int.from_bytes(content[:8], "little")
    for position in range(length, len(content)):
        content[position] ^= 1
        snapshot.path.write_bytes(content)
        assert "is damaged (its content does not match its checksum)" in told(snapshot)
        content[position] ^= 1
    snapshot.path.write_bytes(content)
    assert snapshot.load().keys() == STATE.keys()


def test_a_flipped_bit_of_the_header_is_an_error_or_changes_nothing(snapshot: Snapshot) -> None:
    content = bytearray(snapshot.path.read_bytes())
    for position in range(8 + int.from_bytes(content[:8], "little")):
        content[position] ^= 1
        snapshot.path.write_bytes(content)
        with suppress(SnapshotError):
            state = snapshot.load()
            assert all(torch.equal(state[name], value) for name, value in STATE.items())
        content[position] ^= 1


@pytest.mark.parametrize(
    "name", ["round-00004.aggregate.safetensors", "round-00003.participant-1.safetensors"]
)
def test_a_renamed_file(snapshot: Snapshot, store: SnapshotStore, name: str) -> None:
    snapshot.path.rename(store.folder / name)
    [renamed] = store.index()
    assert "is not the snapshot that its name says" in told(renamed)
    with pytest.raises(SnapshotError, match="is not the snapshot that its name says"):
        renamed.digest  # noqa: B018 - reading it is what is tested


@pytest.mark.parametrize("content", [b"", b"\x80\x04N.", b"PK\x03\x04" + bytes(60)])
def test_a_foreign_file(snapshot: Snapshot, content: bytes) -> None:
    snapshot.path.write_bytes(content)
    assert "cannot read snapshot" in told(snapshot)


def test_a_safetensors_file_of_somebody_else(snapshot: Snapshot) -> None:
    snapshots.save_file(STATE, snapshot.path)
    assert "is not the snapshot that its name says (a fedsim-snapshot-1 file of" in told(snapshot)


def test_other_files_are_no_snapshots(snapshot: Snapshot, store: SnapshotStore) -> None:
    for name in ("notes.txt", ".round-00001.aggregate.safetensors.x.part", "round-1.aggregate"):
        shutil.copy(snapshot.path, store.folder / name)
    assert store.index() == (snapshot,)


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fills_up(state: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(snapshots, "save_file", fills_up)
    with pytest.raises(SnapshotError) as error:
        store.keep(5, SnapshotKind.UPLOAD.of(2), ArrayRecord(STATE))
    assert "cannot store the snapshot of participant-2 in round 5 as" in str(error.value)
    assert "No space left on device" in str(error.value)
    assert list(store.folder.iterdir()) == []


def test_space_is_planned_and_required(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert planned_bytes(1000, 8, ["a", "b", "a"]) == 16_000
    usage = shutil.disk_usage(tmp_path)._replace(free=5_000_000_000)
    monkeypatch.setattr(snapshots.shutil, "disk_usage", lambda folder: usage)
    require_space(tmp_path, 5_000_000_000)
    with pytest.raises(SnapshotError, match=r"writes 7\.50 GB below .* only 5\.00 GB are free"):
        require_space(tmp_path, 7_500_000_000)
