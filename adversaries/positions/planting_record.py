"""The record of what a server planted in each round, and its table for the report."""

from collections.abc import Collection, Mapping, Sequence

import torch
from flwr.app import MetricRecord, RecordDict
from torch import Tensor

from adversaries.inference.entry_layer import EntryLayer
from adversaries.positions.unit_planting import PlantedUnits
from fedsim.finding import Finding

PLANTING = "planting"
"""The key in an attacker's memory, which checkpoints hold."""
COLUMNS = ("round", "records", "planted", "norm")
MOST_ROWS = 200


def note_planting(
    memory: RecordDict,
    round_number: int,
    layer: EntryLayer,
    state: Mapping[str, Tensor],
    units: Collection[PlantedUnits],
) -> None:
    """Record how many units were planted in a round, and their relative norm.

    Parameters
    ----------
    memory
        The attacker's.
    layer, state
        The layer that units are planted into, and the honest parameters.
    units
        The planted units of each victim.
    """
    usual = float(state[layer.weight].double().norm(dim=1).median())
    norms = torch.cat([one.weight.double().norm(dim=1) for one in units])
    row = (
        round_number,
        sum(one.records for one in units),
        sum(int((one.weight != 0).any(1).sum()) for one in units),
        float(norms.median()) / usual if usual else 0.0,
    )
    memory[PLANTING] = MetricRecord(
        {
            name: [*column, float(value)]
            for name, column, value in zip(COLUMNS, _columns(memory), row, strict=True)
        }
    )


def planting_findings(memory: RecordDict) -> Sequence[Finding]:
    """Return the table of planted units; none if nothing was planted."""
    rows = tuple(
        (int(number), int(records), int(units), round(norm, 3))
        for number, records, units, norm in zip(*_columns(memory), strict=True)
    )
    if not rows:
        return ()
    headings = (*COLUMNS[:3], "their norm over that of the other units")
    return (Finding(title="planted units", columns=headings, rows=rows[:MOST_ROWS]),)


def _columns(memory: RecordDict) -> list[list[float]]:
    record = memory.get(PLANTING)
    if not isinstance(record, MetricRecord):
        return [[] for _ in COLUMNS]
    columns = (record[name] for name in COLUMNS)
    return [[float(v) for v in one] if isinstance(one, list) else [] for one in columns]
