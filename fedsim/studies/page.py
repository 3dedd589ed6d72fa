"""A study's page in Markdown: tables, figures, differences, sizes, and what made them.

Every reference figure is printed with its evidence, and the page says what each kind means.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fedsim.report.compared import auc_in_words
from fedsim.report.words import plural, points, probability
from fedsim.studies.pairs import Pair
from fedsim.studies.references import MEANINGS, Reference, reference_table
from fedsim.studies.rows import caption
from fedsim.studies.running import Findings
from fedsim.studies.tables import Entry, Table, apart

VERSIONS_TOLD = ("python", "fedsim", "flwr", "torch", "numpy", "scikit-learn")


def page(findings: Findings, made_by: Mapping[str, Any], options: Sequence[str]) -> str:
    """Return a study's page in Markdown."""
    return "\n".join(_page(findings, made_by, options)).rstrip() + "\n"


def _page(findings: Findings, made_by: Mapping[str, Any], options: Sequence[str]) -> Iterator[str]:
    study = findings.study
    yield f"# {study.title}"
    yield ""
    yield (
        f"After {study.reproduces} of Nasr, Shokri and Houmansadr (IEEE S&P 2019), at scale "
        f"`{findings.scale}`."
    )
    if study.about:
        yield ""
        yield study.about.strip()
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
    yield _line([*table.row_names, *table.columns])
    yield _line(["---"] * len(table.row_names) + ["---:"] * len(table.columns))
    for key, entries in table.lines:
        yield _line([*key, *map(_entry, entries)])


def _entry(entry: Entry | None) -> str:
    """Return our figure with its interval, and below it the reference figure with its evidence."""
    if entry is None:
        return "-"
    parts = ["-"]
    if entry.figure is not None:
        value, interval = entry.figure.shown(entry.metric)
        parts = [f"**{value}** {interval}".rstrip()]
    if entry.reference is not None:
        parts.append(f"*{entry.reference.shown}*")
    return "<br>".join(parts)


def _differences(pairs: Sequence[Pair]) -> Iterator[str]:
    yield "**Differences** (first minus second, on the same draws of records)"
    yield ""
    headings = ["first", "second", "of", "accuracy, points", "p", "AUC", "p", "records"]
    yield _line(headings)
    yield _line(["---"] * 3 + ["---:"] * 4 + ["---"])
    for pair in pairs:
        accuracy = pair.difference.accuracy
        bounds = f"{points(accuracy.low)}, {points(accuracy.high)}"
        yield _line(
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


def _notes(findings: Findings) -> Iterator[str]:
    if findings.rows:
        intervals = findings.rows[0].result.interval
        yield (
            f"Figures of ours are bold, with {100 * intervals.confidence:g} % intervals over the "
            f"records ({intervals.resamples:,} resamples), means over victims and attack seeds. "
            "Guessing: accuracy 50, AUC .500, TPR = FPR. The intervals do not cover training the "
            "federation again."
        )
    spec = findings.study.reference
    if spec is None:
        return
    shown = [
        entry.reference
        for table in findings.tables
        for _, entries in table.lines
        for entry in entries
        if entry is not None and entry.reference is not None
    ]
    if shown:
        about = reference_table(spec.table).about.rstrip(".")
        yield ""
        yield (
            f"In italics, figures of {spec.table} of the paper ({about}), in percent, at the "
            f"paper's sizes, not ours. {_meanings(shown)}."
        )
    if others := apart(findings.study, findings.cells):
        yield ""
        told = [f"{', '.join(one.at.values())}: {_what(one)}{one.shown}" for one in others]
        yield (
            f"Figures of {spec.table} that stand beside none of ours: {'; '.join(told)}. "
            f"{_meanings(others)}."
        )


def _what(reference: Reference) -> str:
    return "" if reference.metric == "accuracy" else f"{reference.metric} "


def _meanings(references: Iterable[Reference]) -> str:
    """Return what the evidence of these figures means, each kind once."""
    kinds = dict.fromkeys(reference.evidence for reference in references)
    return "; ".join(MEANINGS[kind][1] for kind in kinds)


def _sizes(findings: Findings) -> Iterator[str]:
    """Return the sizes from the resolved experiments: what all cells share, and how they differ."""
    shared, cells = caption(findings.cells)
    yield "**Sizes.** " + "; ".join(f"{name}: {value}" for name, value in shared.items()) + "."
    names = list(cells[0][1])
    if names:
        yield ""
        yield _line(["cell", *names])
        yield _line(["---"] * (1 + len(names)))
        for cell, own in cells:
            yield _line([cell.name, *(own[name] for name in names)])


def _made_by(
    findings: Findings, made_by: Mapping[str, Any], options: Sequence[str]
) -> Iterator[str]:
    versions = ", ".join(f"{name} {made_by['versions'][name]}" for name in VERSIONS_TOLD)
    runs = len({cell.digest for cell in findings.cells}) if findings.study.runs else 0
    # Not the command as it was given: where the data are is nobody's business.
    path = findings.path.name if findings.path.is_absolute() else str(findings.path)
    command = ["fedsim", "study", path, "--scale", findings.scale, *options]
    yield (
        f"Generated by `{shlex.join(command)}` ({plural(runs, 'run')}); "
        f"{_commits(findings, made_by)}; {versions}."
    )


def _commits(findings: Findings, made_by: Mapping[str, Any]) -> str:
    """Return the commits that the runs were made at; the page's own where there are no runs."""
    made_at = [row.results.provenance.get("commit") for row in findings.rows]
    commits = list(dict.fromkeys(made_at)) or [made_by["commit"]]
    return f"{'commit' if len(commits) == 1 else 'commits'} " + ", ".join(f"`{c}`" for c in commits)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
