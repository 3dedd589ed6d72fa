"""The tiny federations of plugin trials: clouds of points and a small network."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedsim.attacks import Attack, AuxiliaryRecords, RecordIds, View
from fedsim.config.experiment import Experiment
from fedsim.data import Arrays
from fedsim.progress import Watcher
from fedsim.stages.preparation.experiment_faults import parse_experiment

LABEL = "checked"
ONLOOKER = "fedsim.stages.shadow_federations:ShadowRecorder"
"""A passive server, which keeps the snapshots that it is asked to."""
WATCHING_SERVER = {"name": ONLOOKER, "label": "onlooker", "wanted": ["aggregate"]}
PARTICIPANTS = 3
DISHONEST_PARTICIPANT = PARTICIPANTS - 1
FEWEST_ROUNDS, MOST_ROUNDS = 6, 60
ROUNDS_OF_ACTION = 3
"""How many rounds go on after an active adversary has begun to act."""


def clouds(records: int = 300, features: int = 12, memorable: bool = False) -> Arrays:
    """Return points around the centre of their class, each class one of four.

    Parameters
    ----------
    records, features
        How many points, in how many dimensions.
    memorable
        Whether labels are random: then they can only be memorised, and membership shows clearly.
    """
    random = np.random.default_rng(0)
    labels = random.integers(4, size=records)
    centres = random.normal(size=(4, features))
    points = centres[labels] + random.normal(size=(records, features))
    if memorable:
        labels = random.permutation(labels)
    return Arrays(points.astype(np.float32), labels, num_classes=4)


class Unmoved(Attack):
    """Give every record the same score: a placeholder, because an experiment needs an attack."""

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> NDArray[np.float64]:
        """Return zeros."""
        return np.zeros(len(candidates))


def federation_with(
    attackers: Sequence[Mapping[str, Any] | str], rounds: int = FEWEST_ROUNDS
) -> Experiment:
    """Return the experiment in which adversaries are tried; every round is observed."""
    local = {"batch_size": 10, "learning_rate": 0.1}
    audit = dict.fromkeys(
        ("known_members", "known_nonmembers", "tested_members", "tested_nonmembers"), 15
    )
    tree = {
        "seed": 3,
        "data": {"name": f"{__name__}:clouds", "test_records": 60},
        "partition": {"participants": PARTICIPANTS, "records": 40},
        "model": {"name": "fully-connected", "widths": [16]},
        "federation": {"rounds": rounds, "local": local, "evaluation": {"every": 2}},
        "snapshots": {"rounds": {"every": 1}},
        "audit": {"victims": [0], **audit},
        "adversaries": list(attackers),
        "attacks": [f"{__name__}:Unmoved"],
    }
    return parse_experiment(tree, "the tiny federation")


def memorised(attack: Mapping[str, Any], onlooker: Mapping[str, Any]) -> Experiment:
    """Return the experiment in which an attack is tried: participants memorise labels."""
    local = {
        "epochs": 5,
        "batch_size": 20,
        "optimizer": "adam",
        "learning_rate": 0.01,
    }
    tree = {
        "seed": 5,
        "data": {
            "name": f"{__name__}:clouds",
            "records": 1200,
            "features": 24,
            "memorable": True,
            "test_records": 200,
        },
        "partition": {"participants": 2, "records": 200},
        "model": {"name": "fully-connected", "widths": [64]},
        "federation": {"rounds": 9, "local": local, "evaluation": {"every": 9}},
        "snapshots": {"rounds": [3, 6, 9]},
        "audit": {
            "victims": [0],
            "known_members": 80,
            "known_nonmembers": 80,
            "tested_members": 100,
            "tested_nonmembers": 100,
        },
        "adversaries": [dict(onlooker)],
        "attacks": [{**attack, "label": LABEL}],
    }
    return parse_experiment(tree, "the tiny federation")
