"""A metric of a user's own: one class, and it stands wherever the others stand."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import toys
from rich.console import Console

import fedsim
from fedsim import Metric, ScoredRecords
from fedsim.config.loading import experiment_of_tree
from fedsim.errors import FedsimError
from fedsim.report.comparison_table import ComparedTable
from fedsim.report.formats import FORMATS
from fedsim.report.table import RunTable

OWN = "test_own_metric:MedianGap"
NAMED = ["auc", "precision@0.1", "epsilon", {"name": OWN, "scale": 2.0}]
NAMES = ["accuracy", "auc", "precision@0.1", "epsilon@1e-05", "median-gap"]


class MedianGap(Metric):
    """How far the median member scores above the median non-member."""

    name = "median-gap"
    heading = "median gap"
    guessing = 0.0

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def point(self, scored: ScoredRecords) -> float:
        """Return the gap."""
        return self.scale * float(np.median(scored.members) - np.median(scored.nonmembers))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fedsim.FinishedRun:
    path = tmp_path_factory.mktemp("own") / "run"
    toys.simulated(path, attacks=["loss", "random"], metrics=NAMED)
    return fedsim.attack(path)


def shown(table: object) -> str:
    console = Console(width=200, file=io.StringIO(), color_system=None)
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_it_stands_wherever_the_others_stand(run: fedsim.FinishedRun) -> None:
    assert list(run.results.metrics) == NAMES
    for row in run.results.results:
        gap = row.figures["median-gap"]
        assert gap.low <= gap.value <= gap.high
    assert "median gap" in shown(RunTable(run.results))
    assert '<button type="button">median gap</button>' in run.page.read_text()
    assert set(run.to_frame()["metric"]) == set(NAMES)
    assert "median gap" in run._repr_html_()
    rows = fedsim.compare(run).rows
    lines = list(csv.DictReader(io.StringIO(FORMATS["csv"](rows))))
    gaps = [line for line in lines if line["metric"] == "median-gap"]
    assert gaps
    assert any(line["difference"] for line in gaps)
    assert "median gap" in shown(ComparedTable(rows))
    for form in ("markdown", "latex"):
        assert "median gap" in FORMATS[form](rows)


def test_a_finished_run_is_measured_anew_by_other_metrics(
    run: fedsim.FinishedRun, tmp_path: Path
) -> None:
    path = tmp_path / "run"
    experiment = toys.experiment(attacks=["loss", "random"], metrics=["tpr@0.1"])
    before = toys.experiment(attacks=["loss", "random"], metrics=NAMED)
    first = fedsim.run(before, path)
    again = fedsim.run(experiment, path)
    assert list(again.results.metrics) == ["accuracy", "auc", "tpr@0.1"]
    for old, new in zip(first.results.results, again.results.results, strict=True):
        assert (old.accuracy, old.auc) == (new.accuracy, new.auc)


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        (["aucc"], "there is no 'aucc' among the metrics; valid: accuracy, auc, calibrated-fpr, "),
        (["tpr"], "setting 'fpr' is missing"),
        (["tpr@x"], "setting 'fpr' is 'x'"),
        (["tpr@1.5"], "an fpr of 1.5 was given"),
        (["auc@0.1"], "metric 'auc' has no settings; write it without '@0.1'"),
        ([{"name": "tpr@0.1", "fpr": 0.2}], "has 'fpr' twice"),
        (["tpr@0.01", {"name": "tpr", "fpr": 0.01}], "metrics has 'tpr@0.01' twice"),
    ],
)
def test_what_is_wrong_is_told_before_anything_runs(
    metrics: list[object], sentence: str, tmp_path: Path
) -> None:
    tree = toys.experiment().model_dump(mode="json") | {"metrics": metrics}
    with pytest.raises(FedsimError, match=sentence):
        experiment_of_tree(tree, "the toy")
