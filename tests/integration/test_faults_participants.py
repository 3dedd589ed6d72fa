"""A participant that goes wrong is named with its round; what was done before is kept."""

from pathlib import Path
from typing import Any

import pytest
import toys
from faults import Listening, commands, files, misbehaving, reached, written

from fedsim.errors import MessageError
from fedsim.rundir import RunDirectory

WEIGHT = "linear1.weight"
TOLD = {
    "raises": "participant 1 in round 3 failed: ValueError: the disk with my records is gone",
    "leaves": "participant 1 in round 3 failed: SystemExit: 0",
    "forgets to answer": (
        "participant 1 in round 3 failed: TypeError: it answered with NoneType instead of Message"
    ),
    "is late": (
        "participant 1 in round 3 answered a query that is not open: it was asked to train in "
        "round 3, and its reply is to train in round 2"
    ),
    "sends NaN": (
        f"participant 1 in round 3 sent {WEIGHT!r} with values that are not finite; lower the "
        "learning rate, or the rate of an active adversary"
    ),
    "sends a wrong shape": (
        f"participant 1 in round 3 sent {WEIGHT!r} with shape (2, 3) instead of (16, 12)"
    ),
    "sends wrong keys": (
        "participant 1 in round 3 sent parameters that do not fit the model: missing "
        "classifier.bias, classifier.weight, linear1.bias, linear1.weight; not known "
        "my.classifier.bias, my.classifier.weight, my.linear1.bias, my.linear1.weight"
    ),
    "sends an absurd size": (
        f"participant 1 in round 3 sent {WEIGHT!r} with shape (1000000000, 1000000000) instead of "
        "(16, 12)"
    ),
    "sends a NaN loss": (
        "participant 1 in round 3 sent the metric 'loss' as nan, which is not finite; lower the "
        "learning rate, or the rate of an active adversary"
    ),
    "sends a NaN weight": (
        "participant 1 in round 3 sent the metric 'num-examples' as nan, which is not finite; "
        "lower the learning rate, or the rate of an active adversary"
    ),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the files of the run in which nobody goes wrong."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "once").touch()
    return files(toys.simulated(folder / "r", **wrong("raises", folder)))


def wrong(how: str, folder: Path) -> dict[str, Any]:
    once = str(folder / "once")
    return {"adversaries": ["isolating-server", misbehaving(how, wrong_in=3, once=once)]}


@pytest.mark.parametrize("how", TOLD)
def test_it_is_named_with_its_round_and_nothing_is_lost(
    tmp_path: Path, whole: dict[str, str], how: str
) -> None:
    with pytest.raises(MessageError) as error:
        toys.simulated(tmp_path / "r", **wrong(how, tmp_path))
    assert str(error.value) == TOLD[how]
    assert reached(RunDirectory(tmp_path / "r")) == 2
    watcher = Listening()
    assert files(toys.simulated(tmp_path / "r", watcher=watcher, **wrong(how, tmp_path))) == whole
    assert watcher.steps == 2 + 3  # rounds 3 and 4 of the honest federation, 2 to 4 of the other


@pytest.mark.parametrize("workers", [1, 2])
def test_who_hangs_is_named_and_its_process_ended(
    tmp_path: Path, whole: dict[str, str], workers: int
) -> None:
    patient = {"engine": {"workers": workers, "timeout": 3.0}}
    with pytest.raises(MessageError) as error:
        toys.simulated(tmp_path / "r", **wrong("hangs", tmp_path), **patient)
    assert str(error.value) == (
        "participant 1 did not answer in round 3 within 3.0 s; give it longer with engine.timeout, "
        "or see what it waits for"
    )
    assert reached(RunDirectory(tmp_path / "r")) == 2
    assert files(toys.simulated(tmp_path / "r", **wrong("hangs", tmp_path), **patient)) == whole


def test_at_the_command_line_it_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    experiment = written(tmp_path, **wrong("raises", tmp_path))
    with commands(tmp_path) as fedsim:
        said = fedsim("run", experiment, "--out", "r", "--quiet").ended()
        assert said == (2, f"fedsim: {TOLD['raises']}\n")
        code, told = fedsim("run", experiment, "--out", "r", "--quiet").ended()
        assert code == 0, told
        assert fedsim("run", experiment, "--out", "whole", "--quiet").ended()[0] == 0
    assert files(RunDirectory(tmp_path / "r")) == files(RunDirectory(tmp_path / "whole"))
