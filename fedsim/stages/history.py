"""What a federation leaves in JSON, read strictly: figures by round, and its malicious messages.

A reader gets figures that are what they are called, or one sentence.
"""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from fedsim.adversary.update_distance import UpdateDistance
from fedsim.bounded_io import read_bytes
from fedsim.errors import RunDirectoryError
from fedsim.federation.rounds import RoundFigures

_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def _possible(figures: RoundFigures) -> RoundFigures:
    accuracies = (figures.local_accuracy, figures.train_accuracy, figures.test_accuracy)
    if figures.round < 1 or not all(0 <= one <= 1 for one in accuracies if one is not None):
        raise ValueError(f"round {figures.round} has an accuracy that is none")
    return figures


def _in_order(rounds: tuple[RoundFigures, ...]) -> tuple[RoundFigures, ...]:
    numbers = [figures.round for figures in rounds]
    if numbers != sorted(set(numbers)):
        raise ValueError("its rounds are not in order")
    return rounds


def _comparable(crafted: UpdateDistance) -> UpdateDistance:
    if not (crafted.norm_ratio >= 0 and abs(crafted.cosine) <= 1.001 and crafted.buffers >= 0):
        raise ValueError(f"round {crafted.round} has figures that cannot be")
    return crafted


Figures = Annotated[RoundFigures, AfterValidator(_possible)]
RoundHistory = Annotated[tuple[Figures, ...], AfterValidator(_in_order)]


@dataclass(frozen=True, config=_STRICT)
class HistoryFile:
    """A ``history.json``: figures by round; the first may be taken over from another federation."""

    schema: Literal[1]
    taken_over: Annotated[int, Field(ge=0)]
    rounds: RoundHistory


@dataclass(frozen=True, config=_STRICT)
class CraftedMessages:
    """A ``crafted.json``: each message against the honest one, and remarks on what was done."""

    schema: Literal[1]
    messages: tuple[Annotated[UpdateDistance, AfterValidator(_comparable)], ...]
    remarks: tuple[Annotated[str, Field(max_length=1000)], ...] = ()


_HISTORY, _CRAFTED = TypeAdapter(HistoryFile), TypeAdapter(CraftedMessages)
FileContent = TypeVar("FileContent")


def read_history_file(path: Path) -> HistoryFile:
    """Return the history of a federation.

    Raises
    ------
    RunDirectoryError
        If there is none, or it is damaged.
    """
    return _read(path, _HISTORY)


def read_malicious_updates(path: Path) -> CraftedMessages:
    """Return how far the malicious messages of a federation lie from honest ones, and remarks.

    Raises
    ------
    RunDirectoryError
        If the file is missing or damaged.
    """
    return _read(path, _CRAFTED)


def _read(path: Path, kind: TypeAdapter[FileContent]) -> FileContent:
    try:
        return kind.validate_json(read_bytes(path))
    except OSError as error:
        reason = str(error)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        reason = f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"
    raise RunDirectoryError(f"cannot read {path} ({reason}); run the federation to its end first")
