"""What a study ends with: tables in Markdown and JSON, figures, the study itself, provenance.

Every reference figure is printed with its evidence, and the page says what each kind means.
"""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from fedsim.files import write_json, write_text
from fedsim.provenance import provenance
from fedsim.report.compared import auc_in_words
from fedsim.report.results import MEAN
from fedsim.report.words import plural, points, probability
from fedsim.studies.figures import svg
from fedsim.studies.layout import Layout
from fedsim.studies.pairs import Pair
from fedsim.studies.references import MEANINGS, Reference, reference_table
from fedsim.studies.rows import Row, caption, sizes
from fedsim.studies.running import Findings
from fedsim.studies.tables import Entry, Table, apart

VERSIONS_TOLD = ("python", "fedsim", "flwr", "torch", "numpy", "scikit-learn")


def write_outputs(findings: Findings, layout: Layout, options: Sequence[str]) -> Path:
    """Write everything that a study ends with; return the folder.

    `options` are those that changed every cell (``--set A.B=C``), for the page to tell.

    ``table.md`` and ``table.json`` the figures, ``figure-1.svg``, ... the drawings, ``study.yaml``
    every cell's experiment resolved, ``provenance.json`` what made them.
    """
    folder = layout.output(findings.path.stem, findings.scale)
    made_by = provenance(None)
    drawn = {
        f"figure-{number}.svg": svg(spec, findings.rows, findings.evidence)
        for number, spec in enumerate(findings.study.figures, start=1)
    }
    for name, text in drawn.items():
        write_text(folder / name, text)
    write_text(folder / "table.md", page(findings, made_by, options))
    write_json(folder / "table.json", as_json(findings, made_by))
    resolved = {cell.digest: cell.experiment.model_dump(mode="json") for cell in findings.cells}
    write_text(folder / "study.yaml", yaml.safe_dump(resolved, sort_keys=False))
    write_json(folder / "provenance.json", made_by)
    return folder


def publish(findings: Findings, output: Path, into: Path) -> Path:
    """Copy the page and the figures of a study to where anybody may read them; return the page.

    Nothing in them says which record was in whose training data.
    """
    into.mkdir(parents=True, exist_ok=True)
    name = findings.path.stem
    text = (output / "table.md").read_text(encoding="utf-8")
    for number in range(1, len(findings.study.figures) + 1):
        drawn = output / f"figure-{number}.svg"
        published = into / f"{name}-{number}.svg"
        published.write_text(drawn.read_text(encoding="utf-8"), encoding="utf-8")
        text = text.replace(f"]({drawn.name})", f"]({published.name})")
    target = into / f"{name}.md"
    target.write_text(text, encoding="utf-8")
    return target


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
    command = ["fedsim", "study", findings.path.name, "--scale", findings.scale, *options]
    yield (
        f"Generated by `{shlex.join(command)}` ({plural(runs, 'run')}); "
        f"commit `{made_by['commit']}`; {versions}."
    )


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def as_json(findings: Findings, made_by: Mapping[str, Any]) -> dict[str, Any]:
    """Return every figure of a study for programs: rows, references, differences, sizes."""
    study = findings.study
    reference = reference_table(study.reference.table) if study.reference else None
    return {
        "schema": 1,
        "study": findings.path.stem,
        "title": study.title,
        "reproduces": study.reproduces,
        "scale": findings.scale,
        "rows": [_row(row) for row in findings.rows],
        "references": [one.model_dump(mode="json") for one in reference.figures]
        if reference
        else [],
        "differences": [
            {"first": p.first, "second": p.second, "where": p.where, **asdict(p.difference)}
            for p in findings.pairs
        ],
        "cells": [
            {"coordinates": dict(c.coordinates), "run": c.digest, "sizes": sizes(c.experiment)}
            for c in findings.cells
        ],
        "made_by": {"commit": made_by["commit"], "versions": made_by["versions"]},
    }


def _row(row: Row) -> dict[str, Any]:
    victims = [
        one.victim
        for one in row.results.results
        if (one.adversary, one.attack) == (row.result.adversary, row.result.attack)
        and one.victim != MEAN
    ]
    return {
        "coordinates": dict(row.coordinates),
        "run": row.cell.digest,
        "victims": victims,
        "utility": row.results.utility.model_dump(mode="json"),
        **json.loads(row.result.model_dump_json(exclude={"adversary", "attack", "victim"})),
    }
