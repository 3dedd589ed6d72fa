"""A reader never meets half a file, and nobody but the owner reads one."""

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from fedsim import files


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_and_its_new_folders_are_the_owners_only(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "x.txt"
    files.write_text(path, "häh")
    assert path.read_bytes() == "häh".encode()
    assert mode(path) == 0o600
    assert [mode(tmp_path / "a"), mode(tmp_path / "a" / "b")] == [0o700, 0o700]


def test_a_folder_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    shared.chmod(0o755)
    files.write_text(shared / "x", "1")
    assert mode(shared) == 0o755


def test_a_block_that_fails_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    files.write_bytes(path, b"old")

    def fails_half_way() -> None:
        with files.replacing(path) as temporary:
            temporary.write_bytes(b"ne")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fails_half_way()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fails_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "x.bin"
    files.write_bytes(path, b"old")

    def fails(*arguments: object) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[call], fails)
    with pytest.raises(OSError, match="no space left") as error:
        files.write_bytes(path, b"new")
    assert error.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    with pytest.raises(IsADirectoryError) as error:
        files.write_text(tmp_path / "page", "<html>")
    assert error.value.filename == str(tmp_path / "page")
    assert [path.name for path in tmp_path.iterdir()] == ["page"]


def test_an_error_names_the_file_and_not_the_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"

    def made_a_folder_meanwhile() -> None:
        with files.replacing(path) as temporary:
            temporary.write_text("new")
            path.mkdir()

    with pytest.raises(IsADirectoryError) as error:
        made_a_folder_meanwhile()
    assert (error.value.filename, error.value.filename2) == (str(path), None)


def test_until_the_block_ends_a_reader_sees_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    files.write_bytes(path, b"old")
    with files.replacing(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_what_a_library_puts_beside_the_file_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    with files.replacing(path) as temporary:
        assert mode(temporary.parent) == 0o700
        temporary.with_name(".tmpHaLf").touch()
        temporary.write_bytes(b"new")
    assert (path.read_bytes(), mode(path)) == (b"new", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_what_killed_processes_were_writing_is_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = tmp_path / "a" / "notes.part"
    files.write_text(kept, "of the user's")
    with files.replacing(tmp_path / "a" / "x.bin") as temporary:
        temporary.with_name(".tmpHaLf").touch()
        shutil.copytree(temporary.parent, tmp_path / "a" / ".x.bin.killed.part")
        temporary.touch()
    files.remove_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "notes.part", "x.bin"]


def test_json_is_readable_and_strict(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    files.write_json(path, {"b": [1, 0.5], "a": None})
    assert path.read_text().endswith("}\n")
    assert json.loads(path.read_text()) == {"b": [1, 0.5], "a": None}
    with pytest.raises(ValueError, match="Out of range float"):
        files.write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text())["a"] is None
