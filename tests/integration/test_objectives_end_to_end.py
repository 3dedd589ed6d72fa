"""Each objective from data to page: a leak that is there is found, one that is not is not."""

from pathlib import Path
from typing import Any

import pytest

import fedsim
from fedsim.config.loading import experiment_of_tree
from fedsim.report.table import utility_line

DATA = {
    "regression": ("numbers", "network", "error"),
    "multilabel": ("several_labels", "network", "accuracy"),
    "next-token": ("sequences", "Language", "perplexity"),
    "classification": ("classes", "network", "accuracy"),
}


def tree(objective: str, **local: Any) -> dict[str, Any]:
    """Return an experiment on 80 records a participant."""
    data, model, _ = DATA[objective]
    training = {"batch_size": 20, "epochs": 20, "optimizer": "adam", "learning_rate": 0.01}
    return {
        "seed": 5,
        "data": {"name": f"objective_data:{data}", "test_records": 120},
        "partition": {"participants": 2, "records": 80},
        "model": f"objective_data:{model}",
        "federation": {"rounds": 3, "local": training | local, "evaluation": {"every": 1}},
        "snapshots": {"rounds": [3]},
        "audit": {
            "known_members": 20,
            "known_nonmembers": 20,
            "tested_members": 60,
            "tested_nonmembers": 120,
        },
        "adversaries": ["curious-server"],
        "attacks": ["loss"],
        "metrics": ["accuracy", "auc", "tpr@0.01"],
    }


@pytest.mark.parametrize("objective", DATA)
def test_a_leak_is_found_and_utility_is_the_objectives(objective: str, tmp_path: Path) -> None:
    run = fedsim.run(experiment_of_tree(tree(objective), "the test"), tmp_path / "r")
    name = DATA[objective][2]
    (row,) = [row for row in run.results.results if row.victim == "mean"]
    assert row.figures["auc"].value > 0.8
    utility = run.results.utility
    assert utility.keys() == {f"train_{name}", f"test_{name}"}
    train, test = utility[f"train_{name}"], utility[f"test_{name}"]
    assert train is not None
    assert test is not None
    assert train > test + 0.1 if name == "accuracy" else train < 0.9 * test
    page = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert f"test {name}" in page
    if name != "accuracy":
        assert "test accuracy" not in page


@pytest.mark.parametrize("objective", DATA)
def test_of_an_untrained_model_nothing_is_found(objective: str, tmp_path: Path) -> None:
    quiet = tree(objective, learning_rate=1e-60, epochs=1)
    run = fedsim.run(experiment_of_tree(quiet, "the test"), tmp_path / "r")
    (row,) = [row for row in run.results.results if row.victim == "mean"]
    found = row.figures["tpr@0.01"]
    assert found.low <= 0.01 <= found.high
    assert row.figures["auc"].low <= 0.5 <= row.figures["auc"].high


def test_what_was_not_measured_is_told_so(tmp_path: Path) -> None:
    """Flower's way to switch the participants' evaluation off."""
    for objective in ("classification", "regression"):
        experiment = tree(objective, epochs=1)
        experiment["federation"]["strategy"] = {"name": "FedAvg", "fraction_evaluate": 0.0}
        run = fedsim.run(experiment_of_tree(experiment, "the test"), tmp_path / objective)
        name = DATA[objective][2]
        assert run.results.utility[f"train_{name}"] is None
        assert run.results.utility[f"test_{name}"] is not None
        assert f"train {name} not measured" in utility_line(run.results).plain


def test_an_ascent_raises_the_loss_of_the_objective(tmp_path: Path) -> None:
    experiment = tree("regression", epochs=2)
    experiment["adversaries"] = [
        "curious-server",
        {"name": "gradient-ascent-server", "first": 2, "objective": "loss", "drop": None},
    ]
    run = fedsim.run(experiment_of_tree(experiment, "the test"), tmp_path / "r")
    (cost,) = run.results.costs
    figure = run.results.utility_figure
    assert (figure.name, figure.unit, figure.higher_is) == ("error", "number", "worse")
    assert cost.utility is not None
    assert cost.honest_utility is not None
    assert cost.utility > cost.honest_utility
    assert cost.utility_cost(figure) == cost.utility - cost.honest_utility
    page = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert "Test error at the end of the attacked federation" in page
