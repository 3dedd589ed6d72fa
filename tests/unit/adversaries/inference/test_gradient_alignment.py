"""Gradient alignment and FedMIA: exact, the right way round, and silent where nothing leaks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from flwr.app import ArrayRecord
from torch import nn
from torch.nn import functional

from adversaries.inference.alignment import Alignment, alignments
from adversaries.inference.alignment_cache import observed_alignments
from adversaries.inference.fedmia import FedMIA, stands_out
from adversaries.inference.gradient_alignment import GradientAlignment
from fedsim.attacks import AuxiliaryRecords, View
from fedsim.data import about_participant, load_dataset
from fedsim.errors import FedsimError, SnapshotError
from fedsim.evaluation.metrics.auc import auc
from fedsim.models import build_model
from fedsim.objectives import Classification
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshots import SnapshotStore
from fedsim.progress import SILENCE

RECORDS = np.arange(0, 120)
KNOWN = AuxiliaryRecords(RECORDS[:0], np.zeros(0, dtype=bool))
HELD = [np.arange(0, 30), np.arange(30, 60), np.arange(60, 90)]


def alignment(model: Any, before: Any, after: Any, *rest: Any) -> Alignment:
    """Return the alignment with one update, which others beside it do not change."""
    alone, _ = alignments(model, before, [after, moved(before, 0.3)], *rest)
    return alone


class Normed(nn.Module):
    """A model with a layer that no rule is needed for, and with buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(12, 10), nn.BatchNorm1d(10), nn.PReLU())
        self.head = nn.Linear(10, 4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.body(inputs))
        return found


class Recurrent(nn.Module):
    """A model that reads the features one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(1, 7, batch_first=True), nn.Linear(7, 4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.lstm(inputs[:, :, None])[0][:, -1])
        return found


def moved(state: dict[str, torch.Tensor], by: float) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        k: v + by * torch.randn(v.shape, generator=generator) if v.is_floating_point() else v + 7
        for k, v in state.items()
    }


@pytest.mark.parametrize("kind", [Normed, Recurrent])
def test_it_is_the_cosine_of_gradient_and_update_of_parameters_alone(
    kind: type[nn.Module],
) -> None:
    torch.manual_seed(0)
    model, data = kind(), toys.dataset()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    after = moved(before, 0.1)
    found = alignment(model, before, after, data.batch, RECORDS[:9], Classification())
    model.eval()
    names = [name for name, _ in model.named_parameters()]
    update = torch.cat([(before[n] - after[n]).flatten() for n in names]).double()
    for place, record in enumerate(RECORDS[:9]):
        inputs, labels = data.batch(np.array([record]))
        loss = functional.cross_entropy(model(inputs), labels)
        slopes = torch.autograd.grad(loss, [model.get_parameter(n) for n in names])
        gradient = torch.cat([g.flatten() for g in slopes]).double()
        inner = float(gradient @ update)
        assert found.inner[place] == pytest.approx(inner, rel=1e-4, abs=1e-7)
        cosine = inner / float(gradient.norm() * update.norm())
        assert found.cosine[place] == pytest.approx(cosine, rel=1e-4, abs=1e-6)
        difference = 2 * inner - float(gradient.square().sum())
        assert found.difference[place] == pytest.approx(difference, rel=1e-4, abs=1e-6)


def test_a_record_that_the_model_is_certain_of_still_has_a_cosine() -> None:
    model, data = toys.new_model(), toys.dataset()
    certain = {k: v * 60 for k, v in model.state_dict().items()}
    found = alignment(
        model, certain, moved(certain, 0.1), data.batch, RECORDS, Classification()
    ).cosine
    assert np.isfinite(found).all()
    assert len(np.unique(found)) == len(found)


def test_an_update_of_nothing_says_nothing() -> None:
    state = toys.new_model().state_dict()
    found = alignment(
        toys.new_model(), state, state, toys.dataset().batch, RECORDS, Classification()
    )
    assert found.cosine.tolist() == [0.0] * len(RECORDS)


def wide() -> nn.Module:
    """Return a model with more parameters than there are numbers in the data."""
    return build_model(
        "fully-connected", {"widths": [256]}, input_shape=(12,), num_classes=4, seed=3
    )


def view_of(folder: Path, rounds: int = 3, steps: int = 12) -> View:
    """Return what a server saw of three participants that train on thirty records each."""
    store, model = SnapshotStore(folder / "seen"), wide()
    data = load_dataset("toys:blobs", {"noise": 6.0}, data_dir=None, seed=3, test_records=60)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    for number in range(1, rounds + 1):
        uploads = []
        store.keep(number, SnapshotKind.SENT.of(0), ArrayRecord(state))
        for participant, records in enumerate(HELD):
            model.load_state_dict(state)
            for _ in range(steps):
                inputs, labels = data.batch(records)
                model.zero_grad()
                functional.cross_entropy(model(inputs), labels).backward()  # type: ignore[no-untyped-call]
                with torch.no_grad():
                    for parameter in model.parameters():
                        parameter -= 0.1 * parameter.grad
            uploads.append({k: v.clone() for k, v in model.state_dict().items()})
            store.keep(number, SnapshotKind.UPLOAD.of(participant), ArrayRecord(uploads[-1]))
        state = {k: torch.stack([one[k] for one in uploads]).mean(0) for k in state}
        store.keep(number, SnapshotKind.AGGREGATE.of(), ArrayRecord(state))
    kept = [SnapshotKind.SENT.of(0), *(SnapshotKind.UPLOAD.of(p) for p in range(3))]
    return View(
        adversary="curious-server",
        query=about_participant(0),
        seen=store.series(*kept),
        new_model=wide,
        dataset=data,
        records=RECORDS,
        features=folder / "features",
    )


def auc_of(attack: Any, view: View) -> float:
    scores = attack.score(view, KNOWN, RECORDS, 0, SILENCE)
    return auc(scores[:30], scores[90:])


@pytest.mark.parametrize("score", ["cosine", "inner", "difference"])
def test_members_agree_with_the_update(tmp_path: Path, score: Any) -> None:
    assert auc_of(GradientAlignment(score), view_of(tmp_path)) > 0.65


@pytest.mark.parametrize("measure", ["cosine", "loss"])
@pytest.mark.parametrize("drop", ["none", "paper", "median"])
def test_members_stand_out_from_the_others(tmp_path: Path, measure: Any, drop: Any) -> None:
    assert auc_of(FedMIA(measure, drop=drop), view_of(tmp_path)) > 0.7


def test_records_of_nobody_do_not_stand_out(tmp_path: Path) -> None:
    view = view_of(tmp_path)
    for attack in (GradientAlignment(), FedMIA(), FedMIA("loss")):
        scores = attack.score(view, KNOWN, RECORDS, 0, SILENCE)
        area = auc(scores[90:105], scores[105:120])
        assert abs(area - 0.5) < 2.6 * np.sqrt(31 / (12 * 15 * 15))  # 99 % under the null


def test_candidates_may_come_in_any_order(tmp_path: Path) -> None:
    view, order = view_of(tmp_path), np.random.default_rng(0).permutation(RECORDS)
    for attack in (GradientAlignment(), FedMIA()):
        straight = attack.score(view, KNOWN, RECORDS, 0, SILENCE)
        assert attack.score(view, KNOWN, order, 0, SILENCE).tolist() == straight[order].tolist()


def test_standing_out_by_hand_and_the_paper_s_filter_that_cannot_fire() -> None:
    random = np.random.default_rng(0)
    others, victim = random.normal(size=(9, 500)), random.normal(size=500)
    others[3] = 1e6  # far out, and yet within sqrt(n - 1) deviations of a mean that it moves
    paper = stands_out(victim, others, drop="paper")
    assert paper.tolist() == stands_out(victim, others).tolist()
    kept = np.delete(others, 3, 0)
    median = stands_out(victim, others, drop="median")
    by_hand = (victim - kept.mean(0)) / np.sqrt(kept.var(0) + 1e-8)
    alike = np.isclose(median, by_hand, rtol=1e-6)
    assert alike.mean() > 0.8  # of the other records the median drops one more, by chance


def test_who_saw_no_update_is_told_so(tmp_path: Path) -> None:
    view = view_of(tmp_path)
    uploads = view.keeping(view.snapshots(SnapshotKind.UPLOAD, participant=0))
    with pytest.raises(FedsimError, match="saw no update of participant-0"):
        GradientAlignment().score(uploads, KNOWN, RECORDS, 0, SILENCE)
    own = view.keeping([s for s in view.seen if s.participant == 0])
    with pytest.raises(FedsimError, match="in no observed round were two others"):
        FedMIA().score(own, KNOWN, RECORDS, 0, SILENCE)


def test_alignments_are_computed_once_and_read_again_bit_for_bit(tmp_path: Path) -> None:
    view = view_of(tmp_path)
    (before, own), *_ = view.changes
    others = [s for s in view.snapshots(SnapshotKind.UPLOAD, rounds=(1,)) if s != own]
    (first,) = observed_alignments(view, before, [own])
    together = observed_alignments(view, before, [own, *others])
    kept = sorted(view.features.glob("alignment-*"))
    assert len(kept) == 3
    for snapshot in (before, own, *others):
        snapshot.let_go()
    again = observed_alignments(view, before, [own, *others])
    assert again[0].cosine.tolist() == together[0].cosine.tolist() == first.cosine.tolist()
    assert [one.difference.tolist() for one in again] == [o.difference.tolist() for o in together]
    for number, path in enumerate(kept):
        path.write_bytes(path.read_bytes()[: 40 * number])
    with pytest.raises(SnapshotError, match="were let go"):
        observed_alignments(view, before, [own])
