"""Running a subject over many broken inputs, and telling what came of each.

An input is either accepted or refused with a `FedsimError` whose text is one clear sentence.
Anything else is a defect: another exception, a sentence with control characters or without end, an
input that takes seconds or hundreds of megabytes, and whatever the guard forbids.

Every input has a number and is made from (seed, subject, number) alone, so a defect can be made
again without keeping its input.
"""

import re
import resource
import signal
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from fedsim.errors import LONGEST_LIST, FedsimError
from fuzz.guard import Escaped, armed

MOST_SECONDS = 10.0
MOST_BYTES = 256 << 20
LONGEST_SENTENCE = 2_000
ADDRESS_SPACE = 4 << 30


class TooSlow(BaseException):
    """An input took longer than any input may."""


@dataclass
class Subject:
    """A reader, and what breaks its input.

    Attributes
    ----------
    name
        What the summary calls it.
    make
        Makes a broken input: bytes of a file, or an object.
    read
        Gives an input to the reader; may write into the folder.
    may
        What it may do of what the guard forbids.
    most_bytes
        By how much memory may grow for one input.
    """

    name: str
    make: Callable[[Random], Any]
    read: Callable[[Any, Path], object]
    may: frozenset[str] = frozenset()
    most_bytes: int = MOST_BYTES

    def input_of(self, number: int, seed: int) -> Any:
        """Return the input of a number."""
        return self.make(self.random(number, seed))

    def random(self, number: int, seed: int) -> Random:
        """Return what an input is drawn from."""
        return Random(f"{seed} {self.name} {number}")

    def problem_of(self, broken: Any, sentence: str) -> str | None:
        """Return why the sentence by which an input was refused does not serve, or None."""
        return unclear(sentence)


@dataclass(frozen=True)
class Defect:
    """An input that was neither accepted nor refused as it should be."""

    subject: str
    number: int
    what: str
    trace: str


@dataclass
class Tally:
    """What came of the inputs of a subject: counts, the largest growth of memory, the defects."""

    counts: Counter[str] = field(default_factory=Counter)
    sentences: Counter[str] = field(default_factory=Counter)
    peak: int = 0
    slowest: float = 0.0
    defects: list[Defect] = field(default_factory=list)


def run(
    subject: Subject, folder: Path, *, seed: int, first: int, count: int, tally: Tally | None = None
) -> Tally:
    """Give `count` inputs from number `first` on to a subject, and return what came of them."""
    tally = tally or Tally()
    for number in range(first, first + count):
        broken = subject.input_of(number, seed)
        _one(subject, broken, folder, number, tally)
    return tally


def _one(subject: Subject, broken: Any, folder: Path, number: int, tally: Tally) -> None:
    before = _reset_peak()
    began = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    try:
        with _limited_time(), warnings.catch_warnings(), armed(folder, subject.may):
            warnings.simplefilter("ignore")
            subject.read(broken, folder)
        outcome = "accepted"
    except FedsimError as error:
        outcome = "refused"
        tally.sentences[_kind_of(str(error))] += 1
        if problem := subject.problem_of(broken, str(error)):
            outcome = "crashed"
            tally.defects.append(Defect(subject.name, number, problem, repr(str(error))[:500]))
    except (Exception, Escaped, TooSlow) as error:
        outcome = "crashed"
        what = f"{type(error).__name__}: {str(error)[:200]}"
        tally.defects.append(Defect(subject.name, number, what, traceback.format_exc()[-3000:]))
    grown = max(_peak() - before, 0)
    if grown > subject.most_bytes:
        outcome = "crashed"
        what = f"took {grown >> 20} MB"
        tally.defects.append(Defect(subject.name, number, what, ""))
    tally.counts[outcome] += 1
    tally.peak = max(tally.peak, grown)
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_utime - began
    tally.slowest = max(tally.slowest, taken)


def unclear(sentence: str) -> str | None:
    """Return why a text is not one clear sentence, or None."""
    if not sentence.strip():
        return "an empty sentence"
    if not sentence.isprintable():
        return "a sentence with control characters or line breaks"
    longest = LONGEST_LIST + 1_000 if " faults: (1) " in sentence else LONGEST_SENTENCE
    if len(sentence) > longest:
        return f"a sentence of {len(sentence)} characters"
    if re.search(r"object at 0x[0-9a-f]+", sentence):
        return "a sentence with an address in it"
    return None


@contextmanager
def limited_memory(more: int = ADDRESS_SPACE) -> Iterator[None]:
    """Let this process reserve only so many bytes more than it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextmanager
def _limited_time() -> Iterator[None]:
    """Raise `TooSlow` when the block computes for too long; waiting for a turn does not count."""

    def stop(*_: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, MOST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _kind_of(sentence: str) -> str:
    """Return a sentence without what differs from input to input."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|[/\w.-]*/[\w./-]*|\d+", "_", sentence)[:60]


def _reset_peak() -> int:
    """Start measuring the largest resident size anew, and return the present one, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _status(field_name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field_name):
            return int(line.split()[1]) << 10
    return 0
