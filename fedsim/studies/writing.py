"""Writing the outputs of a study: page, figures, JSON and provenance."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fedsim.config.yaml_files import format_yaml
from fedsim.files import write_json, write_text
from fedsim.report.results import MEAN
from fedsim.rundir.provenance import provenance
from fedsim.studies.figures import svg
from fedsim.studies.findings import Findings
from fedsim.studies.frontier_figure import frontier_svg
from fedsim.studies.frontier_page import frontier_json
from fedsim.studies.layout import StudyPaths
from fedsim.studies.page import FRONTIER_FIGURE, page
from fedsim.studies.references import reference_table
from fedsim.studies.rows import Row, sizes


def write_outputs(findings: Findings, layout: StudyPaths, options: Sequence[str]) -> Path:
    """Write all outputs of a study; return their folder.

    `options` are those that changed every cell (``--set A.B=C``), as the page shows them.

    ``table.md`` and ``table.json`` have the figures, ``figure-1.svg``, ... the drawings,
    ``study.yaml`` every cell's resolved experiment, ``provenance.json`` the provenance.
    """
    folder = layout.output(findings.path.stem, findings.scale)
    made_by = provenance(None)
    drawn = {
        f"figure-{number}.svg": svg(spec, findings.rows, findings.evidence)
        for number, spec in enumerate(findings.study.figures, start=1)
    }
    if findings.frontier is not None:
        drawn[FRONTIER_FIGURE] = frontier_svg(findings.frontier)
    for name, text in drawn.items():
        write_text(folder / name, text)
    write_text(folder / "table.md", page(findings, made_by, options))
    write_json(folder / "table.json", as_json(findings, made_by))
    resolved = {cell.digest: cell.experiment.model_dump(mode="json") for cell in findings.cells}
    write_text(folder / "study.yaml", format_yaml(resolved))
    write_json(folder / "provenance.json", made_by)
    return folder


def publish(findings: Findings, output: Path, into: Path) -> Path:
    """Copy the page and the figures of a study to a public folder; return the page.

    Nothing in them says which record was in whose training data.
    """
    into.mkdir(parents=True, exist_ok=True)
    name = findings.path.stem
    text = (output / "table.md").read_text(encoding="utf-8")
    figures = [f"figure-{number}.svg" for number, _ in enumerate(findings.study.figures, start=1)]
    figures += [FRONTIER_FIGURE] if findings.frontier is not None else []
    for figure in figures:
        drawn = output / figure
        published = into / f"{name}-{figure.removeprefix('figure-')}"
        published.write_text(drawn.read_text(encoding="utf-8"), encoding="utf-8")
        text = text.replace(f"]({drawn.name})", f"]({published.name})")
    target = into / f"{name}.md"
    target.write_text(text, encoding="utf-8")
    return target


def as_json(findings: Findings, made_by: Mapping[str, Any]) -> dict[str, Any]:
    """Return every figure of a study for programs: rows, references, differences, sizes."""
    study = findings.study
    reference = reference_table(study.reference.table) if study.reference else None
    return {
        "schema": 2,
        "study": findings.path.stem,
        "title": study.title,
        "reproduces": study.reproduces,
        "scale": findings.scale,
        "rows": [_row(row) for row in findings.rows],
        "references": [one.model_dump(mode="json") for one in reference.figures]
        if reference
        else [],
        "sizes_of_the_paper": [one.model_dump(mode="json") for one in reference.sizes]
        if reference
        else [],
        "frontier": frontier_json(findings.frontier) if findings.frontier else [],
        "differences": [
            {"first": p.first, "second": p.second, "where": p.where, **asdict(p.difference)}
            for p in findings.pairs
        ],
        "cells": [
            {
                "coordinates": dict(c.coordinates),
                "run": c.digest,
                "sizes": sizes(c.experiment),
                "seconds": asdict(took) if (took := findings.took.get(c.digest)) else None,
            }
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
        "utility_figure": row.results.utility_figure.model_dump(),
        "utility": row.results.utility,
        **json.loads(row.result.model_dump_json(exclude={"adversary", "attack", "victim"})),
    }
