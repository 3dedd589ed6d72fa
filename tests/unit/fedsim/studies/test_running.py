"""Running a study: nothing twice, stopped anywhere, and what is in its tables and files."""

import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from toy_study import WriteStudy

from fedsim import api
from fedsim.api import studies
from fedsim.api.result_objects import FinishedRun
from fedsim.errors import DataError
from fedsim.progress import Advance
from fedsim.report.costs import Cost
from fedsim.report.results import Results
from fedsim.report.results_file import read_results, write_results
from fedsim.rundir.provenance import provenance
from fedsim.studies import live, running
from fedsim.studies.cells import Cell, expand
from fedsim.studies.definition import load_study
from fedsim.studies.findings import Findings
from fedsim.studies.layout import StudyPaths
from fedsim.studies.page import page
from fedsim.studies.provenance import RunOrigin, this_maker
from fedsim.studies.running import plan
from fedsim.studies.timing import added
from fedsim.studies.writing import publish, write_outputs

OLD, THIS = 8 * "01234", 8 * "abcde" + "-dirty"
TOLD = (
    "finished before, and not computed again: fast by commit 012340123401, fedsim 0.0.9; this is "
    "commit abcdeabcdeab-dirty, fedsim 0.1.0 (delete a run's folder, and it is computed anew)"
)


@dataclass
class Listening:
    """An audience that counts, and may press Ctrl-C when a cell begins."""

    stop_at: str = ""
    begun: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def begins(self, cell: Cell) -> None:
        """Count a cell that is computed."""
        if cell.name == self.stop_at:
            raise KeyboardInterrupt
        self.begun.append(cell.name)

    def ended(self, cell: Cell, results: Results, *, reused: bool) -> None:
        """Count a cell that was there before."""
        if reused:
            self.reused.append(cell.name)

    def say(self, text: str) -> None:
        """Keep the line."""
        self.said.append(text)

    @contextmanager
    def task(self, what: str, total: int, done: int = 0) -> Iterator[Advance]:
        """Drop every step."""
        yield lambda standing: None


def run(path: Path, out: Path, audience: Listening | None = None) -> Findings:
    told = audience or Listening()
    return api.study(path, out=out, open_audience=lambda cells: nullcontext(told)).findings


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that the tests below run the same study in: computed once."""
    return tmp_path_factory.mktemp("studies")


def test_finished_cells_are_never_computed_twice(
    write_study: WriteStudy, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    original = api.run

    def counted(experiment: Any, out: Path, **more: Any) -> FinishedRun:
        calls.append(out.name)
        return original(experiment, out, **more)

    monkeypatch.setattr(studies, "run", counted)
    stopped = Listening(stop_at="slow")
    with pytest.raises(KeyboardInterrupt):
        run(write_study(), shared, stopped)
    assert stopped.begun == ["fast"]

    resumed = Listening()
    findings = run(write_study(), shared, resumed)
    assert (resumed.begun, resumed.reused) == (["slow"], ["fast"])
    again = Listening()
    assert run(write_study(), shared, again).rows == findings.rows
    assert (again.begun, again.reused) == ([], ["fast", "slow"])
    assert calls == [cell.digest for cell in findings.cells]

    # Another study in the same folder, with a cell of the same experiment and one of another.
    other = write_study(
        axes={"rate": {"quick": {"federation.local.learning_rate": 0.1}}}, scales={"cpu": {}}
    )
    shares = Listening()
    run(other, shared, shares)
    assert (shares.begun, shares.reused) == ([], ["quick"])
    assert len(calls) == 2


def test_a_cell_that_cannot_run_is_told_before_the_first_one_runs(
    write_study: WriteStudy, tmp_path: Path
) -> None:
    impossible = {"audit.tested_members": 10**6}
    path = write_study(axes={"rate": {"possible": {"seed": 5}, "impossible": impossible}})
    audience = Listening()
    with pytest.raises(DataError, match=r"audit.tested_members is 1000000"):
        run(path, tmp_path / "out", audience)
    assert audience.begun == []


@pytest.fixture
def from_elsewhere(
    shared: Path, tmp_path: Path, write_study: WriteStudy, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Return a copy of that folder: an older fedsim has made the cell fast, this one slow."""
    this = RunOrigin(THIS, "0.1.0")
    for module in (running, live):
        monkeypatch.setattr(module, "this_maker", lambda: this)
    run(write_study(), shared)
    out = tmp_path / "copy"
    shutil.copytree(shared, out)
    path = write_study()
    makers = (RunOrigin(OLD, "0.0.9"), this)
    for cell, maker in zip(expand(load_study(path), path, "cpu"), makers, strict=True):
        file = StudyPaths(out).run(cell) / "results.json"
        results = read_results(file)
        told = {**results.provenance, "commit": maker.commit, "fedsim version": maker.version}
        write_results(file, results.model_copy(update={"provenance": told}))
    return out


def test_a_run_of_another_commit_is_told_and_not_computed_again(
    write_study: WriteStudy, from_elsewhere: Path
) -> None:
    audience = Listening()
    run(write_study(), from_elsewhere, audience)
    assert (audience.begun, audience.reused) == ([], ["fast", "slow"])
    assert audience.said == [TOLD]


def test_the_plan_tells_of_a_run_of_another_commit(
    write_study: WriteStudy, from_elsewhere: Path
) -> None:
    path = write_study()
    study = load_study(path)
    planned = plan(study, expand(study, path, "cpu"), StudyPaths(from_elsewhere))
    console = Console(width=400, file=io.StringIO(), record=True)
    live.show_plan(console, planned)
    assert console.export_text().splitlines()[-1].rstrip() == TOLD


def test_this_fedsim_is_known_by_its_commit_and_version() -> None:
    told = provenance(None)
    assert this_maker().commit == str(told["commit"])
    assert this_maker().version == metadata.version("fedsim")


def test_the_page_tells_the_runs_commits_from_its_own(
    write_study: WriteStudy, from_elsewhere: Path
) -> None:
    findings = run(write_study(), from_elsewhere)
    made_by = {**provenance(None), "commit": "f" * 40}
    last = page(findings, made_by, []).splitlines()[-1]
    assert f"runs of commits `{OLD}`, `{THIS}`, page of `{'f' * 40}`; python" in last
    left = replace(findings, rows=[row for row in findings.rows if row.cell.name == "fast"])
    assert f"runs of commit `{OLD}`, page of" in page(left, made_by, [])
    assert f"(2 runs); commit `{OLD}`; python" in page(left, {**made_by, "commit": OLD}, [])


def test_a_run_that_an_earlier_fedsim_named_is_found(
    write_study: WriteStudy, shared: Path, tmp_path: Path
) -> None:
    """It knew fewer settings, so that its experiment was another text."""
    findings = run(write_study(), shared)
    shutil.copytree(shared / "runs", tmp_path / "runs")
    today, earlier = (
        tmp_path / "runs" / name for name in (findings.cells[0].digest, "0123456789abcdef")
    )
    today.rename(earlier)
    tree = yaml.safe_load((earlier / "experiment.yaml").read_text())
    del tree["federation"]["local"]["keep_optimizer_state"]
    (earlier / "experiment.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    found = Listening()
    assert run(write_study(), tmp_path, found).rows == findings.rows
    assert (found.begun, found.reused) == ([], ["fast", "slow"])
    assert not today.exists()
    # What is no experiment any more is no cell's run.
    (earlier / "experiment.yaml").write_text("seed: [1")
    anew = Listening(stop_at="fast")
    with pytest.raises(KeyboardInterrupt):
        run(write_study(), tmp_path, anew)


def test_the_page_says_in_which_rounds_an_attacker_did_not_act(
    write_study: WriteStudy, shared: Path
) -> None:
    findings = run(write_study(), shared)
    assert "Active attackers" not in page(findings, provenance(None), [])
    cost = Cost(
        adversary="gradient-ascent-server", remarks=("no gradient ascent in 2 of 3 active rounds",)
    )
    rows = [
        replace(row, results=row.results.model_copy(update={"costs": (cost,)}))
        if row.cell.name == "slow"
        else row
        for row in findings.rows
    ]
    told = page(replace(findings, rows=rows), provenance(None), [])
    assert told.count("no gradient ascent") == 1
    assert (
        "**Active attackers, slow.** gradient-ascent-server: no gradient ascent in 2 of 3 active "
        "rounds."
    ) in told


def test_a_run_says_how_long_it_took_unless_it_was_resumed(
    write_study: WriteStudy, shared: Path, tmp_path: Path
) -> None:
    findings = run(write_study(), shared)
    fast, slow = findings.cells
    assert set(findings.took) == {fast.digest, slow.digest}
    known = added(findings.took.values())
    assert 0 < findings.took[fast.digest].wall < known.wall
    told = page(findings, provenance(None), [])
    assert f"; the runs took {known} (what had been simulated for other runs is not in it)." in told

    layout = StudyPaths(tmp_path / "resumed")
    shutil.copytree(shared / "runs", layout.root / "runs")
    (layout.run(fast) / "results.json").unlink()
    resumed = run(write_study(), layout.root)
    assert set(resumed.took) == {slow.digest}
    assert "; 1 of the runs took 0:00:" in page(resumed, provenance(None), [])
    output = write_outputs(resumed, layout, [])
    cells = json.loads((output / "table.json").read_text())["cells"]
    seconds = resumed.took[slow.digest]
    assert [cell["seconds"] for cell in cells] == [
        None,
        {"wall": seconds.wall, "processor": seconds.processor},
    ]


def test_the_plan_says_what_is_finished_and_what_is_shared(
    write_study: WriteStudy, shared: Path
) -> None:
    run(write_study(), shared)
    axes = {"cell": {"done": {}, "asked": {"audit.known_members": 9}, "new": {"seed": 4}}}
    path = write_study(axes=axes, scales={"cpu": {}}, tables=[])
    cells = expand(load_study(path), path, "cpu")
    done, asked, new = plan(load_study(path), cells, StudyPaths(shared))
    assert [one.finished for one in (done, asked, new)] == [True, False, False]
    assert asked.shares_with is cells[0]
    assert (done.shares_with, new.shares_with) == (None, None)
    assert [one.active for one in (done, asked, new)] == [0, 0, 0]


def test_the_tables_hold_the_figures_of_the_runs(write_study: WriteStudy, shared: Path) -> None:
    findings = run(write_study(), shared)
    accuracy, area, by_metric = findings.tables
    assert accuracy.title == "accuracy, %"
    assert accuracy.columns == ("scalar-logistic", "gradient-norm", "label")
    assert [key for key, _ in accuracy.lines] == [
        ("fast", "curious-server"),
        ("fast", "curious-participant"),
        ("slow", "curious-server"),
        ("slow", "curious-participant"),
    ]
    slow = read_results(StudyPaths(shared).run(findings.cells[1]) / "results.json")
    row = {(r.adversary, r.attack): r for r in slow.summary()}["curious-server", "gradient-norm"]
    entry = area.lines[2][1][1]
    assert entry is not None
    assert entry.figure is not None
    assert (entry.figure.value, entry.figure.interval) == (row.auc.value, row.auc)

    assert by_metric.columns == ("AUC", "test accuracy, %", "TPR at 1 % FPR, %")
    auc, tested, refused = by_metric.lines[1][1]
    assert auc is not None
    assert tested is not None
    assert tested.figure is not None
    assert tested.figure.value == slow.utility["test_accuracy"]
    assert refused is not None
    assert refused.figure is None


def test_the_page_says_figures_sizes_references_and_what_made_it(
    write_study: WriteStudy, shared: Path, tmp_path: Path
) -> None:
    path = write_study(
        axes={"target": {"cifar100-alexnet": {}, "cifar100-densenet": {"seed": 3, "engine": {}}}},
        scales={"cpu": {"changes": {"federation.local.learning_rate": 0.1}}},
        tables=[{"rows": ["target"], "columns": "adversary", "only": {"attack": ["label"]}}],
        compare=[
            {
                "along": "adversary",
                "pairs": [["curious-server", "curious-participant"]],
                "only": {"attack": ["label"]},
            }
        ],
        figures=[
            {
                "kind": "course",
                "caption": "The gradient norm",
                "panels": "adversary",
                "only": {"target": ["cifar100-alexnet"], "attack": ["gradient-norm"]},
            }
        ],
        reference={"table": "table X", "apart": True},
    )
    findings = run(path, shared)
    output = write_outputs(findings, StudyPaths(shared), ["--set", "seed=3"])
    page = publish(findings, output, tmp_path / "docs").read_text()
    figure = findings.tables[0].lines[0][1][0]
    assert figure is not None
    assert figure.figure is not None
    assert f"**{100 * figure.figure.value:.1f}**" in page
    assert "<br>*85.1 (recalled, unverified)*" in page
    assert "<br>*79.2 (V)*" in page
    assert "recalled, unverified: nobody has checked it; V: read in a source" in page
    assert "texas100, curious-server: 66.4 (recalled, unverified)" in page
    assert "trained by: 3 participants, 40 records each (disjoint)" in page
    assert "known: 10 members, 10 non-members" in page
    assert "`fedsim study study.yaml --scale cpu --set seed=3`" in page
    assert "| curious-server | curious-participant | cifar100-alexnet, label |" in " ".join(
        page.split()
    )
    assert "![The gradient norm](study-1.svg)" in page
    assert str(shared) not in page
    drawn = (tmp_path / "docs" / "study-1.svg").read_text()
    assert all(word in drawn for word in ("curious-server", "non-members", "gradient-norm"))

    again = write_outputs(run(path, shared), StudyPaths(shared), ["--set", "seed=3"])
    assert (again / "figure-1.svg").read_text() == drawn
    figures = json.loads((output / "table.json").read_text())
    assert len(figures["rows"]) == 2 * 2 * 3
    assert (
        figures["rows"][0]["figures"]["auc"]["low"] <= figures["rows"][0]["figures"]["auc"]["value"]
    )
    assert figures["cells"][0]["sizes"]["tested"] == "10 members, 10 non-members"
    assert {one["evidence"] for one in figures["references"]} == {"read", "recalled"}
    assert (output / "provenance.json").is_file()
    assert findings.cells[0].digest in (output / "study.yaml").read_text()


def test_a_course_shows_both_ends_of_training_and_who_acts(
    write_study: WriteStudy, tmp_path: Path
) -> None:
    ascent = {"name": "gradient-ascent-server", "first": 3, "targets": None, "steps": 1}
    nothing_before = {"name": "curious-participant", "participant": 2}
    changes = {
        "adversaries": ["curious-server", ascent, nothing_before],
        "attacks": ["gradient-norm"],
        "snapshots.rounds": [2, 4],
    }
    figures = [
        {"kind": kind, "caption": kind, "panels": "adversary", "only": {"rate": ["fast"]}}
        for kind in ("course", "reaction")
    ]
    path = write_study(changes=changes, tables=[], reference=None, figures=figures)
    output = write_outputs(run(path, tmp_path / "out"), StudyPaths(tmp_path / "out"), [])
    course, reaction = ((output / f"figure-{n}.svg").read_text() for n in (1, 2))
    words = ("members, sent", "members, returned", "non-members, sent", "it acts")
    assert all(word in course for word in words)
    assert "gradient-norm: returned / sent" in reaction
    assert course.count("stroke-dasharray") > reaction.count("stroke-dasharray") > 0


FIGURES = {
    "line": {"along": "rate", "lines": "adversary", "metric": "auc"},
    "roc": {"panels": "rate", "lines": "adversary"},
    "histogram": {"panels": "rate", "only": {"adversary": ["curious-server"]}},
    "by-class": {"panels": "rate", "only": {"adversary": ["curious-server"]}},
}


@pytest.mark.parametrize("kind", FIGURES)
def test_every_kind_of_figure_is_drawn_from_scores(
    write_study: WriteStudy, shared: Path, kind: str
) -> None:
    spec = {"kind": kind, "caption": kind, **FIGURES[kind]}
    spec["only"] = {**spec.get("only", {}), "attack": ["gradient-norm"]}
    findings = run(write_study(figures=[spec]), shared)
    drawn = (write_outputs(findings, StudyPaths(shared), []) / "figure-1.svg").read_text()
    words = {"line": ["AUC", "curious-participant"], "roc": ["true positive rate"]}
    assert all(word in drawn for word in [*words.get(kind, ["members"]), "fast", "slow"])


def test_a_study_of_sizes_runs_nothing(write_study: WriteStudy, tmp_path: Path) -> None:
    findings = run(write_study(tables=[], reference=None), tmp_path / "none")
    page = (write_outputs(findings, StudyPaths(tmp_path / "none"), []) / "table.md").read_text()
    assert not (tmp_path / "none" / "runs").exists()
    assert "tested: 10 members, 10 non-members" in page
    assert "(0 runs)" in page
