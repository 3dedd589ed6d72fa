"""The fuzzer itself: what it must notice, it notices."""

import os
import pickle
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest

from fedsim.errors import FedsimError
from fuzz.guard import Escaped, armed
from fuzz.harness import MOST_BYTES, Subject, limited_memory, run, unclear
from fuzz.mutators import npy, raw, texts, trees


def outcome(read: Callable[[object, Path], object], folder: Path) -> str:
    """Return what the harness says of a reader: an outcome, or what the defect was."""
    tally = run(Subject("one", lambda random: b"x", read), folder, seed=0, first=0, count=1)
    return tally.defects[0].what if tally.defects else next(iter(tally.counts))


def refuse(sentence: str) -> Callable[[object, Path], object]:
    def read(content: object, folder: Path) -> None:
        raise FedsimError(sentence)

    return read


def fail(content: object, folder: Path) -> None:
    raise KeyError("x")


def grow(content: object, folder: Path) -> None:
    np.ones(MOST_BYTES // 4)


def hang(content: object, folder: Path) -> None:
    while True:
        pass


def write_inside(content: object, folder: Path) -> None:
    (folder / "a").write_bytes(b"x")
    (folder / "a").replace(folder / "b")
    (folder / "c").mkdir(exist_ok=True)
    shutil.rmtree(folder / "c")


def write_outside(content: object, folder: Path) -> None:
    (folder.parent / "outside").write_bytes(b"x")


def write_through_a_link(content: object, folder: Path) -> None:
    link = folder / "link"
    if not link.is_symlink():
        link.symlink_to(folder.parent)
    (link / "outside").write_bytes(b"x")


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("exit 7",)


PICKLED = pickle.dumps(Malicious())


def test_every_kind_of_defect_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.harness.MOST_SECONDS", 0.2)
    folder = tmp_path / "inside"
    folder.mkdir()
    assert outcome(lambda content, _: None, folder) == "accepted"
    assert outcome(write_inside, folder) == "accepted"
    assert outcome(refuse("a is no b"), folder) == "refused"
    assert outcome(refuse(""), folder) == "an empty sentence"
    assert outcome(fail, folder) == "KeyError: 'x'"
    assert outcome(hang, folder).startswith("TooSlow")
    for escape in (write_outside, write_through_a_link):
        assert outcome(escape, folder).startswith("Escaped: open")
    assert outcome(lambda c, _: pickle.loads(PICKLED), folder).startswith("Escaped: pickle")  # noqa: S301
    assert outcome(lambda c, _: subprocess.run("true"), folder).startswith("Escaped: subpr")
    assert not (tmp_path / "outside").exists()
    assert outcome(grow, folder).startswith("took ")


def test_a_sentence_is_one_clear_line() -> None:
    assert unclear("the ledger a has no b") is None
    for bad in ("", "a\nb", "\x1b[2J", "x" * 5000, "<A object at 0x7f12>"):
        assert unclear(bad) is not None


def test_memory_can_be_limited() -> None:
    with limited_memory(1 << 30), pytest.raises(MemoryError):
        np.empty(1 << 34, np.uint8)
    np.empty(1 << 31, np.uint8)


def test_the_guard_is_disarmed_after_its_block(tmp_path: Path) -> None:
    with armed(tmp_path), pytest.raises(Escaped):
        os.system("true")  # noqa: S605
    assert os.system("true") == 0  # noqa: S605


def test_inputs_are_made_from_their_number_alone() -> None:
    tree = {"a": [1, {"b": "c"}], "d": None}
    for make in (
        lambda random: raw.mutated(b"content", random),
        lambda random: texts.as_yaml(tree, random),
        lambda random: texts.as_json(tree, random),
        lambda random: npy.mutated(np.arange(6.0), random),
    ):
        first = [make(Random(f"0 a {number}")) for number in range(40)]
        assert first == [make(Random(f"0 a {number}")) for number in range(40)]
        assert len(set(first)) > 30
    assert tree == {"a": [1, {"b": "c"}], "d": None}
    assert trees.nested(2, 1) == [[1]]
