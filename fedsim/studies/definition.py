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

A set of changes maps dotted keys of the experiment to new values or sections; the key ``base``
names another experiment file. Files are relative to the study's file, and ``{scale}`` in their
names is replaced by the scale. Changes apply in this order: base, `changes`, the scale's `changes`,
then the axes from first to last. The axes of a scale replace the study's axes of the same name.

An axis of defences, each with its strengths, is written as `defences` (see
`fedsim.studies.strengths`): cells have the coordinates `defence` and `strength` then.

Attacks need no axis: every cell runs all attacks of its experiment, and a result row is identified
by its coordinates: the value on each axis, `adversary` and `attack`.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from fedsim.config.faults import faults_in
from fedsim.config.strict import Strict
from fedsim.config.yaml_files import read_yaml_mapping
from fedsim.errors import ConfigError, joined_faults, listed
from fedsim.plugins.plain_data import as_json
from fedsim.studies.output_specs import (
    FOUND_IN_RESULTS,
    METRIC,
    ComparisonSpec,
    FigureSpec,
    FrontierSpec,
    Only,
    ReferenceSpec,
    TableSpec,
)
from fedsim.studies.strengths import DEFENCE, STRENGTH, Changes, StudiedDefences, defended

Scale = Literal["cpu", "paper"]
SCALES: tuple[Scale, ...] = ("cpu", "paper")

Axes = dict[str, Annotated[dict[str, Changes], Field(min_length=1)]]


class AtScale(Strict):
    """What a study changes at one scale."""

    changes: Changes = Field(default_factory=dict)
    axes: Axes = Field(default_factory=dict)


class Study(Strict):
    """A study file.

    Attributes
    ----------
    title, reproduces, about
        Its title, the table or figure of the paper that it reproduces (empty if none), and a
        description.
    base, changes, scales, axes
        The grid of experiments; see the module.
    defences
        An axis of defences, each with its strengths.
    reference
        The reference figures that are shown next to ours.
    frontier
        Leakage against utility, of every defence.
    tables, compare, figures
        What the page shows. Without any of these it shows only the sizes, and nothing is run.
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
        """Return the possible values of a cell's coordinates at a scale."""
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
        """Return the uses of coordinates: where, which, and the selected values."""
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
