"""`results.json`: the figures of a run as a documented, versioned, strictly read file.

Schema 2. A row has a figure, with its interval, for each metric; ``metrics`` says how each is
printed, so that the file can be read without the plugins. Required::

    {"schema": 2,
     "metrics": {"accuracy": {"heading": "accuracy", "unit": "percent", "guessing": 0.5},
                 "auc": {"heading": "AUC", "unit": "area", "guessing": 0.5},
                 "tpr@0.01": {"heading": "TPR @ 1 %", "unit": "percent", "guessing": 0.01}},
     "utility_figure": {"name": "accuracy", "unit": "percent", "higher_is": "better"},
     "utility": {"train_accuracy": 0.99, "test_accuracy": 0.37},
     "results": [{"adversary": "curious-server", "attack": "supervised", "victim": "mean",
                  "figures": {
                      "accuracy": {"value": 0.85, "low": 0.84, "high": 0.86, "method": "exact"},
                      "auc": {"value": 0.92, "low": 0.91, "high": 0.93, "method": "bootstrap"},
                      "tpr@0.01": {"value": 0.2, "low": 0.1, "high": 0.3, "method": "bootstrap",
                                   "false_positives": 10.0}},
                  "members": 1000, "nonmembers": 1000}]}

Figures whose unit is ``percent`` or ``area`` are fractions in 0..1. ``accuracy`` and ``auc`` are in
every row. What stands in a figure beside `value`, `low`, `high` and `method` are details of the
metric. `utility` has the figure that `utility_figure` describes, on training and on held-out
records, or null where it was not measured; the costs of adversaries are in the same figure.
`victim` is the key of a query (``participant-0``, ``all-but-3``) or ``mean``: the mean over the
queries of that adversary, whose `members` and `nonmembers` are sums. `unseen` has the adversaries
that saw nothing of some of their victims, or of all: these have no row. The remaining fields below
have defaults and may be absent. Anything else in the file is an error.

Files of schema 1 are read, too (`fedsim.report.results_v1`).
"""

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Self

from pydantic import Field, model_validator

from fedsim.errors import listed
from fedsim.evaluation.metric import FRACTIONS
from fedsim.finding import OwnedFinding
from fedsim.report.costs import Cost
from fedsim.report.guarantees import GuaranteeFigures
from fedsim.report.result_schema import MetricInfo, ResultRow, ThreatModel
from fedsim.report.strict_model import Name, StrictModel
from fedsim.report.traffic import Traffic
from fedsim.report.unseen_victims import UnseenVictims
from fedsim.report.utility_info import ACCURACY, PARTS, UtilityInfo

MEAN = "mean"
SCHEMA = 2


class Results(StrictModel):
    """A run's figures; `Results.model_json_schema()` is the schema in JSON Schema."""

    schema_version: Annotated[int, Field(alias="schema", ge=SCHEMA, le=SCHEMA)] = SCHEMA
    name: str = ""
    metrics: dict[Name, MetricInfo]
    utility_figure: UtilityInfo = ACCURACY
    utility: dict[Name, float | None]
    results: tuple[ResultRow, ...]
    unseen: tuple[UnseenVictims, ...] = ()
    threat_models: tuple[ThreatModel, ...] = ()
    guarantees: tuple[GuaranteeFigures, ...] = ()
    traffic: Traffic | None = None
    costs: tuple[Cost, ...] = ()
    findings: tuple[OwnedFinding, ...] = ()
    provenance: dict[str, str | int | float | bool | None] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _rows_are_unique(self) -> Self:
        counts = Counter(row.key for row in self.results)
        if doubled := sorted(key for key, count in counts.items() if count > 1):
            raise ValueError(f"there are two rows for {' / '.join(doubled[0])}")
        return self

    @model_validator(mode="after")
    def _figures_fit_the_metrics(self) -> Self:
        for place, row in enumerate(self.results):
            for name in (*row.figures, *row.refused, *row.over_label):
                if name not in self.metrics:
                    raise ValueError(f"row {place} has {name!r}, which is not among the metrics")
            for name, figure in row.figures.items():
                numbers = (figure.value, figure.low, figure.high)
                if self.metrics[name].unit in FRACTIONS and not _fractions(numbers):
                    raise ValueError(f"row {place}: {name} is outside 0..1")
        return self

    @model_validator(mode="after")
    def _utility_fits_its_figure(self) -> Self:
        names = [self.utility_figure.of(part) for part in PARTS]
        if others := self.utility.keys() - {*names}:
            raise ValueError(f"utility has {min(others)!r}; valid: {listed(names)}")
        measured = {f"utility.{name}": value for name, value in self.utility.items()}
        for cost in self.costs:
            measured |= {
                f"the utility of {cost.adversary}": cost.utility,
                f"the honest utility of {cost.adversary}": cost.honest_utility,
            }
        for name, value in measured.items():
            if self.utility_figure.unit == "percent" and value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} is outside 0..1")
        return self

    def measured_utility(self, part: str) -> float | None:
        """Return the figure of utility on ``train`` or ``test`` records; None if not measured."""
        return self.utility.get(self.utility_figure.of(part))

    @property
    def self_check(self) -> tuple[str, ...]:
        """Sentences on attacks that refute a guarantee; empty where the run agrees with itself."""
        return tuple(dict.fromkeys(row.refutes for row in self.results if row.refutes))

    def adversaries(self) -> tuple[str, ...]:
        """Return the adversaries in the order of their rows."""
        return tuple(dict.fromkeys(row.adversary for row in self.results))

    def attacks(self) -> tuple[str, ...]:
        """Return the attacks in the order of their rows."""
        return tuple(dict.fromkeys(row.attack for row in self.results))

    def summary(self) -> tuple[ResultRow, ...]:
        """Return one row for each adversary and attack: the mean row, or the only one there is."""
        chosen: dict[tuple[str, str], ResultRow] = {}
        for row in self.results:
            if row.victim == MEAN or (row.adversary, row.attack) not in chosen:
                chosen[row.adversary, row.attack] = row
        return tuple(chosen.values())


def _fractions(numbers: Iterable[float]) -> bool:
    return all(0 <= number <= 1 for number in numbers)
