"""Local training as people do it: leaks are found at their size, and no engine changes a bit.

Ray's part is in ``tests/cluster``, that of Flower's own runtimes in ``test_flower_runtime.py``.
"""

from pathlib import Path
from typing import Any

import null_figures
import pytest
import toys
import trainers
from faults import files

import fedsim
from fedsim.report.result_schema import ResultRow

MEMBERS, NONMEMBERS = 70, 110


def audited(out: Path, case: str, **training: Any) -> list[ResultRow]:
    """Run the federation and its audit, and return what each attack found."""
    sizes = {"tested_members": MEMBERS, "tested_nonmembers": NONMEMBERS}
    sections = trainers.trained_as(case, **training)
    more = {"audit": sizes, "attacks": ["loss", "scalar-logistic"]}
    more["metrics"] = ["accuracy", "auc", "tpr@0.01"]
    return list(fedsim.run(toys.tree(**sections | more), out).results.summary())


@pytest.mark.parametrize("case", trainers.LOCAL)
def test_a_planted_leak_is_found(tmp_path: Path, case: str) -> None:
    # The own trainer makes one pass a round, and steps less often the longer it trains.
    longer: dict[str, Any] = {"epochs": 60}
    if case == "own-trainer":
        longer = {"rounds": 60, "learning_rate": 0.5}
    if case == "settings":  # noise that is cropped is another picture each time: nothing to learn
        longer["trainer"] = {**trainers.LOCAL[case], "augmentation": ["flip"]}
    found = {row.attack: row.auc.value for row in audited(tmp_path / "run", case, **longer)}
    assert found["loss"] > 0.8
    assert found["scalar-logistic"] > 0.8


@pytest.mark.parametrize("case", trainers.LOCAL)
def test_where_nothing_was_learned_nothing_is_found(tmp_path: Path, case: str) -> None:
    for row in audited(tmp_path / "run", case, learning_rate=1e-60):
        null_figures.require_nothing(row, MEMBERS, NONMEMBERS)


@pytest.mark.parametrize("case", trainers.LOCAL)
def test_several_processes_change_no_bit(tmp_path: Path, case: str) -> None:
    sections = trainers.trained_as(case)
    one = toys.simulated(tmp_path / "one", **sections)
    several = toys.simulated(tmp_path / "several", engine={"workers": 2}, **sections)
    assert files(several) == files(one)
