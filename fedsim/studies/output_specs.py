"""The outputs of a study: tables, paired differences, figures, a frontier."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fedsim.config.strict import Strict
from fedsim.studies.metric_names import AnyMetrics, AttackMetric

Only = dict[str, Annotated[tuple[str, ...], Field(min_length=1)]]


ADVERSARY, ATTACK, METRIC = "adversary", "attack", "metric"


FOUND_IN_RESULTS = (ADVERSARY, ATTACK)


class TableSpec(Strict):
    """A table: a row for each combination of `rows`, a column for each value of `columns`.

    `only` leaves out results whose coordinates are not named. Metrics are those of an attack
    (``accuracy``, ``auc``, ``tpr@0.01``, any that the experiment names; with intervals) and those
    of the federation that an adversary makes (``train utility`` and ``test utility``, or by the
    name of the objective's figure: ``test accuracy``, ``test error``; ``utility cost``, ``norm
    ratio`` and ``cosine`` of an active one, see `fedsim.report.costs`; ``guaranteed epsilon`` of
    what binds the attack). With `columns` left at
    ``metric`` there is one table with a column for each metric, otherwise one table for each
    metric.
    """

    rows: Annotated[tuple[str, ...], Field(min_length=1)]
    columns: str = METRIC
    metrics: AnyMetrics = ("accuracy", "auc")
    only: Only = Field(default_factory=dict)


class ReferenceSpec(Strict):
    """Which table of reference figures is shown next to ours (see `references`).

    `only` restricts the rows with reference figures; with `apart`, reference figures without a row
    of ours are listed below the tables.
    """

    table: str
    only: Only = Field(default_factory=dict)
    apart: bool = False


class ComparisonSpec(Strict):
    """Paired differences along one coordinate: first minus second, everything else equal.

    A pair of values that exist only at another scale is skipped.
    """

    along: str
    pairs: Annotated[tuple[tuple[str, str], ...], Field(min_length=1)]
    only: Only = Field(default_factory=dict)


class FigureSpec(Strict):
    """A figure.

    Attributes
    ----------
    kind
        ``line``: a metric against an axis; ``roc``; ``histogram``: scores of members and of
        non-members; ``course``: a traced signal over the observed rounds, in what victims were
        sent and in what came back; ``reaction``: the latter over the former; ``by-class``: a traced
        signal in the last observed round, by class.
    panels
        The coordinate that has a panel for each value; None draws one panel.
    lines
        Of ``line`` and ``roc``: the coordinate that has a line for each value.
    along
        Of ``line``: the axis under it.
    metric
        Of ``line``: what is drawn.
    only
        Leaves out results whose coordinates are not named.
    """

    kind: Literal["line", "roc", "histogram", "course", "reaction", "by-class"]
    caption: str
    panels: str | None = None
    lines: str | None = None
    along: str | None = None
    metric: AttackMetric = "accuracy"
    only: Only = Field(default_factory=dict)

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if (self.kind == "line") != (self.along is not None):
            raise ValueError("figures: `along` belongs to kind line, and to no other")
        if (self.kind in ("line", "roc")) != (self.lines is not None):
            raise ValueError("figures: `lines` belongs to kinds line and roc, and to no other")
        return self


class FrontierSpec(Strict):
    """Leakage of each defence against its cost; see `frontier`.

    Attributes
    ----------
    repeats
        The axis of federations that differ by their seed only: figures are means over them, with
        intervals. Without one there is a single federation, with intervals over its records.
    leakage
        The metric that is drawn against utility, and by which a point dominates another.
    metrics
        Further metrics in the table.
    """

    repeats: str | None = None
    leakage: AttackMetric = "auc"
    metrics: Annotated[tuple[AttackMetric, ...], Field()] = ("tpr@0.01", "tpr@0.001")

    @property
    def shown(self) -> tuple[AttackMetric, ...]:
        """All metrics, the leakage first, each once."""
        return tuple(dict.fromkeys((self.leakage, *self.metrics)))
