"""Jobs side by side: what they do and tell is what one process does and tells."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import torch

from fedsim.engines.parallel_jobs import _Finished, _Step, _work, run_jobs
from fedsim.errors import DataError, FedsimError
from fedsim.progress import SILENCE, Advance, Watcher
from fedsim.transport.channel import new_channel


@dataclass
class Noting:
    """A watcher that notes what it is told, and which tasks are open."""

    heard: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.heard.append(text)

    @contextmanager
    def task(self, what: str, total: int, done: int = 0) -> Iterator[Advance]:
        self.open.append(what)
        try:
            yield lambda standing: self.heard.append(f"{what} {standing} of {done}+{total}")
        finally:
            self.open.remove(what)


def job(folder: Path, name: str, watcher: Watcher) -> Iterator[str]:
    with watcher.task(name, 2, 1) as advance:
        for step in (1, 2):
            advance(str(step))
            yield f"{name}{step}"
    watcher.say(f"{name} ran with {torch.get_num_threads()}")
    (folder / name).write_text(str(os.getpid()))


@pytest.mark.parametrize("workers", [1, 2, 3, 9])
def test_all_is_done_and_told(tmp_path: Path, workers: int) -> None:
    watcher, names = Noting(), "abcde"
    jobs = {name: partial(job, tmp_path, name) for name in names}
    steps = list(run_jobs(jobs, workers, 1, watcher))
    assert sorted(steps) == [f"{name}{step}" for name in names for step in (1, 2)]
    for name in names:
        assert [s for s in steps if s[0] == name] == [f"{name}1", f"{name}2"]
        about = [f"{name} 1 of 1+2", f"{name} 2 of 1+2", f"{name} ran with 1"]
        assert [text for text in watcher.heard if text[0] == name] == about
    assert watcher.open == []
    ran_in = {(tmp_path / name).read_text() for name in names}
    assert len(ran_in) <= min(workers, 5)
    assert (str(os.getpid()) in ran_in) == (workers == 1)


def test_who_is_free_takes_the_next_job(tmp_path: Path) -> None:
    def slow(watcher: Watcher) -> Iterator[str]:
        while len(list(tmp_path.iterdir())) < 3:
            time.sleep(0.01)
        yield "slow"

    jobs = {"slow": slow, **{name: partial(job, tmp_path, name) for name in "abc"}}
    steps = list(run_jobs(jobs, 2, 1, SILENCE))
    # The last of the others may still be under way when it has begun.
    assert steps.index("slow") > steps.index("b2")


def test_there_may_be_nothing_to_do() -> None:
    assert list(run_jobs({}, 4, 1, SILENCE)) == []


def failing(error: BaseException, watcher: Watcher) -> Iterator[str]:
    with watcher.task("broken", 1):
        yield "begun"
        raise error


def sleeping(watcher: Watcher) -> Iterator[str]:
    with watcher.task("asleep", 1):
        yield "asleep"
        time.sleep(3600)  # if anything waits for it, the test times out


@pytest.mark.parametrize(
    "error", [DataError("no such data"), OSError(28, "No space left", "f"), ValueError("ours")]
)
def test_errors_reach_the_parent_and_end_the_others(error: Exception) -> None:
    watcher = Noting()
    jobs = {"bad": partial(failing, error), "asleep": sleeping}
    with pytest.raises(type(error)) as raised:
        list(run_jobs(jobs, 2, 1, watcher))
    assert str(raised.value) == str(error)
    [note] = raised.value.__notes__
    assert note.startswith("At work on bad:\nTraceback")
    assert "in failing" in note
    assert watcher.open == []


def test_a_killed_process_is_one_sentence() -> None:
    def dies(watcher: Watcher) -> Iterator[str]:
        yield "begun"
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(FedsimError) as raised:
        list(run_jobs({"the moon": dies, "asleep": sleeping}, 2, 1, SILENCE))
    assert str(raised.value).startswith(
        "the process that was at work on the moon was killed by SIG"
    )


def test_broken_off_from_outside_all_is_closed() -> None:
    watcher = Noting()
    with closing(run_jobs({"one": sleeping, "two": sleeping}, 2, 1, watcher)) as steps:
        assert [next(steps), next(steps)] == ["asleep", "asleep"]
        assert watcher.open == ["asleep", "asleep"]
    assert watcher.open == []


def test_what_a_process_answers_for_each_job() -> None:
    """The body of a process, in a thread of this one, where its coverage can be measured."""

    def good(watcher: Watcher) -> Iterator[str]:
        with watcher.task("good", 2, 1) as first, watcher.task("inner", 3):
            first("half")
            watcher.say("hello")
            yield "step"

    ours, theirs = new_channel()
    jobs = {"good": good, "bad": partial(failing, DataError("no such data"))}
    with ThreadPoolExecutor(1) as thread:
        body = thread.submit(_work, jobs, 1, theirs)
        ours.send("good")
        assert [ours.receive() for _ in range(8)] == [
            ("begin", 0, "good", 2, 1),
            ("begin", 1, "inner", 3, 0),
            ("advance", 0, "half"),
            ("say", "hello"),
            _Step("step"),
            ("end", 1),
            ("end", 0),
            _Finished(),
        ]
        ours.send("bad")
        assert ours.receive() == ("begin", 0, "broken", 1, 0)
        assert ours.receive() == _Step("begun")
        assert ours.receive() == ("end", 0)
        error = ours.receive()
        assert type(error) is DataError
        assert str(error) == "no such data"
        [note] = error.__notes__
        assert note.startswith("At work on bad:\nTraceback")
        ours.close()
        with pytest.raises(EOFError, match=r"^the other end of the channel is closed$"):
            body.result(10)
    theirs.close()
