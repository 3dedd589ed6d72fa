"""A study as typed, strict, immutable data: what varies, at which sizes, and what is shown.

A study file names a base experiment and changes it along axes::

    title: Attack accuracy by the number of participants
    reproduces: table XIII
    base: targets/location30.yaml
    scales:
      cpu: {}
      paper: {changes: {federation.rounds: 100}}
    axes:
      participants:
        "2": {partition.participants: 2}
        "3": {partition.participants: 3}
    tables:
      - {rows: [participants], metrics: [accuracy, auc], only: {attack: [supervised]}}

A set of changes maps dotted keys of the experiment to what is put there, whole sections too; the
key ``base`` starts from another experiment file. Files are relative to the study's, and
``{scale}`` in their names is the scale. The order is base, `changes`, the scale's
`changes`, then the axes from the first to the last. An axis that a scale gives too is the scale's.

An axis of defences, each with its strengths, is written as `defences` (see
`fedsim.studies.strengths`): cells have the coordinates `defence` and `strength` then.

Attacks need no axis of their own: every cell makes all the attacks that its experiment lists, and
a row of a result is found by its coordinates: the value on each axis, `adversary` and `attack`.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from fedsim.config.faults import faults_in
from fedsim.config.strict import Strict
from fedsim.config.yaml_files import read_yaml_mapping
from fedsim.errors import ConfigError, joined_faults, listed
from fedsim.plugins.plain_data import as_json
from fedsim.studies.metric_names import AnyMetrics, AttackMetric
from fedsim.studies.strengths import DEFENCE, STRENGTH, Changes, StudiedDefences, defended

Scale = Literal["cpu", "paper"]
SCALES: tuple[Scale, ...] = ("cpu", "paper")

Axes = dict[str, Annotated[dict[str, Changes], Field(min_length=1)]]
Only = dict[str, Annotated[tuple[str, ...], Field(min_length=1)]]
ADVERSARY, ATTACK, METRIC = "adversary", "attack", "metric"
FOUND_IN_RESULTS = (ADVERSARY, ATTACK)


class AtScale(Strict):
    """What a study changes at one scale."""

    changes: Changes = Field(default_factory=dict)
    axes: Axes = Field(default_factory=dict)


class TableSpec(Strict):
    """A table: a line for each combination of `rows`, a column for each value of `columns`.

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
    """Which table of the reference figures stands beside ours (see `references`).

    `only` restricts our rows that they stand beside; with `apart` those that belong to none of our
    rows are listed below the tables.
    """

    table: str
    only: Only = Field(default_factory=dict)
    apart: bool = False


class ComparisonSpec(Strict):
    """Paired differences along one coordinate: first minus second, everything else equal.

    A pair of values that an axis has at another scale only is left out at this one.
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
    """What each defence leaves to the attackers, against what it costs; see `frontier`.

    Attributes
    ----------
    repeats
        The axis of federations that differ by their seed only: figures are means over them, with
        intervals. Without one there is a single federation, with intervals over its records.
    leakage
        The metric that is drawn against utility, and by which a point dominates another.
    metrics
        Metrics that stand in the table beside it.
    """

    repeats: str | None = None
    leakage: AttackMetric = "auc"
    metrics: Annotated[tuple[AttackMetric, ...], Field()] = ("tpr@0.01", "tpr@0.001")

    @property
    def shown(self) -> tuple[AttackMetric, ...]:
        """All metrics, the leakage first, each once."""
        return tuple(dict.fromkeys((self.leakage, *self.metrics)))


class Study(Strict):
    """A study file.

    Attributes
    ----------
    title, reproduces, about
        What it is, which table or figure of the paper it is after, empty for a study of its own,
        and what is to be known of it.
    base, changes, scales, axes
        The grid of experiments; see the module.
    defences
        An axis of defences, each with its strengths.
    reference
        The reference figures that stand beside ours.
    frontier
        Leakage against utility, of every defence.
    tables, compare, figures
        What is shown at the end. Where there is none of them only the sizes are, and nothing runs.
    """

    title: str
    reproduces: str = ""
    about: str = ""
    base: str
    changes: Changes = Field(default_factory=dict)
    scales: Annotated[dict[Scale, AtScale], Field(min_length=1)]
    axes: Axes = Field(default_factory=dict)
    defences: StudiedDefences = Field(default_factory=dict)
    reference: ReferenceSpec | None = None
    tables: tuple[TableSpec, ...] = ()
    compare: tuple[ComparisonSpec, ...] = ()
    figures: tuple[FigureSpec, ...] = ()
    frontier: FrontierSpec | None = None

    @property
    def runs(self) -> bool:
        """Whether anything is shown that has to be computed."""
        return bool(self.tables or self.compare or self.figures or self.frontier)

    def axes_at(self, scale: Scale) -> Axes:
        """Return the axes at a scale, in the study's order, the scale's own ones last."""
        return {**self.axes, **self.scales[scale].axes}

    def values_at(self, scale: Scale) -> dict[str, tuple[str, ...]]:
        """Return what a cell's coordinates may be at a scale, by their names."""
        values = {axis: tuple(changes) for axis, changes in self.axes_at(scale).items()}
        if tried := list(defended(self.defences)):
            values[DEFENCE] = tuple(dict.fromkeys(name for name, _, _ in tried))
            values[STRENGTH] = tuple(dict.fromkeys(strength for _, strength, _ in tried))
        return values

    @model_validator(mode="after")
    def _coordinates_are_known(self) -> Self:
        for scale in self.scales:
            axes = self.values_at(scale)
            own = {DEFENCE, STRENGTH} if self.defences else set()
            if taken := {*FOUND_IN_RESULTS, METRIC, *own} & self.axes_at(scale).keys():
                raise ValueError(f"an axis cannot be called {min(taken)!r}: results have that")
            valid = (*axes, *FOUND_IN_RESULTS)
            for where, used, only in self._used():
                if third_parties := sorted({*used, *only} - {*valid}):
                    raise ValueError(
                        f"{where}: at scale {scale} there is no coordinate {third_parties[0]!r}; "
                        f"valid: {listed(valid)}"
                    )
                for name in only.keys() & axes.keys():
                    if missing := sorted({*only[name]} - {*axes[name]}):
                        raise ValueError(
                            f"{where}.only: axis {name!r} has no value {missing[0]!r}; valid: "
                            f"{listed(axes[name])}"
                        )
        return self

    @model_validator(mode="after")
    def _frontier_has_defences(self) -> Self:
        if self.frontier is None:
            return self
        if not self.defences:
            raise ValueError("frontier: it is of `defences`, and the study has none")
        for scale in self.scales:
            others = [axis for axis in self.axes_at(scale) if axis != self.frontier.repeats]
            if others:
                raise ValueError(
                    f"frontier: axis {others[0]!r} would put several cells into one point; leave "
                    "it out, or name it as `repeats` if it varies the seed only"
                )
        return self

    def _used(self) -> list[tuple[str, set[str], Only]]:
        """Return where coordinates are named, which, and what is left of each."""
        found: list[tuple[str, set[str], Only]] = []
        if self.reference is not None:
            found.append(("reference", set(), self.reference.only))
        for number, table in enumerate(self.tables):
            named = {*table.rows, table.columns} - {METRIC}
            found.append((f"tables.{number}", named, table.only))
        for number, comparison in enumerate(self.compare):
            found.append((f"compare.{number}", {comparison.along}, comparison.only))
        if self.frontier is not None and self.frontier.repeats is not None:
            found.append(("frontier.repeats", {self.frontier.repeats}, {}))
        for number, figure in enumerate(self.figures):
            named = {name for name in (figure.panels, figure.lines, figure.along) if name}
            found.append((f"figures.{number}", named, figure.only))
        return found


def load_study(path: Path) -> Study:
    """Read a study from a YAML file; the experiments in it are read by `cells.expand`.

    Raises
    ------
    ConfigError
        If the file cannot be read or any part of it is not valid.
    """
    tree = read_yaml_mapping(path, "a study", Study.model_fields)
    try:
        return Study.model_validate_json(as_json(tree))
    except ValidationError as error:
        raise ConfigError(f"{path}: {joined_faults(faults_in(error, Study))}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
