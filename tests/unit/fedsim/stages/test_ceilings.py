"""Guarantees against attacks, on a federation whose records cannot but leak."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from flwr.app import Context, Message
from torch import nn
from typer.testing import CliRunner

from fedsim import api
from fedsim.cli.app import app
from fedsim.data import Arrays
from fedsim.defences.local_dp import LocalDP
from fedsim.privacy import Release, total_epsilon
from fedsim.privacy.guarantee import Ceiling
from fedsim.report.chart_data import CeilingTrace, RocTrace
from fedsim.report.results import Results
from fedsim.report.roc_charts import roc_chart

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:FutureWarning")
RECORDS = 600
WEAK, STRONG = 0.0247, 4.03
"""Noise multipliers of one release with an epsilon of 1,000, and of 1."""


def planted() -> Arrays:
    """Records with a feature of their own each: a weight moves where its record is trained on."""
    labels = np.random.default_rng(1).integers(2, size=RECORDS)
    return Arrays(np.eye(RECORDS, dtype=np.float32), labels, num_classes=2)


def linear(*, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    layer = nn.Linear(*input_shape, num_classes, bias=False)
    nn.init.zeros_(layer.weight)
    return layer


class WithoutNoise(LocalDP):
    """It says what local DP says, and adds no noise."""

    def add_noise(self, message: Message, context: Context, call_next: Any) -> Message:
        return call_next(message, context)  # type: ignore[no-any-return]


def tree(**sections: Any) -> dict[str, Any]:
    local = {"batch_size": 100, "learning_rate": 50.0}
    return toys.tree(
        **{
            "data": {"name": "test_ceilings:planted", "test_records": 60},
            "partition": {"participants": 3, "records": 100},
            "model": "test_ceilings:linear",
            "federation": {"rounds": 1, "local": local, "evaluation": {"every": 1}},
            "snapshots": {"rounds": [1]},
            "adversaries": ["curious-server"],
            "attacks": ["loss"],
            "audit": {
                "victims": [0],
                "known_members": 10,
                "known_nonmembers": 10,
                "tested_members": 90,
                "tested_nonmembers": 150,
            },
        }
        | sections
    )


def attacked(path: Path, **sections: Any) -> Results:
    experiment = tree(**sections)
    experiment["model"] = {"name": "test_ceilings:linear"}
    return api.run(experiment, path).results


def local_dp(noise: float, name: str = "local-dp") -> dict[str, Any]:
    return {"name": name, "label": "dp", "clipping_norm": 0.5, "noise_multiplier": noise}


def test_the_noise_multipliers_are_of_these_epsilons() -> None:
    assert total_epsilon((Release(STRONG),), 1e-5) == pytest.approx(1.0, abs=0.05)
    assert total_epsilon((Release(WEAK),), 1e-5) == pytest.approx(1000, rel=0.02)


def test_without_a_defence_everything_leaks_and_with_one_it_does_not(tmp_path: Path) -> None:
    bare = attacked(tmp_path / "bare")
    assert bare.results[0].auc.value > 0.99
    assert bare.results[0].ceiling is None
    assert bare.guarantees == ()
    strong = attacked(tmp_path / "strong", defences=[local_dp(STRONG)])
    row = strong.results[1]
    assert row.ceiling is not None
    assert row.auc.low < 0.5 < row.auc.high
    assert row.auc.high < Ceiling(row.ceiling.epsilon, row.ceiling.delta).auc
    assert strong.self_check == ()
    [guaranteed] = strong.guarantees
    assert guaranteed.epsilon == pytest.approx(1.0, abs=0.05)
    # An attack on a record: its owner takes part in either case, so the epsilon is larger.
    assert row.ceiling.epsilon == pytest.approx(total_epsilon((Release(STRONG / 2),), 1e-5))
    weak = attacked(tmp_path / "weak", defences=[local_dp(WEAK)])
    assert weak.results[1].auc.value > 0.99
    assert weak.self_check == ()


@pytest.mark.parametrize(("noise", "leaks"), [(STRONG, False), (WEAK, True)])
@pytest.mark.parametrize("name", ["dp-sgd", "server-fixed-clipping"])
def test_other_guarantees_bind_as_well(
    name: str, noise: float, leaks: bool, tmp_path: Path
) -> None:
    sections: dict[str, Any] = {}
    if name == "dp-sgd":
        trainer = {"name": "dp-sgd", "noise_multiplier": noise, "clip_norm": 0.1}
        local = {"batch_size": 100, "learning_rate": 50.0, "trainer": trainer}
        sections["federation"] = {"rounds": 1, "local": local, "evaluation": {"every": 1}}
    else:
        sections["defences"] = [local_dp(noise, name)]
        sections["adversaries"] = [{"name": "curious-participant", "participant": 2}]
    results = attacked(tmp_path, **sections)
    row = results.results[1]
    assert row.ceiling is not None
    assert (row.auc.value > 0.99) is leaks
    assert results.self_check == ()
    if not leaks:
        assert row.auc.high < Ceiling(row.ceiling.epsilon, row.ceiling.delta).auc
        assert row.auc.value < 0.7


def test_a_guarantee_binds_only_those_that_it_is_against(tmp_path: Path) -> None:
    """Central noise does not protect from the server, which sees what arrives."""
    results = attacked(
        tmp_path,
        defences=[local_dp(STRONG, "fixed-clipping")],
        adversaries=["curious-server", "released-model"],
    )
    rows = {row.adversary: row for row in results.results if row.victim != "mean"}
    assert rows["curious-server"].auc.value > 0.99
    assert rows["curious-server"].ceiling is None
    assert rows["released-model"].ceiling is not None
    assert results.self_check == ()


def test_ceilings_are_drawn_beside_the_rocs() -> None:
    rates = np.linspace(0.001, 1, 50)
    trace = RocTrace("curious-server", "loss", rates, np.sqrt(rates), 0.66)
    bound = Ceiling(1.0, 1e-5)
    top = CeilingTrace("curious-server", rates, [bound.tpr(x) for x in rates], 1.0)
    for logarithmic in (False, True):
        drawn = roc_chart([trace], [top], logarithmic=logarithmic).data
        assert [one.name for one in drawn] == [
            "guessing",
            "loss · curious-server",
            "ceiling · curious-server",
        ]
        assert max(drawn[2].y) == pytest.approx(1.0)
        assert drawn[2].y[0] == pytest.approx(np.e * 0.001 + 1e-5)


def test_a_defence_without_its_noise_fails_the_self_check_loudly(tmp_path: Path) -> None:
    broken = local_dp(STRONG, "test_ceilings:WithoutNoise")
    experiment = tree(defences=[broken])
    experiment["model"] = {"name": "test_ceilings:linear"}
    config = tmp_path / "broken.yaml"
    config.write_text(json.dumps(experiment))
    out = tmp_path / "run"
    told = CliRunner().invoke(app, ["run", str(config), "--out", str(out), "--quiet"])
    assert told.exit_code == 1
    assert (
        "self-check failed: loss by curious-server refutes the guarantee of defence dp: the "
        in (told.stderr.replace("\n", " "))
    )
    results = api.open_run(out).results
    [sentence] = results.self_check
    assert sentence.endswith("either the defence or the attack is broken")
    page = (out / "report.html").read_text()
    assert "Self-check failed: loss by curious-server" in page
    assert "What is guaranteed" in page
    again = CliRunner().invoke(app, ["report", str(out), "--quiet"])
    assert again.exit_code == 1
    right = tree(defences=[local_dp(STRONG)])
    right["model"] = {"name": "test_ceilings:linear"}
    config.write_text(json.dumps(right))
    fine = CliRunner().invoke(app, ["run", str(config), "--out", str(tmp_path / "b"), "--quiet"])
    assert fine.exit_code == 0
