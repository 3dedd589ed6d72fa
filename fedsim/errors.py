"""The one family of errors that a user is meant to read.

Every bad input (config, data file, snapshot, message, plugin) ends in a `FedsimError` whose text
is a single sentence saying what is wrong, where, and what would be valid. The command line prints
that sentence and exits with code 2; a traceback is always a defect of ours.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Self

LONGEST_SENTENCE = 1_500
LONGEST_VALUE = 64
MOST_FAULTS = 20
LONGEST_LIST = 12_000
"""The most characters of all faults in one error; each is at most one sentence long."""


class FedsimError(Exception):
    """A mistake in what the user gave, in one sentence.

    The sentence may quote what was given. What would break the line or command the terminal is
    shown as an escape, and the middle of a very long sentence is left out.

    Parameters
    ----------
    sentence
        The text.
    longest
        How many characters are shown; more where several mistakes are reported at once.

    Attributes
    ----------
    faults
        The mistakes that it reports, a sentence each; of one error several, see `of_all`.

    Examples
    --------
    >>> error = FedsimError.of_all(["seed is -1", "attacks is empty"])
    >>> str(error), error.faults
    ('2 faults: (1) seed is -1; (2) attacks is empty', ('seed is -1', 'attacks is empty'))
    """

    def __init__(self, sentence: str = "", longest: int = LONGEST_SENTENCE) -> None:
        super().__init__(_readable(sentence, longest))
        self.faults: tuple[str, ...] = (str(self),)

    @classmethod
    def of_all(cls, faults: Sequence[str], start: str = "") -> Self:
        """Return one error of several mistakes; `start` says of what they are."""
        longest = LONGEST_LIST if len(faults) > 1 else LONGEST_SENTENCE
        error = cls(f"{start}{joined_faults(faults)}", longest)
        error.faults = tuple(f"{start}{fault}" for fault in faults)
        return error


class ConfigError(FedsimError):
    """The experiment file, or a `--set`, is not valid."""


class DataError(FedsimError):
    """A data set is missing, damaged, or too small for what was asked of it."""


class SnapshotError(FedsimError):
    """A snapshot is missing, damaged, or does not fit the model."""


class PluginError(FedsimError):
    """A plugin cannot be found, imported, or built."""


class MessageError(FedsimError):
    """A Flower message carried something that the federation cannot use."""


class RunDirectoryError(FedsimError):
    """A run directory is missing, in use, or belongs to another experiment."""


def _readable(sentence: str, longest: int = LONGEST_SENTENCE) -> str:
    r"""Return a sentence on one line of bounded length.

    >>> _readable("a\n\x1b[2Jb")
    'a\\n\\x1b[2Jb'
    """
    if len(sentence) > longest:
        half = longest // 2
        sentence = f"{sentence[:half]} [...] {sentence[-half:]}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in sentence)


def listed(names: Iterable[object]) -> str:
    """Return names as they appear in an error message: sorted, comma separated, or 'none'.

    >>> listed({"b", "a"})
    'a, b'
    >>> listed([])
    'none'
    """
    return ", ".join(sorted(str(name) for name in names)) or "none"


def joined_faults(faults: Sequence[str]) -> str:
    """Return faults as one sentence; a single one as it is.

    >>> joined_faults(["seed is -1", "attacks is empty"])
    '2 faults: (1) seed is -1; (2) attacks is empty'
    """
    if len(faults) == 1:
        return faults[0]
    numbered = [f"({n}) {fault}" for n, fault in enumerate(faults[:MOST_FAULTS], start=1)]
    more = f"; and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
    return f"{len(faults)} faults: {'; '.join(numbered)}{more}"


def shown(value: object) -> str:
    """Return a user's value for use in a sentence, shortened if it is long.

    >>> shown("a"), shown([100, 200] * 100)
    ("'a'", '[100, 200, 100, 200, 100, 200, 100, 200, 100, 200, 100, 200,...')
    """
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**LONGEST_VALUE:
        return f"a number of {int(value.bit_length() / math.log2(10)) + 1:,} digits"
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 4]}..."


def plural(count: int, noun: str, several: str | None = None) -> str:
    """Return a count with its noun; `several` is the plural where an s does not make it.

    >>> plural(1, "seed"), plural(2000, "record"), plural(2, "query", "queries")
    ('1 seed', '2,000 records', '2 queries')
    """
    return f"{count:,} {noun if count == 1 else several or f'{noun}s'}"
