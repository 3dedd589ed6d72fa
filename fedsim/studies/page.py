"""A study's page in Markdown: tables, figures, differences, sizes, and what made them.

Every reference figure is printed with its evidence, and the page says what each kind means.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fedsim.errors import plural
from fedsim.report.comparison_rows import auc_in_words
from fedsim.report.cost_table import cost_remarks
from fedsim.report.formats import markdown_table
from fedsim.report.formatting import points, probability
from fedsim.studies.cells import Cell
from fedsim.studies.frontier_page import frontier_markdown
from fedsim.studies.pairs import Pair
from fedsim.studies.provenance import maker_of
from fedsim.studies.references import (
    MEANINGS,
    Reference,
    SizeReference,
    reference_table,
    sizes_beside,
)
from fedsim.studies.rows import caption
from fedsim.studies.running import Findings
from fedsim.studies.tables import Table, TableEntry, apart
from fedsim.studies.timing import added

FRONTIER_FIGURE = "figure-frontier.svg"
VERSIONS_TOLD = ("python", "fedsim", "flwr", "torch", "numpy", "scikit-learn")


def page(findings: Findings, made_by: Mapping[str, Any], options: Sequence[str]) -> str:
    """Return a study's page in Markdown."""
    return "\n".join(_page(findings, made_by, options)).rstrip() + "\n"


def _page(findings: Findings, made_by: Mapping[str, Any], options: Sequence[str]) -> Iterator[str]:
    study = findings.study
    yield f"# {study.title}"
    yield ""
    if study.reproduces:
        yield (
            f"After {study.reproduces} of Nasr, Shokri and Houmansadr (IEEE S&P 2019), at scale "
            f"`{findings.scale}`."
        )
    else:
        yield f"At scale `{findings.scale}`."
    if study.about:
        yield ""
        yield study.about.strip()
    yield ""
    if findings.self_check:
        yield f"**Self-check failed.** {'; '.join(findings.self_check)}."
        yield ""
    if findings.frontier is not None:
        yield from frontier_markdown(findings.frontier, FRONTIER_FIGURE)
        yield ""
    for table in findings.tables:
        yield from _markdown(table)
        yield ""
    for number, spec in enumerate(study.figures, start=1):
        yield f"![{spec.caption}](figure-{number}.svg)"
        yield ""
        yield f"*{spec.caption}*"
        yield ""
    if findings.pairs:
        yield from _differences(findings.pairs)
        yield ""
    yield from _notes(findings)
    yield ""
    yield from _sizes(findings)
    yield ""
    yield from _made_by(findings, made_by, options)


def _markdown(table: Table) -> Iterator[str]:
    if table.title:
        yield f"**{table.title}**"
        yield ""
    yield markdown_table(
        [*table.row_names, *table.columns],
        [[*key, *map(_entry, entries)] for key, entries in table.lines],
        left=len(table.row_names),
        escaped=True,
    )


def _entry(entry: TableEntry | None) -> str:
    """Return our figure with its interval, and below it the reference figure with its evidence."""
    if entry is None:
        return "-"
    parts = ["-"]
    if entry.figure is not None:
        value, interval = entry.figure.shown()
        parts = [f"**{value}** {interval}".rstrip()]
    if entry.reference is not None:
        parts.append(f"*{entry.reference.shown}*")
    return "<br>".join(parts)


def _differences(pairs: Sequence[Pair]) -> Iterator[str]:
    yield "**Differences** (first minus second, on the same draws of records)"
    yield ""
    headings = ["first", "second", "of", "accuracy, points", "p", "AUC", "p", "records"]
    lines = []
    for pair in pairs:
        accuracy = pair.difference.figures["accuracy"]
        bounds = f"{points(accuracy.low)}, {points(accuracy.high)}"
        lines.append(
            [
                pair.first,
                pair.second,
                ", ".join(pair.where.values()),
                f"{points(accuracy.value)} ({bounds})",
                probability(accuracy.p),
                *auc_in_words(pair.difference),
                f"{pair.difference.pairing}, {pair.difference.shared:,} shared",
            ]
        )
    yield markdown_table(headings, lines, left=3, escaped=True)


def _notes(findings: Findings) -> Iterator[str]:
    if findings.rows:
        intervals = findings.rows[0].result
        yield (
            f"Figures of ours are bold, with {100 * intervals.confidence:g} % intervals over the "
            f"records ({intervals.resamples:,} resamples), means over victims and attack seeds. "
            "Guessing: accuracy 50, AUC .500, TPR = FPR. The intervals do not cover training the "
            "federation again."
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
    """Yield what has to be known of active attackers beside their figures, cell by cell."""
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
    """Return what the evidence of these figures means, each kind once."""
    kinds = dict.fromkeys(reference.evidence for reference in references)
    return "; ".join(MEANINGS[kind][1] for kind in kinds)


def _sizes(findings: Findings) -> Iterator[str]:
    """Return the sizes from the resolved experiments: what all cells share, and how they differ.

    Those of the paper stand below ours, with their evidence.
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


def _made_by(
    findings: Findings, made_by: Mapping[str, Any], options: Sequence[str]
) -> Iterator[str]:
    versions = ", ".join(f"{name} {made_by['versions'][name]}" for name in VERSIONS_TOLD)
    runs = len({cell.digest for cell in findings.cells}) if findings.study.runs else 0
    # Not the command as it was given: where the data are is private.
    path = findings.path.name if findings.path.is_absolute() else str(findings.path)
    command = ["fedsim", "study", path, "--scale", findings.scale, *options]
    facts = [_commits(findings, made_by), versions, *_seconds(findings, runs)]
    yield f"Generated by `{shlex.join(command)}` ({plural(runs, 'run')}); {'; '.join(facts)}."


def _commits(findings: Findings, made_by: Mapping[str, Any]) -> str:
    """Return the page's commit, and before it those of the runs where they are others."""
    page = str(made_by["commit"])
    runs = dict.fromkeys(maker_of(row.results).commit for row in findings.rows)
    if not {*runs} - {page}:
        return f"commit `{page}`"
    message = ", ".join(f"`{commit}`" for commit in runs)
    return f"runs of {'commit' if len(runs) == 1 else 'commits'} {message}, page of `{page}`"


def _seconds(findings: Findings, runs: int) -> Iterator[str]:
    """Yield how long the runs took together, as far as it is known."""
    known = len(findings.took)
    if known:
        every = "the run" if runs == 1 else "the runs"
        which = every if known == runs else f"{known} of the runs"
        yield (
            f"{which} took {added(findings.took.values())} (what had been simulated for other runs "
            "is not in it)"
        )
