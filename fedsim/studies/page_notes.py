"""The part of a study's page below its tables: notes, and the sizes of its cells."""

from collections.abc import Iterable, Iterator

from fedsim.report.cost_table import cost_remarks
from fedsim.report.formats import markdown_table
from fedsim.report.formatting import interval_note
from fedsim.studies.cells import Cell
from fedsim.studies.findings import Findings
from fedsim.studies.references import (
    MEANINGS,
    Reference,
    SizeReference,
    reference_table,
    sizes_beside,
)
from fedsim.studies.rows import caption
from fedsim.studies.tables import apart


def page_notes(findings: Findings) -> Iterator[str]:
    """Yield what the figures mean, and which of them are the paper's."""
    if findings.rows and findings.tables:  # a frontier's intervals are over federations
        intervals = findings.rows[0].result
        bounds = interval_note(row.result for row in findings.rows)
        yield (
            f"Figures of ours are bold, with {100 * intervals.confidence:g} % intervals over the "
            f"records ({intervals.resamples:,} resamples{bounds}), means over victims and attack "
            "seeds. Guessing: accuracy 50, AUC .500, TPR = FPR. The intervals do not cover "
            "training the federation again."
        )
    yield from _remarks(findings)
    spec = findings.study.reference
    if spec is None:
        return
    if stated := [size for cell in findings.cells for size in _beside(findings, cell)]:
        yield ""
        yield f"In italics, sizes of {_source(spec.table)}, not ours. {_meanings(stated)}."
    shown = [
        entry.reference
        for table in findings.tables
        for _, entries in table.lines
        for entry in entries
        if entry is not None and entry.reference is not None
    ]
    if shown:
        yield ""
        yield (
            f"In italics, figures of {_source(spec.table)}, in percent, at the paper's sizes, not "
            f"ours. {_meanings(shown)}."
        )
    if others := apart(findings.study, findings.cells):
        yield ""
        message = [f"{', '.join(one.at.values())}: {_what(one)}{one.shown}" for one in others]
        yield (
            f"Figures of {spec.table} that stand beside none of ours: {'; '.join(message)}. "
            f"{_meanings(others)}."
        )


def _remarks(findings: Findings) -> Iterator[str]:
    """Yield the remarks on active attackers, cell by cell."""
    cells = {row.cell.digest: row for row in findings.rows}
    for row in cells.values():
        if message := cost_remarks(row.results.costs):
            yield ""
            yield f"**Active attackers{_in_cell(row.cell)}.** {' '.join(message)}"


def _in_cell(cell: Cell) -> str:
    return f", {', '.join(cell.coordinates.values())}" if cell.coordinates else ""


def _source(table: str) -> str:
    return f"{table} of the paper ({reference_table(table).about.rstrip('.')})"


def _what(reference: Reference) -> str:
    return "" if reference.metric == "accuracy" else f"{reference.metric} "


def _meanings(references: Iterable[Reference | SizeReference]) -> str:
    """Return the meaning of each kind of evidence of these figures."""
    kinds = dict.fromkeys(reference.evidence for reference in references)
    return "; ".join(MEANINGS[kind][1] for kind in kinds)


def page_sizes(findings: Findings) -> Iterator[str]:
    """Return the sizes from the resolved experiments: what all cells share, and how they differ.

    The paper's sizes are printed below ours, with their evidence.
    """
    shared, cells = caption(findings.cells)
    yield "**Sizes.** " + "; ".join(f"{name}: {value}" for name, value in shared.items()) + "."
    names = list(cells[0][1])
    if names:
        yield ""
        yield markdown_table(
            ["cell", *names],
            [
                [
                    cell.name,
                    *(_size(name, own[name], _beside(findings, cell)) for name in names),
                ]
                for cell, own in cells
            ],
            left=1 + len(names),
            escaped=True,
        )


def _beside(findings: Findings, cell: Cell) -> list[SizeReference]:
    spec = findings.study.reference
    return sizes_beside(spec.table, cell.coordinates) if spec else []


def _size(name: str, own: str, stated: Iterable[SizeReference]) -> str:
    return "<br>".join([own, *(f"*{one.shown}*" for one in stated if one.size == name)])
