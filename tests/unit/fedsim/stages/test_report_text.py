"""How to run it again: what is needed, and no folder of the machine that made it."""

from pathlib import Path

import pytest
import toys

from fedsim.api import attack
from fedsim.config.sections import ExternalModelSettings
from fedsim.files import write_json
from fedsim.rundir import RunDirectory
from fedsim.rundir.provenance import provenance
from fedsim.stages.page.rerun_commands import rerun_commands


def test_a_run_is_made_again_from_its_own_file() -> None:
    toy = toys.experiment()
    assert rerun_commands(Path("first"), toy, {}) == [
        "# in the folder where it was run",
        "fedsim run first/experiment.yaml --out first-again",
        "fedsim attack first",
        "fedsim report first",
    ]
    _, first, again, _ = rerun_commands(Path("my run"), toy, {"data_dir": "/home/somebody/data"})
    assert first == "fedsim run 'my run/experiment.yaml' --out 'my run-again' --data-dir DIR"
    assert again == "fedsim attack 'my run' --data-dir DIR"


@pytest.mark.parametrize("given", ["/home/somebody/runs/a", "../somewhere/a"])
def test_a_run_is_made_again_where_it_lies(given: str) -> None:
    toy = toys.experiment()
    where, first, *_ = rerun_commands(Path("runs/a"), toy, {})
    assert where == "# in the folder where it was run"
    assert first == "fedsim run runs/a/experiment.yaml --out runs/a-again"
    assert rerun_commands(Path(given), toy, {})[:2] == [
        "# in the folder that holds the run",
        "fedsim run a/experiment.yaml --out a-again",
    ]


def test_a_given_model_is_attacked_again_by_the_command_that_was_given() -> None:
    given = toys.experiment().model_copy(
        update={"given": ExternalModelSettings(weights=("0",), membership="1")}
    )
    command = ["fedsim", "attack", "--weights", "/home/somebody/net.safetensors", "--out=/srv/mine"]
    _, first, *_ = rerun_commands(Path("mine"), given, {"command": command})
    assert first == "fedsim attack --weights net.safetensors --out=mine"
    assert rerun_commands(Path("mine"), given, {})[1] == "fedsim attack --model ..."


def test_a_page_holds_no_folder(tmp_path: Path) -> None:
    run = toys.simulated(tmp_path / "somewhere" / "run")
    write_json(run.provenance, provenance(tmp_path / "data"))
    attack(run.path)
    page = RunDirectory(run.path).report.read_text()
    assert "fedsim run run/experiment.yaml --out run-again --data-dir DIR" in page
    assert str(tmp_path) not in page
    assert "somewhere" not in page
