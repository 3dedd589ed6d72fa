"""JSON files of a federation, read strictly: figures by round, and malicious updates.

A reader gets valid figures, or an error in one sentence.
"""

from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.dataclasses import dataclass

from fedsim.adversary.update_distance import UpdateDistance
from fedsim.errors import RunDirectoryError
from fedsim.federation.round_figures import PARTS, RoundFigures
from fedsim.files import read_bytes
from fedsim.report.utility_info import UtilityInfo
from fedsim.rundir.kept_json import first_fault

_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def _rounds(content: object) -> tuple[RoundFigures, ...]:
    if not isinstance(content, list):
        raise ValueError("its rounds are no list")
    return _in_order(tuple(map(RoundFigures.from_plain, content)))


def _in_order(rounds: tuple[RoundFigures, ...]) -> tuple[RoundFigures, ...]:
    numbers = [figures.round for figures in rounds]
    if numbers != sorted(set(numbers)):
        raise ValueError("its rounds are not in order")
    return rounds


def _comparable(distance: UpdateDistance) -> UpdateDistance:
    if not (distance.norm_ratio >= 0 and abs(distance.cosine) <= 1.001 and distance.buffers >= 0):
        raise ValueError(f"round {distance.round} has figures that cannot be")
    return distance


RoundHistory = Annotated[tuple[RoundFigures, ...], PlainValidator(_rounds)]


@dataclass(frozen=True, config=_STRICT)
class HistoryFile:
    """A ``history.json``: figures by round; the first may be taken over from another federation.

    `utility` says which figure of utility they have; older files leave it to the names.
    """

    schema: Literal[1]
    taken_over: Annotated[int, Field(ge=0)]
    rounds: RoundHistory
    utility: UtilityInfo | None = None

    @model_validator(mode="after")
    def _fractions_are_possible(self) -> Self:
        for figures in self.rounds:
            for part in PARTS:
                value = figures.of(f"{part}_{self.figure.name}")
                if self.figure.unit == "percent" and value is not None and not 0 <= value <= 1:
                    name = self.figure.name
                    raise ValueError(f"round {figures.round} has an {name} that is none")
        return self

    @property
    def figure(self) -> UtilityInfo:
        """Which figure of utility the rounds have."""
        if self.utility is not None:
            return self.utility
        measured = {n: v for one in self.rounds for n, v in one.figures.items() if v is not None}
        return UtilityInfo.named_in(measured)


@dataclass(frozen=True, config=_STRICT)
class MaliciousUpdates:
    """A ``malicious_updates.json``: each message beside the honest one, and remarks."""

    schema: Literal[1]
    messages: tuple[Annotated[UpdateDistance, AfterValidator(_comparable)], ...]
    remarks: tuple[Annotated[str, Field(max_length=1000)], ...] = ()


_HISTORY, _MALICIOUS = TypeAdapter(HistoryFile), TypeAdapter(MaliciousUpdates)
FileContent = TypeVar("FileContent")


def read_history_file(path: Path) -> HistoryFile:
    """Return the history of a federation.

    Raises
    ------
    RunDirectoryError
        If there is none, or it is damaged.
    """
    return _read(path, _HISTORY)


def read_malicious_updates(path: Path) -> MaliciousUpdates:
    """Return the distances of a federation's malicious messages from honest ones, and remarks.

    Raises
    ------
    RunDirectoryError
        If the file is missing or damaged.
    """
    return _read(path, _MALICIOUS)


def _read(path: Path, kind: TypeAdapter[FileContent]) -> FileContent:
    try:
        return kind.validate_json(read_bytes(path))
    except OSError as error:
        reason = str(error)
    except ValidationError as error:
        reason = first_fault(error)
    raise RunDirectoryError(f"cannot read {path} ({reason}); run the federation to its end first")
