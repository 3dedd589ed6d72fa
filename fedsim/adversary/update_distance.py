"""The distance of a malicious message from the honest one: what a defender could notice.

Both are measured as updates from parameters that the receiver already has: for messages of the
server, the receiver's own last upload; for an upload, the parameters that the participant was sent.
An isolated participant, for example, is sent an update of length zero.

Only trainable parameters are compared. Buffers, such as the running statistics and counters of
BatchNorm, would dominate the distance and are reported separately.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import astuple, dataclass

from flwr.app import ArrayRecord, MetricRecord, RecordDict
from torch import Tensor

from fedsim.models.trainable import required_names
from fedsim.transport.flower_records import FastMetrics

MALICIOUS = "crafted"
"""The key in an adversary's memory, which checkpoints hold."""
_COLUMNS = ("round", "participant", "norm-ratio", "cosine", "buffers")


@dataclass(frozen=True)
class UpdateDistance:
    """One malicious message against the honest one in its place.

    Attributes
    ----------
    round, participant
        Which message: the one to or from this participant.
    norm_ratio
        Euclidean length of the malicious update over that of the honest one.
    cosine
        Of the angle between the two updates; 0 where one of them has no length.
    buffers
        Euclidean distance of the malicious buffers from the honest ones; 0 where there are none.
    """

    round: int
    participant: int
    norm_ratio: float
    cosine: float
    buffers: float = 0.0


def compare_updates(
    base: ArrayRecord,
    honest: ArrayRecord,
    malicious: ArrayRecord,
    names: Collection[str] | None = None,
) -> tuple[float, float, float]:
    """Return norm ratio and cosine of the updates ``malicious - base`` and ``honest - base``.

    Both of what `names` names, the parameters that training changes; by default of what looks like
    them (see `fedsim.models.trainable`). The third figure is the distance between the buffers.
    """
    measured = required_names(names, base, honest, malicious)
    start, meant, made = (
        {name: value.double() for name, value in arrays.to_torch_state_dict().items()}
        for arrays in (base, honest, malicious)
    )
    true = {n: meant[n] - value for n, value in start.items() if n in measured}
    false = {n: made[n] - value for n, value in start.items() if n in measured}
    apart = {n: made[n] - value for n, value in meant.items() if n not in measured}
    length, altered = math.sqrt(_dot(true, true)), math.sqrt(_dot(false, false))
    ratio = altered / length if length else float(altered > 0)
    cosine = _dot(true, false) / (length * altered) if length and altered else 0.0
    return ratio, cosine, math.sqrt(_dot(apart, apart))


def note_distance(memory: RecordDict, entry: UpdateDistance) -> None:
    """Add an entry to what an adversary remembers."""
    columns = zip(_COLUMNS, _columns(memory), astuple(entry), strict=True)
    # A quick record: Flower's own would look at all that was ever noted, for each message.
    memory[MALICIOUS] = FastMetrics({name: [*before, value] for name, before, value in columns})


def noted(memory: RecordDict) -> tuple[UpdateDistance, ...]:
    """Return the entries that an adversary remembers."""
    return tuple(
        UpdateDistance(int(round_number), int(participant), *figures)
        for round_number, participant, *figures in zip(*_columns(memory), strict=True)
    )


def _columns(memory: RecordDict) -> list[list[float]]:
    record = memory.get(MALICIOUS)
    if not isinstance(record, MetricRecord):
        return [[] for _ in _COLUMNS]
    return [_column(record[name]) for name in _COLUMNS]


def _column(value: object) -> list[float]:
    return value if isinstance(value, list) else []


def _dot(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> float:
    return sum(float((value * right[name]).sum()) for name, value in left.items())
