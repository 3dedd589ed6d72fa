"""Paired differences between rows of a study."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedsim.evaluation import Comparison as Compared
from fedsim.evaluation import compare
from fedsim.studies.definition import Study
from fedsim.studies.evidence import Finder
from fedsim.studies.output_specs import ComparisonSpec
from fedsim.studies.rows import Row, fits


@dataclass(frozen=True)
class Pair:
    """`first` minus `second`; `where` are the coordinates that both share and that others vary."""

    first: str
    second: str
    where: dict[str, str]
    difference: Compared


def pairs(study: Study, rows: Sequence[Row], evidence: Finder) -> list[Pair]:
    """Return every difference that a study asks for."""
    return [pair for one in study.compare for pair in _pairs(one, rows, evidence)]


def _pairs(comparison: ComparisonSpec, rows: Sequence[Row], evidence: Finder) -> list[Pair]:
    left = [row for row in rows if fits(row.coordinates, comparison.only)]
    found: list[Pair] = []
    for first, second in comparison.pairs:
        for row in left:
            if row.coordinates[comparison.along] != first:
                continue
            twin = {**row.coordinates, comparison.along: second}
            other = next((one for one in left if one.coordinates == twin), None)
            if other is not None:
                where = {k: v for k, v in row.coordinates.items() if k != comparison.along}
                found.append(Pair(first, second, where, _difference(row, other, evidence)))
    return found


def _difference(row: Row, other: Row, evidence: Finder) -> Compared:
    """Return `row` minus `other`, paired if both scored the same records of one data set."""
    ours, theirs = row.cell.experiment, other.cell.experiment
    same = (ours.data, ours.seed) == (theirs.data, theirs.seed)
    return compare(
        evidence(other).evaluation_result(other),
        evidence(row).evaluation_result(row),
        seed=row.cell.experiment.seed,
        same_records=same,
    )
