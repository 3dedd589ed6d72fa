"""The result rows of a study: one for each cell, adversary and attack."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from fedsim.config.experiment import Experiment
from fedsim.report.costs import Cost
from fedsim.report.formatting import difference_text, figure_text, interval_text
from fedsim.report.result_schema import MetricFigure, ResultRow
from fedsim.report.results import Results
from fedsim.report.utility_info import UtilityInfo
from fedsim.studies.cells import Cell
from fedsim.studies.metric_names import is_of_federation, utility_part
from fedsim.studies.output_specs import ADVERSARY, ATTACK, Only

Coordinates = Mapping[str, str]


@dataclass(frozen=True)
class Row:
    """The result of one attack by one adversary in one cell, mean over its victims."""

    coordinates: Coordinates
    cell: Cell
    result: ResultRow
    results: Results


@dataclass(frozen=True)
class Measured:
    """A measured figure as it is printed, with its interval where it has one."""

    value: float
    text: str
    interval: MetricFigure | None = None
    interval_text: str = ""

    def shown(self) -> tuple[str, str]:
        """Return the figure and its interval as they are printed."""
        return self.text, self.interval_text


def rows_of(cell: Cell, results: Results) -> list[Row]:
    """Return a row for each adversary and attack of a cell's results."""
    return [
        Row(
            {**cell.coordinates, ADVERSARY: result.adversary, ATTACK: result.attack},
            cell,
            result,
            results,
        )
        for result in results.summary()
    ]


def expected(cells: Iterable[Cell]) -> Iterator[Coordinates]:
    """Yield the coordinates of all rows that the cells will give, before any is run."""
    for cell in cells:
        for attacker in cell.experiment.adversaries:
            for attack in cell.experiment.attacks:
                yield {**cell.coordinates, ADVERSARY: attacker.label, ATTACK: attack.label}


def fits(coordinates: Coordinates, only: Only) -> bool:
    """Return whether `only` leaves a row in."""
    return all(coordinates[name] in values for name, values in only.items())


def measured(row: Row, metric: str) -> Measured | None:
    """Return a row's figure, or None where it was refused or not measured."""
    if is_of_federation(metric):
        return _of_federation(row, metric)
    figure, info = row.result.figures.get(metric), row.results.metrics.get(metric)
    if figure is None or info is None:
        return None
    text = figure_text(figure.value, info.unit)
    return Measured(figure.value, text, figure, interval_text(figure, info.unit))


def utility_figure(rows: Iterable[Row]) -> UtilityInfo | None:
    """Return the figure of utility of rows; None if they have different ones or none."""
    found = {row.results.utility_figure for row in rows}
    return found.pop() if len(found) == 1 else None


def _cost(row: Row) -> Cost | None:
    """Return the cost of the row's adversary; None if it follows the protocol."""
    return next((c for c in row.results.costs if c.adversary == row.result.adversary), None)


def _of_federation(row: Row, metric: str) -> Measured | None:
    """Return a figure of the federation that the row's adversary is in."""
    figure, cost = row.results.utility_figure, _cost(row)
    if (part := utility_part(metric, figure)) is not None:
        attacked = cost is not None and part == "test"
        value = cost.utility if cost and attacked else row.results.measured_utility(part)
        return _written(value, partial(figure_text, unit=figure.unit))
    if metric == "guaranteed epsilon":
        ceiling = row.result.ceiling
        return _written(None if ceiling is None else ceiling.epsilon, "{:.2f}".format)
    if cost is None:
        return None
    if metric == "utility cost":
        return _written(cost.utility_cost(figure), partial(difference_text, unit=figure.unit))
    if metric == "norm ratio":
        return _written(cost.norm_ratio, "{:.2f}".format)
    return _written(cost.cosine, "{:.3f}".format) if metric == "cosine" else None


def _written(value: float | None, write: Callable[[float], str]) -> Measured | None:
    return None if value is None else Measured(value, write(value))


def sizes(experiment: Experiment) -> dict[str, str]:
    """Return the sizes of a resolved experiment, for captions."""
    partition, federation, audit = experiment.partition, experiment.federation, experiment.audit
    alone = partition.participants == 1
    each = f"{partition.records:,} records" if partition.records else "an even share of all records"
    return {
        "data": experiment.data.name,
        "model": " ".join([experiment.model.name, *_settings(experiment.model.settings)]),
        "trained by": f"one participant, {each}"
        if alone
        else f"{partition.participants} participants, {each} each ({partition.name})",
        "rounds": f"{federation.rounds} of {_epochs(federation.local.epochs)}",
        "observed rounds": ", ".join(map(str, experiment.observed_rounds)),
        "known": f"{audit.known_members:,} members, {audit.known_nonmembers:,} non-members",
        "tested": f"{audit.tested_members:,} members, {audit.tested_nonmembers:,} non-members",
        "non-members": audit.nonmembers,
        "victims": ", ".join(map(str, audit.victims)),
        "attack seeds": str(audit.attack_seeds),
        "seed": str(experiment.seed),
    }


def caption(cells: Sequence[Cell]) -> tuple[dict[str, str], list[tuple[Cell, dict[str, str]]]]:
    """Return the sizes that all cells share, and for each cell those in which they differ."""
    every = [sizes(cell.experiment) for cell in cells]
    shared = {
        name: value for name, value in every[0].items() if all(one[name] == value for one in every)
    }
    own = [{k: v for k, v in one.items() if k not in shared} for one in every]
    return shared, list(zip(cells, own, strict=True))


def _settings(settings: Mapping[str, object]) -> list[str]:
    return [f"{name} {value}" for name, value in settings.items()]


def _epochs(count: int) -> str:
    return "one local epoch" if count == 1 else f"{count} local epochs"
