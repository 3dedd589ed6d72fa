"""A disk that is full, in each stage: one sentence that says where; with room, it goes on."""

import contextlib
import re
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from faults import commands, files, limit_files, written

from fedsim.rundir import RunDirectory


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a real file system of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def leave(disk: Path, kilobytes: int) -> None:
    """Fill a disk but for so many kilobytes."""
    ballast = disk / "ballast"
    ballast.unlink(missing_ok=True)
    with ballast.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        file.truncate(max(0, ballast.stat().st_size - 1024 * kilobytes))


def test_a_full_disk_stops_each_stage_with_one_sentence(tmp_path: Path, small_disk: Path) -> None:
    experiment, run = written(tmp_path), RunDirectory(small_disk / "r")
    words = ("run", experiment, "--out", run.path, "--quiet")
    told = []
    with commands(tmp_path) as fedsim:
        kilobytes = 32
        while len(told) < 40 and not (told and "report.html" in told[-1]):
            # What was written before stays.
            leave(small_disk, kilobytes)
            code, sentence = fedsim(*words).ended()
            assert code == 2, sentence
            assert sentence.startswith("fedsim: ")
            assert sentence.endswith("; make room and run the same command again, it resumes\n")
            assert sentence.count("\n") == 1
            assert "No space left on device" in sentence
            kilobytes = kilobytes + 4 if told[-1:] == [sentence] else 8
            told.append(sentence)
        assert "cannot store the snapshot of" in told[0]
        for place in (r"r/scores/\S+\.parquet", r"r/results\.json", r"r/report\.html"):
            assert any(re.search(rf"{place}: ", sentence) for sentence in told), told
        leave(small_disk, 2000)
        assert fedsim(*words).ended()[0] == 0
        assert fedsim("run", experiment, "--out", "whole", "--quiet").ended()[0] == 0
    assert files(run) == files(RunDirectory(tmp_path / "whole"))


def test_files_that_may_not_grow_are_a_full_disk(tmp_path: Path) -> None:
    experiment, run = written(tmp_path), RunDirectory(tmp_path / "r")
    with commands(tmp_path) as fedsim:
        told = []
        for size in (1_000, 2_500, 4_000, 100_000):
            limited = fedsim(
                *("run", experiment, "--out", "r", "--quiet"), first=partial(limit_files, size)
            )
            code, sentence = limited.ended()
            assert code == 2, sentence
            assert sentence.count("\n") == 1
            assert "File too large" in sentence
            told.append(sentence)
        assert "cannot make the run directory" in told[0]
        assert "report.html: File too large; make room" in told[-1]
        assert fedsim("run", experiment, "--out", "r", "--quiet").ended()[0] == 0
        assert fedsim("run", experiment, "--out", "whole", "--quiet").ended()[0] == 0
    assert files(run) == files(RunDirectory(tmp_path / "whole"))
