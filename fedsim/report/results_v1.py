"""Results files of schema 1, as fedsim 0.1 wrote them: read strictly, turned into schema 2.

A row had ``accuracy``, ``auc`` and ``tpr_at_fpr`` as numbers, its intervals apart in ``interval``,
and utility was two accuracies.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fedsim.evaluation.metrics import Accuracy, Auc, TprAtFpr
from fedsim.report.costs import Cost
from fedsim.report.result_rows import metric_infos
from fedsim.report.result_schema import Fraction, MetricFigure, RecordCount, ResultRow, ThreatModel
from fedsim.report.results import Results
from fedsim.report.strict_model import Name, StrictModel
from fedsim.report.utility_info import ACCURACY

Rate = Annotated[str, Field(pattern=r"^(0\.\d{1,12}|\d(\.\d{1,12})?e-\d{2})$")]


class IntervalV1(StrictModel):
    """The interval of one figure."""

    low: Fraction
    high: Fraction
    method: Literal["bootstrap", "exact"]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class IntervalsV1(StrictModel):
    """The intervals of one row."""

    accuracy: IntervalV1
    auc: IntervalV1
    tpr_at_fpr: dict[Rate, IntervalV1]
    confidence: Fraction = 0.95
    resamples: RecordCount = 2000


class RowV1(StrictModel):
    """One row."""

    adversary: Name
    attack: Name
    victim: Name
    accuracy: Fraction
    auc: Fraction
    tpr_at_fpr: dict[Rate, Fraction]
    members: RecordCount
    nonmembers: RecordCount
    interval: IntervalsV1
    refused_fprs: dict[Rate, Name] = Field(default_factory=dict)
    false_positives: dict[Rate, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    attack_seeds: RecordCount = 1
    baseline: bool = False

    @model_validator(mode="after")
    def _rates_agree(self) -> Self:
        if self.tpr_at_fpr.keys() != self.interval.tpr_at_fpr.keys():
            raise ValueError("tpr_at_fpr and interval.tpr_at_fpr must have the same FPRs")
        if both := self.tpr_at_fpr.keys() & self.refused_fprs.keys():
            raise ValueError(f"FPR {min(both)} is both reported and refused")
        rates = [*self.tpr_at_fpr, *self.refused_fprs]
        if bad := [rate for rate in rates if not 0 < float(rate) < 1]:
            raise ValueError(f"an FPR is {bad[0]}; it must be between 0 and 1")
        if len({float(rate) for rate in rates}) < len(rates):
            raise ValueError("an FPR is there twice")
        return self

    def converted(self) -> ResultRow:
        """Return the row as schema 2 has it."""
        figures = {
            "accuracy": _figure(self.accuracy, self.interval.accuracy),
            "auc": _figure(self.auc, self.interval.auc),
        }
        for rate, value in self.tpr_at_fpr.items():
            behind = self.false_positives.get(rate)
            details = {} if behind is None else {"false_positives": behind}
            interval = self.interval.tpr_at_fpr[rate]
            figures[TprAtFpr(float(rate)).name] = _figure(value, interval, details)
        return ResultRow(
            adversary=self.adversary,
            attack=self.attack,
            victim=self.victim,
            figures=figures,
            refused={TprAtFpr(float(rate)).name: why for rate, why in self.refused_fprs.items()},
            members=self.members,
            nonmembers=self.nonmembers,
            confidence=self.interval.confidence,
            resamples=self.interval.resamples,
            attack_seeds=self.attack_seeds,
            baseline=self.baseline,
        )


class UtilityV1(StrictModel):
    """What the federation's own model achieved at the end of the run."""

    train_accuracy: Fraction
    test_accuracy: Fraction


class ResultsV1(StrictModel):
    """A run's figures in schema 1."""

    schema_version: Annotated[int, Field(alias="schema", ge=1, le=1)]
    name: str = ""
    utility: UtilityV1
    results: tuple[RowV1, ...]
    threat_models: tuple[ThreatModel, ...] = ()
    costs: tuple[Cost, ...] = ()
    provenance: dict[str, str | int | float | bool | None] = Field(default_factory=dict)


def parse_schema_1(content: bytes) -> Results:
    """Return results of schema 1, JSON, as those of schema 2.

    Raises
    ------
    pydantic.ValidationError
        If anything in them is not as schema 1 has it.
    """
    old = ResultsV1.model_validate_json(content)
    rates = {float(rate) for row in old.results for rate in (*row.tpr_at_fpr, *row.refused_fprs)}
    metrics = (Accuracy(), Auc(), *map(TprAtFpr, sorted(rates, reverse=True)))
    return Results(
        name=old.name,
        metrics=metric_infos(metrics),
        utility_figure=ACCURACY,
        utility=dict(old.utility.model_dump()),
        results=tuple(row.converted() for row in old.results),
        threat_models=old.threat_models,
        costs=old.costs,
        provenance=old.provenance,
    )


def _figure(
    value: float, interval: IntervalV1, details: dict[str, float] | None = None
) -> MetricFigure:
    return MetricFigure.model_validate({"value": value, **interval.model_dump(), **(details or {})})
