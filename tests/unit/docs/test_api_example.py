"""The notebook-style example of the documentation runs, and shows what it says."""

import re
import runpy
from pathlib import Path

import pytest

import fedsim

EXAMPLE = Path(__file__).parents[3] / "docs" / "api_example.py"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Return the names of the example after it was run in an empty folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("example"))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return runpy.run_path(str(EXAMPLE))


def test_the_loss_tells_members_and_guessing_does_not(ran: dict[str, object]) -> None:
    audit = ran["audit"]
    assert isinstance(audit, fedsim.FinishedRun)
    auc = {(row.adversary, row.attack): row.auc.value for row in audit.results.summary()}
    for adversary in ("curious-server", "curious-participant"):
        assert auc[adversary, "loss"] > 0.75
        assert auc[adversary, "gradient-norm"] > 0.75
        assert 0.35 < auc[adversary, "random"] < 0.65
    utility = audit.results.utility
    assert (utility["train_accuracy"] or 0) - (utility["test_accuracy"] or 1) > 0.3


def test_the_runs_are_paired(ran: dict[str, object]) -> None:
    compared = ran["compared"]
    assert isinstance(compared, fedsim.ComparedRuns)
    frame = compared.to_frame()
    shorter = frame.query("run == 'shorter' and adversary == 'curious-server' and metric == 'auc'")
    assert set(shorter["attack"]) == {"loss", "gradient-norm", "random"}
    assert (shorter.set_index("attack").loc["loss", "difference"]) < 0
    assert set(shorter["pairing"]) == {"paired"}


def test_every_cell_is_code_or_text() -> None:
    kinds = re.findall(r"^# %%(.*)$", EXAMPLE.read_text(), flags=re.MULTILINE)
    assert set(kinds) == {"", " [markdown]"}
