"""``fraction_evaluate: 0`` switches client evaluation off: attacks and reports go on without it."""

from pathlib import Path

import pytest
import toys

import fedsim
from fedsim.api import report

OFF = {"name": "FedAvg", "fraction_evaluate": 0.0}


@pytest.mark.parametrize("strategy", [OFF, {"name": "FedAdam", "fraction_evaluate": 0.0}])
def test_figures_are_reported_and_train_accuracy_is_not_measured(
    strategy: dict[str, object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {**toys.tree()["federation"], "strategy": strategy}
    run = fedsim.run(toys.tree(federation=settings), tmp_path / "run")
    assert run.results.utility["train_accuracy"] is None
    assert run.results.utility["test_accuracy"] is not None
    assert {row.attack for row in run.results.results} == {"random", "label"}
    assert report(run).results == run.results
    assert "not measured" in run._repr_html_()
    assert [one.getMessage() for one in caplog.records if one.levelname == "WARNING"] == []
    rows = fedsim.compare(run).rows
    assert rows
