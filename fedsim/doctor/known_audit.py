"""A whole audit whose figures are known.

Participants memorise random labels, so an attack on the loss finds nearly all members, and
one that guesses finds none.
"""

import tempfile
import time
from pathlib import Path

import numpy as np

from fedsim import seeds
from fedsim.api import run
from fedsim.data import Arrays
from fedsim.doctor.machine_check import MachineCheck, MachineStatus
from fedsim.errors import FedsimError
from fedsim.report.formatting import area
from fedsim.report.results import Results
from fedsim.stages.preparation.experiment_faults import parse_experiment

_GUESSING, _LOSS = "random", "loss"


def self_test() -> MachineCheck:
    """Run a small audit whose figures are known, and compare."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fedsim-doctor-") as folder:
        try:
            results = run(parse_experiment(_AUDIT, "the self-test"), Path(folder) / "run").results
        except FedsimError as error:
            return MachineCheck("self-test", MachineStatus.PROBLEM, str(error))
    wrong = not_as_known(results)
    if wrong:
        return MachineCheck("self-test", MachineStatus.PROBLEM, "; ".join(wrong))
    auc = {row.attack: area(row.auc.value) for row in results.summary()}
    message = f"an audit with AUC {auc[_LOSS]} by the loss and {auc[_GUESSING]} by guessing"
    return MachineCheck(
        "self-test", MachineStatus.GOOD, f"{message}, in {time.monotonic() - started:.1f} s"
    )


def not_as_known(results: Results) -> list[str]:
    """Return in words which figures of the self-test are not what they must be.

    Random labels: all training records are learned, no other record is predicted better than a
    class in four. The bounds leave room for another machine's rounding, and for guessing with 80
    records (a standard deviation of .065 in AUC).
    """
    auc = {row.attack: row.auc.value for row in results.summary()}
    known = (
        ("the train accuracy", results.utility["train_accuracy"] or 0.0, 0.95, 1.0),
        ("the test accuracy", results.utility["test_accuracy"] or 0.0, 0.05, 0.45),
        ("the AUC by the loss", auc[_LOSS], 0.85, 1.0),
        ("the AUC by guessing", auc[_GUESSING], 0.25, 0.75),
    )
    return [
        f"{what} is {value:.3f}, which must be {low} to {high}"
        for what, value, low, high in known
        if not low <= value <= high
    ]


def random_labels() -> Arrays:
    """Points of the self-test with random labels, which can only be memorised."""
    random = seeds.generator(0, "doctor")
    features = random.normal(size=(400, 40)).astype(np.float32)
    return Arrays(features, random.integers(4, size=400), num_classes=4)


_AUDIT = {
    "data": {"name": f"{__name__}:{random_labels.__name__}", "test_records": 100},
    "partition": {"participants": 2, "records": 100},
    "model": {"name": "fully-connected", "widths": [64]},
    "federation": {
        "rounds": 15,
        "local": {"epochs": 3, "batch_size": 20, "optimizer": "adam", "learning_rate": 0.01},
    },
    "snapshots": {"rounds": [15]},
    "audit": {
        "known_members": 40,
        "known_nonmembers": 40,
        "tested_members": 40,
        "tested_nonmembers": 40,
    },
    "adversaries": ["curious-server"],
    "attacks": [_LOSS, _GUESSING],
}
