"""The report of a run that is not fully attacked, and which attack its headline is about."""

import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import toys
from rich.console import Console

from fedsim.api import attack, compare, report
from fedsim.errors import RunDirectoryError
from fedsim.evaluation import Scores
from fedsim.report.comparison_table import ComparedTable
from fedsim.report.formatting import difference_text
from fedsim.report.table import RunTable
from fedsim.rundir import RunDirectory
from fedsim.stages.figures.evaluate import evaluate_run
from fedsim.stages.figures.score_files import write_scores
from fedsim.stages.page import report_charts, report_text

WRITTEN = ("results.json", "report.html")
GUESS_FIRST = ["random", "loss", "scalar-logistic"]
VICTIMS = {"audit": {"victims": [0, 1]}}


def attacked(path: Path, attacks: list[str] = GUESS_FIRST, **sections: object) -> Path:
    toys.simulated(path, attacks=attacks, **sections)
    attack(path)
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of two adversaries, the first of them asking about two victims; not changed."""
    return attacked(tmp_path_factory.mktemp("finished") / "run", **VICTIMS)


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> RunDirectory:
    """Return a copy of the finished run."""
    return RunDirectory(shutil.copytree(finished, tmp_path / "run"))


def refused(run: RunDirectory) -> str:
    """Return why a run is not reported, having seen that nothing was written."""
    before = {name: (run.path / name).read_bytes() for name in WRITTEN}
    with pytest.raises(RunDirectoryError) as caught:
        report(run.path)
    assert {name: (run.path / name).read_bytes() for name in WRITTEN} == before
    return str(caught.value)


@pytest.mark.parametrize("adversary", ["curious-server", "curious-participant"])
def test_scores_of_an_adversary_that_are_gone_are_one_sentence(
    run: RunDirectory, adversary: str
) -> None:
    shutil.rmtree(run.path / "scores" / adversary)
    assert refused(run) == (
        f"{adversary} has no scores of loss, random, scalar-logistic yet; `fedsim attack "
        f"{run.path}` makes them"
    )
    attack(run.path)
    assert set(report(run.path).results.adversaries()) == {"curious-server", "curious-participant"}


@pytest.mark.parametrize("key", ["participant-0", "participant-1", "all-but-2"])
def test_scores_of_one_attack_that_are_gone_are_one_sentence(run: RunDirectory, key: str) -> None:
    adversary = "curious-participant" if key == "all-but-2" else "curious-server"
    run.scores(adversary, key, "loss").unlink()
    assert refused(run) == (
        f"{adversary} has no scores of loss yet; `fedsim attack {run.path} --attack loss` makes "
        "them"
    )


def test_without_any_scores_it_says_so(run: RunDirectory) -> None:
    shutil.rmtree(run.path / "scores")
    assert refused(run) == f"{run.path} has no scores yet; run `fedsim attack {run.path}`"


def test_some_attacks_alone_and_others_later_are_reported(tmp_path: Path) -> None:
    toys.simulated(tmp_path / "run", attacks=GUESS_FIRST)
    assert attack(tmp_path / "run", attacks=["loss"]).results.attacks() == ("loss",)
    assert attack(tmp_path / "run", attacks=["label"]).results.attacks() == ("loss", "label")


def test_a_page_that_fails_leaves_the_results(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run.results.read_bytes()
    run.scores("curious-server", "participant-0", "loss").touch()

    def failing(*_: object) -> None:
        raise RunDirectoryError("no page")

    monkeypatch.setattr(report_charts, "rocs", failing)
    run.results.write_bytes(before + b"\n")
    with pytest.raises(RunDirectoryError, match="no page"):
        report(run.path)
    assert run.results.read_bytes() == before + b"\n"


def test_the_headline_is_about_what_does_best_on_the_known_records(finished: Path) -> None:
    judged = evaluate_run(RunDirectory(finished))
    attacker = judged.attackers[0]
    known = {a: judged.known[attacker.label, "participant-0", a] for a in GUESS_FIRST}
    leading = report_text.leading_attack(attacker, judged)
    assert leading == max(known, key=lambda name: known[name])
    assert leading != "random"
    finding = report_text.findings(judged)[0]
    assert finding.attack == leading
    evaluation_result = judged.evaluation_results[attacker.label, "participant-0", leading]
    assert finding.accuracy == evaluation_result.accuracy.value
    assert f"<small>{leading}</small>" in RunDirectory(finished).report.read_text()


def with_label_scores(run: RunDirectory, shift: float) -> None:
    """Write scores of the label baseline by which members stand `shift` above the others."""
    judged = evaluate_run(run)
    for attacker in judged.attackers:
        for query in attacker.queries:
            audit = judged.ledger.audit(query)
            noise = np.random.default_rng(7).normal(size=len(audit.records))
            scores = Scores(audit.records, noise + shift * audit.member)
            path = run.scores(attacker.label, query.key, "label")
            write_scores(path, scores, {"baseline": True})


def test_where_the_label_alone_tells_members_the_gain_over_it_is_said(run: RunDirectory) -> None:
    with_label_scores(run, 2.0)
    results = report(run.path).results
    rows = {(row.adversary, row.attack): row for row in results.summary()}
    label = rows["curious-server", "label"]
    assert label.auc.low > 0.5
    assert label.over_label == {}
    for (adversary, attack_name), row in rows.items():
        if attack_name != "label":
            gain, alone = row.over_label["auc"], rows[adversary, "label"].auc.value
            assert gain.value == pytest.approx(row.auc.value - alone)
            assert gain.low <= gain.value <= gain.high
    page = run.report.read_text()
    headline = re.search("<h1>(.*?)</h1>", page, flags=re.DOTALL)
    assert headline is not None
    assert "than with the record&#39;s label alone" in headline[1]
    assert "guessing: 50" not in headline[1]
    said = "curious-server: a record&#39;s label alone separates members from non-members here"
    assert said in page
    console = Console(width=200, file=io.StringIO(), color_system=None)
    console.print(RunTable(results))
    assert "read the figures as gains over it, not over guessing" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_comparison_says_the_gain_over_the_label_too(run: RunDirectory, tmp_path: Path) -> None:
    with_label_scores(run, 2.0)
    report(run.path)
    compared = compare(run.path, page=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    console = Console(width=200, file=io.StringIO(), color_system=None)
    console.print(ComparedTable(compared.rows))
    printed = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    for adversary in ("curious-server", "curious-participant"):
        said = f"{adversary}: a record{{}}s label alone separates members from non-members here"
        assert page.count(said.format("&#39;")) == 1
        assert printed.count(said.format("'")) == 1
    (row,) = [r for r in compared.rows if r.result.attack == "loss" and r.run and r.difference]
    value = row.result.over_label["auc"].value
    assert f"AUC {difference_text(value, 'area')} (" in printed
    frame = compared.to_frame().query("metric == 'auc' and attack == 'loss'")
    assert value in set(frame["over_label"])
    with_label_scores(run, 0.0)
    report(run.path)
    compare(run.path, page=tmp_path / "page.html")
    assert "label alone separates" not in (tmp_path / "page.html").read_text()


def test_where_the_label_tells_nothing_figures_are_against_guessing(run: RunDirectory) -> None:
    with_label_scores(run, 0.0)
    results = report(run.path).results
    assert all(row.over_label == {} for row in results.results)
    assert "guessing: 50" in run.report.read_text()


def test_known_records_are_judged_as_the_tested_ones_are(finished: Path) -> None:
    judged = evaluate_run(RunDirectory(finished))
    # A balanced accuracy at the best of thresholds is never below guessing.
    assert all(0.5 <= accuracy <= 1 for accuracy in judged.known.values())
    assert judged.known.keys() == judged.evaluation_results.keys()


def test_charts_name_the_victim_where_there_are_others(finished: Path) -> None:
    judged = evaluate_run(RunDirectory(finished))
    said = {(one.adversary, one.about) for one in report_charts.histograms(judged)}
    assert said == {
        ("curious-server", "first victim: participant 0"),
        ("curious-participant", ""),
    }
    assert {one.about for one in report_charts.by_class(judged)} == {about for _, about in said}
    page = RunDirectory(finished).report.read_text()
    assert "<figcaption>loss · curious-server · first victim: participant 0</figcaption>" in page
    assert "Of several victims the first; the table has the others." in page
    assert "<figcaption>the honest federation</figcaption>" in page
