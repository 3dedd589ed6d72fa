"""Lengths and angles of updates are those of trainable parameters, whatever buffers a model has."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from flwr.app import Array, ArrayRecord
from torch import nn

from adversaries.positions.ascent_record import ascent_remarks, note_ascent
from adversaries.positions.backtracking import BISECTIONS, backtrack
from adversaries.positions.gradient_ascent_participant import GradientAscentParticipant
from adversaries.positions.gradient_ascent_server import GradientAscentServer
from adversaries.positions.isolating_server import IsolatingServer
from fedsim.adversary.resources import AttackerResources
from fedsim.adversary.update_distance import compare_updates, noted
from fedsim.models.trainable import likely_trainable, trainable_names
from fedsim.observation.snapshots import SnapshotStore

pytestmark = pytest.mark.usefixtures("flower")
TARGETS = np.arange(20)


class Normalised(nn.Module):
    """BatchNorm, a bool mask, an integer counter and a frozen parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(toys.FEATURES, 8), nn.BatchNorm1d(8)
        self.last = nn.Linear(8, toys.CLASSES)
        self.unused = nn.Linear(2, 2)
        self.frozen = nn.Parameter(torch.ones(8), requires_grad=False)
        self.register_buffer("mask", torch.ones(8, dtype=torch.bool))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Count the calls by large steps: a counter that would drown any update."""
        self.calls += 1000 * int(self.training)
        hidden = torch.relu(self.norm(self.first(inputs))) * self.frozen
        return self.last(hidden * self.mask)


def new_normalised() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return Normalised()


TRAINABLE = {
    *("first.weight", "first.bias", "norm.weight", "norm.bias", "last.weight", "last.bias"),
    *("unused.weight", "unused.bias"),
}


def attacker_resources() -> AttackerResources:
    return AttackerResources(new_normalised, toys.dataset(), TARGETS, seed=5)


def run_of(adversary: Any, folder: Path, rounds: int = 5) -> dict[tuple[int, str], dict[str, Any]]:
    """Run an adversary on the model, and return its snapshots by round and owner."""
    federation = toys.Federation([adversary.keep_in(folder)], model=new_normalised, rounds=rounds)
    federation.run()
    if not hasattr(adversary, "victims"):
        adversary.recall(federation.grid.states()[adversary.participant + 2])
    return {(s.round, s.key.name): dict(s.load()) for s in SnapshotStore(folder).index()}


def flat(one: dict[str, Any], other: dict[str, Any]) -> torch.Tensor:
    """Return the difference of two snapshots' trainable parameters as one vector."""
    parts = [(one[n].double() - other[n].double()).flatten() for n in sorted(TRAINABLE)]
    return torch.cat(parts)


def test_the_model_says_what_is_trainable() -> None:
    assert trainable_names(new_normalised()) == TRAINABLE
    adversary = GradientAscentServer().give_resources(attacker_resources())
    sent = ArrayRecord(new_normalised().state_dict())
    assert adversary.trainable(sent) == TRAINABLE
    fewer = ArrayRecord({"first.bias": sent["first.bias"], "mask": sent["mask"]})
    assert adversary.trainable(sent, fewer) == {"first.bias"}


def test_without_a_model_names_and_types_say_it() -> None:
    upload = ArrayRecord(new_normalised().state_dict())
    # A mean makes floating-point numbers of all.
    mean = ArrayRecord({n: Array(a.numpy().astype(np.float64)) for n, a in upload.items()})
    assert likely_trainable(mean, upload) == TRAINABLE | {"frozen"}
    assert "norm.num_batches_tracked" not in likely_trainable(mean)
    assert IsolatingServer().trainable(mean, upload) == TRAINABLE | {"frozen"}


def test_buffers_are_compared_apart() -> None:
    honest = new_normalised().state_dict()
    zero = {name: torch.zeros_like(value) for name, value in honest.items()}
    malicious = {name: value.clone() for name, value in honest.items()}
    for name in TRAINABLE:
        malicious[name] *= 2
    malicious["calls"] += 3
    malicious["norm.running_mean"][:2] = 2.0
    ratio, cosine, buffers = compare_updates(
        *map(ArrayRecord, (zero, honest, malicious)), TRAINABLE
    )
    assert (ratio, cosine) == (pytest.approx(2.0), pytest.approx(1.0))
    assert buffers == pytest.approx(math.sqrt(9 + 2 * 4))


def test_figures_of_a_crafting_server_are_of_its_parameters(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"first": 2, "targets": None, "steps": 2, "drop": None}
    adversary = GradientAscentServer(rate=0.5, **settings).give_resources(attacker_resources())
    kept = run_of(adversary, tmp_path)
    entries = {entry.round: entry for entry in noted(adversary.memory)}
    assert set(entries) == {3, 4, 5}
    for number, entry in entries.items():
        base = kept[number - 1, "participant-0"]
        meant, sent = kept[number, "meant-0"], kept[number, "sent-0"]
        true, false = flat(meant, base), flat(sent, base)
        assert entry.norm_ratio == pytest.approx(float(false.norm() / true.norm()), rel=1e-6)
        cosine = float(true @ false / (true.norm() * false.norm()))
        assert entry.cosine == pytest.approx(cosine, abs=1e-6)
        assert entry.buffers == 0.0  # an ascent leaves buffers as they are
    # The ascent is as long as it says, in lengths of the victim's honest update of round 1.
    update = flat(kept[1, "participant-0"], kept[1, "sent-0"]).norm()
    ascent = flat(kept[2, "sent-0"], kept[2, "meant-0"]).norm()
    assert 0.25 * update <= ascent <= 0.5001 * update


def test_an_ascending_participant_leaves_buffers_alone(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"first": 2, "targets": None, "steps": 1, "drop": None}
    adversary = GradientAscentParticipant(1, rate=0.5, participants=3, **settings)
    run_of(adversary.give_resources(attacker_resources()), tmp_path)
    entries = noted(adversary.memory)
    assert len(entries) == 4
    assert all(entry.buffers == 0.0 for entry in entries)
    assert all(entry.norm_ratio > 1.1 for entry in entries)


def test_an_isolated_victims_buffers_are_stated_apart(tmp_path: Path) -> None:
    adversary = IsolatingServer(first=2)
    run_of(adversary, tmp_path, rounds=4)
    entries = noted(adversary.memory)
    assert [entry.norm_ratio for entry in entries] == [0.0, 0.0]
    assert all(entry.buffers > 100 for entry in entries)


@pytest.mark.parametrize("halvings", [0, 1, 3, BISECTIONS, 7, 12, 25])
def test_an_ascent_is_cut_as_finely_as_it_has_to_be(halvings: int) -> None:
    most = 2.0**-halvings * 0.9
    parameter, start = nn.Parameter(torch.tensor([1.0])), torch.tensor([0.0])
    left = backtrack([parameter], [start], lambda: parameter.item() <= most)
    assert parameter.item() == left
    assert most / 2 < left <= most
    if halvings > BISECTIONS or halvings == 0:
        assert left > 0.93 * most


def test_where_nothing_is_allowed_nothing_is_kept() -> None:
    parameter, start = nn.Parameter(torch.tensor([torch.inf])), torch.tensor([3.0])
    assert backtrack([parameter], [start], lambda: False) == 0.0
    assert parameter.item() == 3.0


def test_rounds_without_an_ascent_are_told(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"first": 2, "targets": None, "steps": 1}
    adversary = GradientAscentServer(rate=1e60, **settings).give_resources(attacker_resources())
    federation = toys.Federation([adversary.keep_in(tmp_path)], model=new_normalised, rounds=4)
    federation.run()
    [told] = adversary.remarks()
    assert told == (
        "no gradient ascent in 3 of 3 active rounds (2, 3, 4): the shortest ascent lowered the "
        "targets' confidence by more than drop = 0.15; there it did what a passive attacker does"
    )
    assert noted(adversary.memory) == ()  # nothing was malicious, so nothing is compared


def test_a_remark_has_its_reason() -> None:
    memory = GradientAscentServer().memory
    assert ascent_remarks(memory, 0.15) == ()
    for number, left in ((2, None), (3, 0.5), (4, 0.0)):
        note_ascent(memory, number, left)
    cut, late = ascent_remarks(memory, 0.15)
    assert cut.startswith("no gradient ascent in 1 of 3 active rounds (4): the shortest ascent")
    assert late.startswith("no gradient ascent in 1 of 3 active rounds (2): there was no honest")
