import json
import stat
import threading
from dataclasses import replace

import numpy as np
import pytest

from fedsim.data import Arrays, default_cache_dir
from fedsim.data.cache import load_or_decode
from fedsim.errors import DataError


def make(value: int = 1) -> Arrays:
    return Arrays(
        np.full((4, 3), value, dtype=np.uint8),
        np.array([0, 1, 0, 1]),
        test=np.array([False, False, False, True]),
        mean=(0.0, 1.0, 2.0),
        std=(1.0, 2.0, 3.0),
        num_classes=7,
        class_names=tuple("abcdefg"),
    )


def must_not_decode() -> Arrays:
    raise AssertionError("decoded again")


def open_entry(place, decode=make, source="s", decoder=1):
    return load_or_decode(place, "x", decoder=decoder, source=source, decode=decode)


def test_second_open_reads_memory_maps_of_what_was_decoded(place):
    for arrays in (open_entry(place), open_entry(place, must_not_decode)):
        assert isinstance(arrays.features, np.memmap)
        assert not arrays.features.flags.writeable
        for name in ("features", "labels", "test"):
            np.testing.assert_array_equal(getattr(arrays, name), getattr(make(), name))
        for name in ("mean", "std", "num_classes", "class_names"):
            assert getattr(arrays, name) == getattr(make(), name)


def test_mapped_labels_groups_and_the_objective_are_kept(place):
    def words() -> Arrays:
        labels, users = np.array(["b", "c", "b", "b"]), np.array([5, 5, 9, 5])
        return Arrays(np.arange(8).reshape(4, 2), labels, groups=users, objective="classification")

    for found in (open_entry(place, words), open_entry(place, must_not_decode)):
        assert found.features.dtype == np.int64
        assert (found.labels.tolist(), found.label_values) == ([0, 1, 0, 0], ("b", "c"))
        assert (found.groups.tolist(), found.group_names) == ([0, 0, 1, 0], ("5", "9"))
        assert (found.objective, found.class_names) == ("classification", ("b", "c"))


def test_another_decoder_or_source_is_another_entry(place):
    open_entry(place)
    assert open_entry(place, lambda: make(2), decoder=2).features[0, 0] == 2
    assert open_entry(place, lambda: make(3), source="t").features[0, 0] == 3
    assert open_entry(place, must_not_decode).features[0, 0] == 1


def truncate(entry):
    file = entry / "features.npy"
    file.write_bytes(file.read_bytes()[:-1])


def lengthen(entry):
    with (entry / "labels.npy").open("ab") as file:
        file.write(b"x")


def plant_pickle(entry):
    array = np.array([None] * 4, dtype=object)
    np.save(entry / "labels.npy", array, allow_pickle=True)


def lose_file(entry):
    (entry / "test.npy").unlink()


def break_meta(entry):
    (entry / "meta.json").write_text("{")


def empty_meta(entry):
    (entry / "meta.json").write_text("[]")


def unknown_detail(entry):
    meta = json.loads((entry / "meta.json").read_text())
    meta["details"]["surprise"] = 1
    (entry / "meta.json").write_text(json.dumps(meta))


@pytest.mark.parametrize(
    "damage",
    [truncate, lengthen, plant_pickle, lose_file, break_meta, empty_meta, unknown_detail],
)
def test_damaged_entry_is_built_again(place, damage):
    said = []
    open_entry(place)
    (entry,) = place.cache_dir.iterdir()
    damage(entry)
    arrays = open_entry(replace(place, say=said.append), lambda: make(9))
    assert (arrays.features == 9).all()
    assert "is damaged" in said[0]
    assert open_entry(place, must_not_decode).features[0, 0] == 9
    assert list(place.cache_dir.iterdir()) == [entry]


def test_everything_is_readable_by_its_owner_only(place):
    open_entry(place)
    modes = {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in place.cache_dir.rglob("*")}
    assert modes == {0}
    assert stat.S_IMODE(place.cache_dir.stat().st_mode) == 0o700


def test_failed_decoding_leaves_nothing(place):
    with pytest.raises(ZeroDivisionError):
        open_entry(place, lambda: 1 // 0)
    assert not place.cache_dir.exists()


def test_two_builders_at_once_do_not_clash(place):
    both_decoding = threading.Barrier(2)
    results = []

    def decode():
        both_decoding.wait(timeout=10)
        return make(5)

    def build():
        results.append(open_entry(place, decode))

    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.features.sum() for result in results] == [60, 60]
    assert len(list(place.cache_dir.iterdir())) == 1


def test_cache_that_cannot_be_written_gets_a_sentence(place):
    place.cache_dir.write_text("a file where the directory should be")
    with pytest.raises(DataError, match=r"cannot be kept in the cache .*FEDSIM_CACHE"):
        open_entry(place)


def test_cache_directory_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("FEDSIM_CACHE", str(tmp_path / "mine"))
    assert default_cache_dir() == tmp_path / "mine"
    monkeypatch.delenv("FEDSIM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache_dir() == tmp_path / "xdg" / "fedsim"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / ".cache" / "fedsim"
