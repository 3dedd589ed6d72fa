"""What a forked process does: its parts are called in this process, where they can be measured."""

import ctypes
import os
import signal
import threading
from concurrent.futures import Future

import pytest
import torch

from fedsim.engines import processes
from fedsim.engines.processes import (
    Worker,
    WorkerEnded,
    computing_thread,
    end_on_defect,
    fork_processes,
    sendable_error,
    wait_for_senders,
)
from fedsim.errors import DataError, FedsimError
from fedsim.transport.channel import Channel, new_channel


class PairError(FedsimError):
    """An error that cannot be unpickled: pickle calls it with one argument."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")


class OwnPairError(ValueError):
    """The same, of an error that is not fedsim's."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")


def test_an_error_that_can_be_pickled_is_sent_itself() -> None:
    error = DataError("no such data")
    assert sendable_error(error) is error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (PairError("model", "too big"), FedsimError),
        (OwnPairError("model", "too big"), RuntimeError),
    ],
)
def test_any_other_error_is_sent_as_its_message_and_notes(error: Exception, kind: type) -> None:
    error.add_note("At work on a")
    error.add_note("with seed 3")
    sent = sendable_error(error)
    assert type(sent) is kind
    assert str(sent) == "model: too big"
    assert sent.__notes__ == ["At work on a", "with seed 3"]


def test_an_error_without_notes_is_sent_without_notes() -> None:
    assert not hasattr(sendable_error(PairError("model", "too big")), "__notes__")


def test_a_defect_ends_the_process_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    done: Future[None] = Future()
    done.set_result(None)
    end_on_defect(done)
    assert codes == []
    assert capsys.readouterr().err == ""
    broken: Future[None] = Future()
    broken.set_exception(ZeroDivisionError("a defect"))
    end_on_defect(broken)
    assert codes == [1]
    assert capsys.readouterr().err == "ZeroDivisionError: a defect\n"


def test_the_computing_thread_has_its_name_and_its_number_of_threads() -> None:
    with computing_thread(1) as thread:
        assert thread.submit(torch.get_num_threads).result() == 1
        assert thread.submit(lambda: threading.current_thread().name).result() == "compute_0"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (None, "ended with exit code None"),
        (0, "ended with exit code 0"),
        (3, "ended with exit code 3"),
        (-signal.SIGTERM, "was killed by SIGTERM"),
        (-signal.SIGKILL, "was killed by SIGKILL (out of memory?)"),
    ],
)
def test_how_a_process_ended_in_words(code: int | None, text: str) -> None:
    assert processes._end(code) == text


def test_a_process_that_ended_is_one_sentence_with_advice() -> None:
    def ends(channel: Channel) -> None:
        os._exit(7)

    with fork_processes([ends]) as [worker], pytest.raises(WorkerEnded) as raised:
        worker.receive("was at work on a")
    assert raised.value.happened == "the process that was at work on a ended with exit code 7"
    assert str(raised.value) == (
        "the process that was at work on a ended with exit code 7; "
        "run the same command again, it goes on where it was"
    )


def test_without_memory_files_there_are_no_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(FedsimError) as raised, fork_processes([]):
        pass
    assert str(raised.value) == (
        "engine.workers above 1 and engine.timeout need Linux; set engine.workers to 1, and "
        "engine.timeout to null"
    )


def test_only_who_has_sent_is_a_sender() -> None:
    ends = [new_channel() for _ in range(3)]
    workers = [Worker(None, ours) for ours, _ in ends]  # type: ignore[arg-type]
    try:
        assert wait_for_senders(workers, 0) == []
        assert wait_for_senders(workers, -1) == []  # the time is over already
        ends[2][1].send("a")
        ends[0][1].close()
        assert wait_for_senders(workers) == [workers[0], workers[2]]
        assert workers[2].receive("sends") == "a"
    finally:
        for ours, theirs in ends:
            ours.close()
            theirs.close()


@pytest.fixture
def fork_body(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Replace what would change this process, and return what was asked of Linux."""
    asked: list[tuple[int, ...]] = []

    class Linux:
        def __init__(self, name: None) -> None:
            pass

        def prctl(self, *arguments: int) -> None:
            asked.append(arguments)

    monkeypatch.setattr(ctypes, "CDLL", Linux)
    monkeypatch.setattr(signal, "signal", lambda number, what: asked.append((number, what)))
    return asked


def test_the_body_of_a_fork(fork_body: list[tuple[int, ...]]) -> None:
    ours, theirs = new_channel()
    others = new_channel()
    processes._live(lambda channel: channel.send("done"), theirs, others, os.getppid())
    assert ours.receive() == "done"
    # Ctrl-C is ignored, and the death of the parent kills the process.
    assert fork_body == [(signal.SIGINT, signal.SIG_IGN), (1, signal.SIGKILL)]
    assert [other.socket.fileno() for other in others] == [-1, -1]
    ours.close()
    theirs.close()


def test_the_body_of_a_fork_ends_when_the_parent_closes_the_channel(
    fork_body: list[tuple[int, ...]],
) -> None:
    ours, theirs = new_channel()
    ours.close()
    processes._live(lambda channel: channel.receive(), theirs, [], os.getppid())
    theirs.close()


def test_the_body_of_a_fork_does_nothing_without_its_parent(
    fork_body: list[tuple[int, ...]],
) -> None:
    ours, theirs = new_channel()
    processes._live(lambda channel: channel.send("done"), theirs, [], os.getppid() + 1)
    theirs.close()
    with pytest.raises(EOFError, match=r"^the other end of the channel is closed$"):
        ours.receive()
    ours.close()
