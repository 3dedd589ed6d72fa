"""What a study has found: one row for each cell, adversary and attack, found by coordinates."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fedsim.config.experiment import Experiment
from fedsim.report.costs import Cost
from fedsim.report.formatting import area, area_interval, percent, percent_interval, points
from fedsim.report.results import Interval, Result, Results
from fedsim.studies.cells import Cell
from fedsim.studies.definition import ADVERSARY, ATTACK, Metric, Only

Coordinates = Mapping[str, str]


@dataclass(frozen=True)
class Row:
    """What one attack by one adversary achieves in one cell, mean over its victims."""

    coordinates: Coordinates
    cell: Cell
    result: Result
    results: Results


@dataclass(frozen=True)
class Figure:
    """A measured figure, a fraction, with its interval where it has one."""

    value: float
    interval: Interval | None = None

    def shown(self, metric: Metric) -> tuple[str, str]:
        """Return the figure and its interval as they are printed; accuracies and TPR in percent."""
        interval = self.interval
        if metric == "auc":
            return area(self.value), area_interval(interval) if interval else ""
        write = _WRITTEN.get(metric, percent)
        return write(self.value), percent_interval(interval) if interval else ""


_WRITTEN: Mapping[Metric, Callable[[float], str]] = {
    "utility cost": points,
    "norm ratio": "{:.2f}".format,
    "cosine": "{:.3f}".format,
}


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
    """Yield the coordinates of every row that the cells will give, before any of them is run."""
    for cell in cells:
        for attacker in cell.experiment.adversaries:
            for attack in cell.experiment.attacks:
                yield {**cell.coordinates, ADVERSARY: attacker.label, ATTACK: attack.label}


def fits(coordinates: Coordinates, only: Only) -> bool:
    """Return whether `only` leaves a row in."""
    return all(coordinates[name] in values for name, values in only.items())


def measured(row: Row, metric: Metric) -> Figure | None:
    """Return a row's figure, or None where it was refused or not measured."""
    return _MEASURES[metric](row)


def _tpr(rate: str) -> Callable[[Row], Figure | None]:
    def measure(row: Row) -> Figure | None:
        value = row.result.tpr_at_fpr.get(rate)
        return None if value is None else Figure(value, row.result.interval.tpr_at_fpr[rate])

    return measure


def _cost(row: Row) -> Cost | None:
    """Return what the row's adversary costs; None where it follows the protocol."""
    return next((c for c in row.results.costs if c.adversary == row.result.adversary), None)


def _of_cost(read: Callable[[Cost], float | None]) -> Callable[[Row], Figure | None]:
    def measure(row: Row) -> Figure | None:
        cost = _cost(row)
        value = read(cost) if cost else None
        return None if value is None else Figure(value)

    return measure


def _test_accuracy(row: Row) -> float:
    """Return the test accuracy of the federation that the row's adversary is in."""
    cost = _cost(row)
    return cost.test_accuracy if cost else row.results.utility.test_accuracy


_MEASURES: Mapping[Metric, Callable[[Row], Figure | None]] = {
    "accuracy": lambda row: Figure(row.result.accuracy, row.result.interval.accuracy),
    "auc": lambda row: Figure(row.result.auc, row.result.interval.auc),
    "tpr@0.01": _tpr("0.01"),
    "tpr@0.001": _tpr("0.001"),
    "train accuracy": lambda row: Figure(row.results.utility.train_accuracy),
    "test accuracy": lambda row: Figure(_test_accuracy(row)),
    "utility cost": _of_cost(lambda cost: cost.utility_cost),
    "norm ratio": _of_cost(lambda cost: cost.norm_ratio),
    "cosine": _of_cost(lambda cost: cost.cosine),
}

HEADINGS: Mapping[Metric, str] = {
    "accuracy": "accuracy, %",
    "auc": "AUC",
    "tpr@0.01": "TPR at 1 % FPR, %",
    "tpr@0.001": "TPR at 0.1 % FPR, %",
    "train accuracy": "train accuracy, %",
    "test accuracy": "test accuracy, %",
    "utility cost": "test accuracy lost, points",
    "norm ratio": "norm ratio of crafted updates",
    "cosine": "cosine of crafted and honest updates",
}


def sizes(experiment: Experiment) -> dict[str, str]:
    """Return what frames an experiment, as resolved: the caption of whatever it is shown in."""
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
