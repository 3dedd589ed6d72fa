"""Checks of a kind of canaries: records of the candidates, with valid labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from fedsim import plugins
from fedsim.canaries import CanaryKind, CandidateRecords, CraftedCanaries
from fedsim.canaries.drawing import crafted_canaries
from fedsim.conformance import toy
from fedsim.conformance.checklist import Check, Failed
from fedsim.data.splitting import from_arrays
from fedsim.models import build_model
from fedsim.objectives import Classification

COUNT = 12


@dataclass(frozen=True)
class CanaryTrial:
    """A kind of canaries by name and settings, on clouds of points."""

    name: str
    settings: Mapping[str, Any]

    @cached_property
    def kind(self) -> CanaryKind:
        """The kind itself."""
        return plugins.build_member("canaries", self.name, self.settings, CanaryKind)

    @cached_property
    def candidates(self) -> CandidateRecords:
        """The records of one participant."""
        dataset = from_arrays("clouds", toy.clouds(), test_records=60, seed=0)
        dataset = dataset.only(dataset.pool_records[:80])
        model = partial(
            build_model,
            "fully-connected",
            {"widths": [8]},
            input_shape=dataset.input_shape,
            num_classes=dataset.num_classes,
            seed=0,
        )
        return CandidateRecords(dataset, model, Classification())

    def crafted(self, count: int = COUNT, seed: int = 0) -> CraftedCanaries:
        """Return its canaries, validated as in a run."""
        random = np.random.default_rng(seed)
        return crafted_canaries(self.name, self.kind, self.candidates, count, random)


def canary_checks(name: str, settings: Mapping[str, Any]) -> Sequence[Check]:
    """Return the checks of a kind of canaries."""
    trial = CanaryTrial(name, settings)
    claims: Mapping[str, Callable[[CanaryTrial], str | None]] = {
        "crafts as many as there are candidates, and one": crafts_any_number,
        "gives the same canaries to the same seed": repeats,
        "leaves the candidates as they were": leaves_candidates_alone,
    }
    return [
        Check("crafts places and labels of the candidates", partial(crafts, trial), gate=True),
        *(Check(claim, partial(check, trial)) for claim, check in claims.items()),
        Check("what it makes of labels", partial(changes_labels, trial), decides=False),
    ]


def crafts(trial: CanaryTrial) -> str:
    """Each candidate once, and a label of the data's own type."""
    return f"{len(trial.crafted().places)} canaries of {len(trial.candidates)} records"


def crafts_any_number(trial: CanaryTrial) -> None:
    """An audit says how many it needs."""
    for count in (1, len(trial.candidates)):
        trial.crafted(count)


def repeats(trial: CanaryTrial) -> None:
    """All its draws come from the given generator."""
    first, second = trial.crafted(), trial.crafted()
    same = np.array_equal(first.places, second.places)
    if not same or not all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("labels", "features")
        if getattr(first, name) is not None
    ):
        raise Failed("crafted again it gives others; every draw must come from `random`")


def leaves_candidates_alone(trial: CanaryTrial) -> None:
    """Kinds are crafted one after the other from what is left."""
    before = np.array(trial.candidates.dataset.labels), np.array(trial.candidates.dataset.features)
    trial.crafted()
    after = trial.candidates.dataset.labels, trial.candidates.dataset.features
    if not all(np.array_equal(*pair) for pair in zip(before, after, strict=True)):
        raise Failed("craft() changes the candidates in place")


def changes_labels(trial: CanaryTrial) -> str:
    """Canaries with their own labels are ordinary records."""
    crafted = trial.crafted()
    own = np.asarray(trial.candidates.dataset.labels)[crafted.places]
    return f"{int((own != crafted.labels).sum())} of {COUNT} have other labels"
