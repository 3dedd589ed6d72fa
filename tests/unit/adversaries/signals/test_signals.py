"""The scores that need no training: their sign, their figures, and their honesty."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import toys
from flwr.app import ArrayRecord
from server_views import view_of_two_uploads
from sklearn.metrics import roc_auc_score
from torch.nn import functional

from adversaries.inference import feature_cache
from adversaries.inference.feature_cache import last_features
from adversaries.inference.feature_spec import FeatureSpec
from adversaries.inference.log_scalars import normalised_entropy
from adversaries.signals.chance import Chance
from adversaries.signals.gradient_norm import GradientNorm
from adversaries.signals.label import LabelOnly
from adversaries.signals.last_snapshot import count_ties, report_ties
from adversaries.signals.loss import Loss
from adversaries.signals.uncertainty import Uncertainty
from fedsim.attacks import Attack, AuxiliaryRecords, Traced, View
from fedsim.errors import PluginError, SnapshotError
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshots import SnapshotStore
from fedsim.progress import SILENCE

RECORDS = np.arange(5, 45)
KNOWN = AuxiliaryRecords(RECORDS[::2], np.arange(20) % 2 == 0)


@pytest.fixture
def observation(tmp_path: Path) -> View:
    """Return an observation of two snapshots, the second one further from the start."""
    return view_of_two_uploads(tmp_path, RECORDS)


def scored(attack: Attack, observation: Any, candidates: Any = RECORDS, seed: int = 0) -> Any:
    return attack.score(observation, KNOWN, candidates, seed, SILENCE)


def by_hand(observation: View, snapshot: int) -> tuple[np.ndarray, ...]:
    """Return each record's loss, gradient norm, and that of the last layer, by plain autograd."""
    model = observation.new_model()
    model.load_state_dict(observation.closest[snapshot].load())
    losses, norms, last = [], [], []
    for record in RECORDS:
        inputs, labels = observation.dataset.batch(np.array([record]))
        loss = functional.cross_entropy(model(inputs), labels)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        losses.append(loss.item())
        squares = [float((g.double() ** 2).sum()) for g in gradients]
        norms.append(sum(squares) ** 0.5)
        last.append(sum(squares[-2:]) ** 0.5)  # weight and bias
    return np.array(losses), np.array(norms), np.array(last)


def test_loss_is_the_log_odds_on_the_last_snapshot(observation: View) -> None:
    losses, _, _ = by_hand(observation, -1)
    scores = scored(Loss(), observation)
    np.testing.assert_allclose(np.log1p(np.exp(-scores)), losses, rtol=1e-4, atol=1e-6)
    assert np.argsort(scores).tolist() == np.argsort(-losses).tolist()


def test_gradient_norm_is_minus_the_log_norm_on_the_last_snapshot(
    observation: View,
) -> None:
    _, norms, _ = by_hand(observation, -1)
    scores = scored(GradientNorm(), observation)
    np.testing.assert_allclose(scores, -np.log(norms), rtol=1e-4, atol=1e-5)


def test_the_gradient_norm_can_be_followed_over_the_snapshots(observation: View) -> None:
    attack = GradientNorm()
    assert isinstance(attack, Traced)
    trace = attack.trace(observation, SILENCE)
    assert trace.shape == (2, 40)
    for place in (0, 1):
        np.testing.assert_allclose(trace[place], by_hand(observation, place)[2], rtol=1e-4)


@pytest.mark.parametrize("attack", [Loss(), GradientNorm()])
def test_scores_follow_the_order_of_the_candidates(observation: View, attack: Attack) -> None:
    shuffled = np.random.default_rng(0).permutation(RECORDS)[:7]
    everything = dict(zip(RECORDS.tolist(), scored(attack, observation), strict=True))
    ours = scored(attack, observation, shuffled)
    assert ours.tolist() == [everything[r] for r in shuffled.tolist()]


@pytest.mark.parametrize("attack", [Loss(), GradientNorm()])
def test_a_record_that_is_not_audited_is_refused(observation: View, attack: Attack) -> None:
    for third_party in (4, 45, 100):
        with pytest.raises(
            SnapshotError, match=f"record {third_party} is not among the 40 audited"
        ):
            scored(attack, observation, np.array([6, third_party]))


def test_a_snapshot_of_another_model_is_one_sentence(observation: View) -> None:
    store = SnapshotStore(observation.closest[0].path.parent)
    store.keep(2, SnapshotKind.UPLOAD.of(0), ArrayRecord({"w": torch.ones(2)}))
    with pytest.raises(SnapshotError, match="does not fit the model") as error:
        scored(Loss(), observation)
    assert "\n" not in str(error.value)


def test_features_are_extracted_once_and_again_when_damaged(observation: View) -> None:
    scores = scored(GradientNorm(), observation)
    (path,) = observation.features.iterdir()
    whole, time = path.stat().st_size, path.stat().st_mtime_ns
    scored(GradientNorm(), observation)
    assert path.stat().st_mtime_ns == time
    path.write_bytes(path.read_bytes()[:-5])
    assert scored(GradientNorm(), observation).tolist() == scores.tolist()
    assert path.stat().st_size == whole


def test_loss_takes_one_forward_pass_of_one_snapshot(
    observation: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    forward = torch.nn.Sequential.forward

    def counted(self: torch.nn.Sequential, inputs: torch.Tensor) -> torch.Tensor:
        passes.append(len(inputs))
        return forward(self, inputs)

    monkeypatch.setattr(torch.nn.Sequential, "forward", counted)
    monkeypatch.setattr(torch.autograd, "grad", None)
    scored(Loss(), observation)
    assert passes == [2, len(RECORDS)]  # two records are tried
    (path,) = observation.features.iterdir()
    assert path.name.startswith("round-00002.")


def test_what_holds_more_is_read_instead_of_extracted_again(
    observation: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = scored(Loss(), replace(observation, features=observation.features / "alone"))
    scored(GradientNorm(), observation)
    monkeypatch.setattr(feature_cache, "extract", None)
    assert scored(Loss(), observation).tolist() == alone.tolist()
    assert len(list(observation.features.glob("*.safetensors"))) == 1


def certain(observation: View, temperature: float) -> View:
    """Return an observation of a model that is so much surer, with the same order of records."""
    store = SnapshotStore(observation.features / f"sure-{temperature}")
    state = toys.new_model().state_dict()
    last = list(state)[-2:]
    state |= {name: temperature * state[name] for name in last}
    store.keep(2, SnapshotKind.UPLOAD.of(0), ArrayRecord(state))
    folder = observation.features / f"features-{temperature}"
    return replace(observation, seen=store.series(SnapshotKind.UPLOAD.of(0)), features=folder)


def test_records_are_told_apart_where_every_loss_is_zero(observation: View) -> None:
    """A model so sure that loss, norm and entropy underflow orders records as a cooler one does."""
    heard: list[str] = []
    loud = SimpleNamespace(say=heard.append, task=SILENCE.task)
    sure = certain(observation, 1e4)
    found = last_features(sure, SILENCE, FeatureSpec())
    right = found.scalars[:, 0] > 0
    assert right.sum() >= 10
    assert (found.losses[right] == 0).mean() > 0.7
    for attack in (Loss(), GradientNorm(), Uncertainty()):
        scores = attack.score(sure, KNOWN, RECORDS, 0, loud)  # type: ignore[arg-type]
        assert np.isfinite(scores).all()
        assert count_ties(scores[right]) == 0
        assert count_ties(scores) == 0
    assert heard == []


@pytest.mark.parametrize("seed", range(3))
def test_the_curve_is_the_same_where_nothing_underflows(observation: View, seed: int) -> None:
    """Log-odds, log norms and log entropies have the order of what they stand for."""
    member = np.random.default_rng(seed).random(len(RECORDS)) < 0.5
    losses, norms, _ = by_hand(observation, -1)
    entropy = normalised_entropy(last_features(observation, SILENCE, FeatureSpec()))
    plain = {Loss: -losses, GradientNorm: -norms, Uncertainty: -entropy}
    for kind, scores in plain.items():
        found = scored(kind(), observation)
        assert roc_auc_score(member, found) == roc_auc_score(member, scores)
        assert tpr_at(found, member) == tpr_at(scores, member)


def tpr_at(scores: np.ndarray, member: np.ndarray, fpr: float = 0.05) -> float:
    threshold = np.quantile(scores[~member], 1 - fpr, method="higher")
    return float((scores[member] > threshold).mean())


def test_ties_are_told() -> None:
    heard: list[str] = []
    watcher: Any = SimpleNamespace(say=heard.append)
    report_ties("loss", np.array([0.0, 0.0, 1.0, 2.0, 1.0]), watcher)
    report_ties("loss", np.arange(5.0), watcher)
    assert len(heard) == 1
    assert "loss: 4 of 5 records have a score that another record has" in heard[0]


def test_chance_is_uniform_and_comes_from_the_seed() -> None:
    attack = Chance()
    assert attack.stochastic
    many = np.arange(20_000)
    scores = scored(attack, None, many, seed=1)
    assert scores.tolist() == scored(attack, None, many, seed=1).tolist()
    assert scores.tolist() != scored(attack, None, many, seed=2).tolist()
    assert np.histogram(scores, 4, (0, 1))[0] == pytest.approx(5000, abs=300)


def labelled(labels: list[int]) -> Any:
    return SimpleNamespace(dataset=SimpleNamespace(labels=np.array(labels)))


def test_label_is_the_share_of_members_in_the_class() -> None:
    # Class 0: members only; class 1: half; class 2: none known at all.
    observation = labelled([0] * 10 + [1] * 10 + [2] * 5)
    known = AuxiliaryRecords(np.arange(20), np.array([True] * 10 + [True, False] * 5))
    attack = LabelOnly()
    scores = attack.score(observation, known, np.array([24, 20, 21]), 0, SILENCE)
    assert scores.tolist() == [0.5, 0.5, 0.5]
    tested = labelled([0] * 11 + [1] * 11 + [2])
    known = AuxiliaryRecords(
        np.r_[np.arange(10), np.arange(11, 21)], np.array([True] * 10 + [True, False] * 5)
    )
    scores = attack.score(tested, known, np.array([22, 10, 21]), 0, SILENCE)
    assert scores.tolist() == [1 / 2, 11 / 12, 6 / 12]


def test_label_scores_a_known_record_without_its_own_truth() -> None:
    # Every class has one record, so all that a class tells is the record's own membership.
    observation = labelled(list(range(40)))
    known = AuxiliaryRecords(np.arange(40), np.arange(40) % 2 == 0)
    assert LabelOnly().score(observation, known, np.arange(40), 0, SILENCE).tolist() == [0.5] * 40


@pytest.mark.parametrize(("members", "others"), [(4, 16), (16, 4), (0, 20)])
def test_label_needs_enough_known_records(members: int, others: int) -> None:
    observation = labelled([0, 1] * 10)
    known = AuxiliaryRecords(np.arange(20), np.arange(20) < members)
    with pytest.raises(PluginError, match=f"non-members, not {members} and {others}; know more"):
        LabelOnly().score(observation, known, np.arange(20), 0, SILENCE)


def test_label_needs_two_folds() -> None:
    with pytest.raises(PluginError, match="label: folds is 1; valid: 2 or more"):
        LabelOnly(folds=1)
