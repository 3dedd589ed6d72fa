"""From result rows to tables: a line for each combination, a column for each value."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fedsim.errors import ConfigError, listed
from fedsim.evaluation.metric_choice import build_metrics
from fedsim.studies.cells import Cell
from fedsim.studies.definition import Study
from fedsim.studies.metric_names import heading, is_of_federation, utility_part
from fedsim.studies.output_specs import METRIC, ComparisonSpec, Only, ReferenceSpec, TableSpec
from fedsim.studies.references import Reference, reference_table
from fedsim.studies.rows import (
    Coordinates,
    Measured,
    Row,
    expected,
    fits,
    measured,
    utility_figure,
)

Key = tuple[str, ...]


@dataclass(frozen=True)
class TableEntry:
    """One cell of a table: our figure, and the reference figure next to it."""

    metric: str
    figure: Measured | None
    reference: Reference | None = None


@dataclass(frozen=True)
class Table:
    """A table: `lines` hold the values of `row_names`, then an entry (or None) for each column."""

    title: str
    row_names: tuple[str, ...]
    columns: tuple[str, ...]
    lines: tuple[tuple[Key, tuple[TableEntry | None, ...]], ...]


def tables(study: Study, rows: Sequence[Row]) -> list[Table]:
    """Return the tables of a study, filled with what was found."""
    return [table for spec in study.tables for table in _pivoted(spec, rows, study.reference)]


def beside(spec: ReferenceSpec | None, row: Coordinates, metric: str) -> Reference | None:
    """Return the reference figure for one of ours, or None."""
    if spec is None or not fits(row, spec.only):
        return None
    return reference_table(spec.table).find(row, metric)


def apart(study: Study, cells: Sequence[Cell]) -> list[Reference]:
    """Return the reference figures without a row at this scale, if the study asks for them."""
    spec = study.reference
    if spec is None or not spec.apart:
        return []
    rows = [row for row in expected(cells) if fits(row, spec.only)]
    return [
        figure
        for figure in reference_table(spec.table).figures
        if not any(figure.at.items() <= row.items() for row in rows)
    ]


def check_coordinates(study: Study, cells: Sequence[Cell]) -> None:
    """Refuse outputs that could not be shown, before anything runs.

    Raises
    ------
    ConfigError
        If an adversary or attack is named that no cell has, two rows would fall into one place of
        a table or figure, or the reference figures do not exist.
    """
    found = list(expected(cells))
    _require_measured(study, cells)
    if study.reference is not None:
        reference_table(study.reference.table)
        _require_left(found, study.reference.only, "reference")
    for number, spec in enumerate(study.tables):
        named = spec.rows if spec.columns == METRIC else (*spec.rows, spec.columns)
        _require_places(found, spec.only, named, f"tables.{number}")
    for number, comparison in enumerate(study.compare):
        where = f"compare.{number}"
        _require_left(found, comparison.only, where)
        _require_left(found, {comparison.along: _here(study, comparison, found)}, where)
    for number, figure in enumerate(study.figures):
        named = tuple(n for n in (figure.panels, figure.lines, figure.along) if n)
        _require_places(found, figure.only, named, f"figures.{number}")


def _require_measured(study: Study, cells: Sequence[Cell]) -> None:
    """Require that every cell measures the metrics that are shown."""
    shown = {f"tables.{number}": table.metrics for number, table in enumerate(study.tables)}
    shown |= {
        f"figures.{number}": (figure.metric,)
        for number, figure in enumerate(study.figures)
        if figure.kind == "line"
    }
    if study.frontier is not None:
        shown["frontier"] = study.frontier.shown
    for cell in cells:
        there = [metric.name for metric in build_metrics(cell.experiment.metrics)]
        for where, metrics in shown.items():
            for metric in metrics:
                if metric not in there and not is_of_federation(metric):
                    raise ConfigError(
                        f"{where}: metric {metric!r} is not measured; name it in the metrics of "
                        f"the experiment, which has {listed(there)}"
                    )


def _here(
    study: Study, comparison: ComparisonSpec, found: Sequence[Coordinates]
) -> tuple[str, ...]:
    """Return the comparisons at this scale, without values of other scales."""
    axes = [study.values_at(scale) for scale in study.scales]
    anywhere = {value for one in axes for value in one.get(comparison.along, ())}
    elsewhere = anywhere - {one[comparison.along] for one in found}
    return tuple(value for value in sum(comparison.pairs, ()) if value not in elsewhere)


def _require_places(
    found: Sequence[Coordinates], only: Only, named: Sequence[str], where: str
) -> None:
    """Require one row at most for each combination of the named coordinates."""
    _require_left(found, only, where)
    seen: dict[Key, Coordinates] = {}
    for one in found:
        if fits(one, only):
            other = seen.setdefault(tuple(one[name] for name in named), one)
            differing = [name for name in one if one[name] != other[name]]
            if differing:
                name = differing[0]
                raise ConfigError(
                    f"{where}: {name} {other[name]!r} and {one[name]!r} fall into one place; show "
                    f"{name} in a row or column, or leave one in with only: {{{name}: [...]}}"
                )


def _require_left(found: Sequence[Coordinates], only: Only, where: str) -> None:
    for name, values in only.items():
        there = {one[name] for one in found}
        if missing := sorted({*values} - there):
            raise ConfigError(
                f"{where}: no cell has {name} {missing[0]!r} at this scale; valid: {listed(there)}"
            )


def _pivoted(
    spec: TableSpec, rows: Sequence[Row], reference: ReferenceSpec | None
) -> Iterator[Table]:
    left = [row for row in rows if fits(row.coordinates, spec.only)]
    keys = list(dict.fromkeys(_key(row, spec.rows) for row in left))
    named = {metric: heading(metric, utility_figure(left)) for metric in spec.metrics}
    if spec.columns == METRIC:
        at = {_key(row, spec.rows): row for row in left}
        lines = [(key, [_entry(at[key], m, reference) for m in spec.metrics]) for key in keys]
        yield _table("", spec, list(named.values()), lines)
        return
    columns = list(dict.fromkeys(row.coordinates[spec.columns] for row in left))
    placed = {(*_key(row, spec.rows), row.coordinates[spec.columns]): row for row in left}
    for metric in spec.metrics:
        lines = [
            (key, [_entry(placed.get((*key, column)), metric, reference) for column in columns])
            for key in keys
        ]
        yield _table(named[metric], spec, columns, lines)


def _table(
    title: str,
    spec: TableSpec,
    columns: Sequence[str],
    lines: Iterable[tuple[Key, Sequence[TableEntry | None]]],
) -> Table:
    return Table(title, spec.rows, tuple(columns), tuple((key, tuple(e)) for key, e in lines))


def _key(row: Row, names: Sequence[str]) -> Key:
    return tuple(row.coordinates[name] for name in names)


def _entry(row: Row | None, metric: str, reference: ReferenceSpec | None) -> TableEntry | None:
    if row is None:
        return None
    figure = row.results.utility_figure
    part = utility_part(metric, figure)
    called = f"{part} {figure.name}" if part else metric  # as reference figures are called
    return TableEntry(metric, measured(row, metric), beside(reference, row.coordinates, called))
