"""ProjRes: exact where its conditions hold, and said where they do not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord
from server_views import noisy_blobs
from torch import nn
from torch.nn import functional

from adversaries.inference.projres import ProjRes, residuals, row_space
from fedsim.attacks import AuxiliaryRecords, View
from fedsim.data import about_participant
from fedsim.errors import FedsimError
from fedsim.evaluation.metrics import auc, tpr_at_fpr
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshots import SnapshotStore
from fedsim.progress import SILENCE

NOBODY = AuxiliaryRecords(np.arange(0), np.zeros(0, dtype=bool))
OUTPUTS = 40


class Talking:
    """A watcher that keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def task(self, *arguments: Any) -> Any:
        return SILENCE.task(*arguments)


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 128), nn.ReLU(), nn.Linear(128, OUTPUTS))


def view_of(folder: Path, members: int, steps: int = 1, order: Any = None) -> View:
    """Return what a server saw of a participant that does full-batch steps on the first records."""
    store, data, state = SnapshotStore(folder / "seen"), noisy_blobs(), model()
    for number in (1, 2):
        store.keep(number, SnapshotKind.SENT.of(0), ArrayRecord(state.state_dict()))
        inputs, labels = data.batch(np.arange(members))
        for _ in range(steps):
            state.zero_grad()
            functional.cross_entropy(state(inputs), labels).backward()  # type: ignore[no-untyped-call]
            with torch.no_grad():
                for parameter in state.parameters():
                    parameter -= 0.02 * parameter.grad
        store.keep(number, SnapshotKind.UPLOAD.of(0), ArrayRecord(state.state_dict()))
    data = data if order is None else data.only(order)
    return View(
        adversary="curious-server",
        query=about_participant(0),
        seen=store.series(SnapshotKind.SENT.of(0), SnapshotKind.UPLOAD.of(0)),
        new_model=model,
        dataset=data,
        records=np.arange(len(data.labels)),
        features=folder / "features",
    )


def scores(view: View, attack: ProjRes | None = None, watcher: Any = SILENCE) -> Any:
    return (attack or ProjRes()).score(view, NOBODY, view.records, 0, watcher)


def test_one_step_on_few_records_gives_them_away(tmp_path: Path) -> None:
    view, watcher = view_of(tmp_path, members=12), Talking()
    found = scores(view, watcher=watcher)
    assert tpr_at_fpr(found[:12], found[12:], 0.001)[0] == 1.0
    assert not watcher.said
    (finding,) = ProjRes().findings(view, NOBODY, SILENCE)
    assert finding.figures["updates whose rank is below the largest possible"] == 2
    assert finding.rows[0][1:] == (12, OUTPUTS - 1)


def test_records_of_nobody_are_not_told_apart(tmp_path: Path) -> None:
    found = scores(view_of(tmp_path, members=12))
    some, rest = found[100:600], found[600:1100]
    assert tpr_at_fpr(some, rest, 0.01)[0] <= 0.045
    assert abs(auc(some, rest) - 0.5) < 3.3 * np.sqrt(1001 / (12 * 500 * 500))


def test_with_more_records_than_outputs_the_condition_fails_and_is_told(tmp_path: Path) -> None:
    view, watcher = view_of(tmp_path, members=300), Talking()
    found = scores(view, watcher=watcher)
    assert watcher.said[0].startswith(f"projres: the last layer's updates have rank {OUTPUTS - 1}")
    assert tpr_at_fpr(found[:300], found[300:], 0.001)[0] < 0.1
    (finding,) = ProjRes().findings(view, NOBODY, SILENCE)
    assert finding.figures["updates whose rank is below the largest possible"] == 0


def test_scores_follow_the_record(tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(1200)
    plain = scores(view_of(tmp_path / "plain", members=12))
    turned = scores(view_of(tmp_path / "turned", members=12, order=order))
    np.testing.assert_allclose(turned, plain[order], atol=1e-5)


def test_a_rank_that_is_known_cuts_the_space(tmp_path: Path) -> None:
    view = view_of(tmp_path, members=12)
    found = scores(view, ProjRes(rank=3))
    assert found[:12].mean() < scores(view)[:12].mean()
    with pytest.raises(FedsimError, match="rank is 0; valid: 1 or more"):
        ProjRes(0)


def test_a_residual_is_that_of_least_squares() -> None:
    random = np.random.default_rng(0)
    before, rows = torch.zeros(9, 20), random.normal(size=(4, 20))
    after = torch.from_numpy(-random.normal(size=(9, 4)) @ rows).float()
    space = row_space(torch.ones(9, 20), after + 1 + before)
    assert (space.rank, space.most, space.holds) == (4, 8, True)
    hidden = random.normal(size=(6, 20))
    weights, *_ = np.linalg.lstsq(rows.T, hidden.T, rcond=None)
    left = np.abs(hidden - (rows.T @ weights).T).sum(1) / np.abs(hidden).sum(1)
    np.testing.assert_allclose(residuals(hidden, space.basis), left, rtol=1e-3)


def test_a_model_without_a_linear_last_layer_is_refused(tmp_path: Path) -> None:
    view = view_of(tmp_path, members=12)
    activated = nn.Sequential(*model(), nn.Tanh())  # type: ignore[misc]
    with pytest.raises(FedsimError, match="this model has none"):
        ProjRes().dry_run(
            View(**{**vars(view), "new_model": lambda: activated}), NOBODY, view.records
        )
