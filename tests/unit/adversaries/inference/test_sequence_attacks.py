"""Attacks that learn from a series of rounds, and quantile regression: leak, null, alignment."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from server_views import MEMBERS, UNSEEN, known, server_view, wide

from adversaries.inference.confidence_series import ConfidenceSeries
from adversaries.inference.feature_cache import own_features
from adversaries.inference.loss_trajectory import LossTrajectory
from adversaries.inference.needed_features import needed_features
from adversaries.inference.quantile_regression import QuantileRegression, above_quantile
from adversaries.inference.seqmia import AttentiveLstm, SeqMIA, prediction_measures
from fedsim.attacks import View
from fedsim.errors import FedsimError
from fedsim.evaluation.metrics import auc, tpr_at_fpr
from fedsim.observation.keys import SnapshotKind
from fedsim.progress import SILENCE

ATTACKS: dict[str, Any] = {
    "seqmia": partial(SeqMIA, 20),
    "confidence-series": partial(ConfidenceSeries, 15),
    "loss-trajectory": partial(LossTrajectory, 15),
    "quantile-regression": QuantileRegression,
}
KNOWN = known(MEMBERS[:20], UNSEEN[:60])
OPEN = np.sort(np.concatenate([MEMBERS[20:], UNSEEN[60:]]))
ORDER = np.random.default_rng(8).permutation(1200)
PLACE = np.argsort(ORDER)


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> View:
    whole = server_view(tmp_path_factory.mktemp("view"), rounds=3)
    return whole.keeping(whole.answering)


def scores(attack: Any, view: View, aux: Any = KNOWN, records: Any = OPEN, seed: int = 0) -> Any:
    return attack.score(view, aux, records, seed, SILENCE)


@pytest.mark.parametrize("name", ATTACKS)
def test_members_score_higher_and_records_of_nobody_stay_at_guessing(name: str, view: View) -> None:
    found = scores(ATTACKS[name](), view)
    own, others = found[np.isin(OPEN, MEMBERS)], found[~np.isin(OPEN, MEMBERS)]
    assert np.isfinite(found).all()
    assert auc(own, others) > 0.7
    some, rest = others[::2], others[1::2]
    rate, _ = tpr_at_fpr(some, rest, 0.01)
    assert rate <= 0.05
    assert abs(auc(some, rest) - 0.5) < 3.3 * np.sqrt(1 / (6 * len(some)))


@pytest.mark.parametrize("name", ATTACKS)
def test_a_known_record_is_scored_by_what_has_not_seen_it(name: str, view: View) -> None:
    """Known truths that are drawn at random: out of fold they are not found again."""
    random = np.random.default_rng(3)
    records = random.permutation(UNSEEN)[:400]
    guessed = known(records[:200], records[200:])
    found = scores(ATTACKS[name](), view, guessed, guessed.records)
    area = auc(found[guessed.member], found[~guessed.member])
    assert abs(area - 0.5) < 3.5 * np.sqrt(401 / (12 * 200 * 200))


@pytest.mark.parametrize("name", ATTACKS)
def test_scores_follow_the_record_and_the_seed(name: str, view: View, tmp_path: Path) -> None:
    """Records permuted: the known ones stay in their order, so folds and batches are alike."""
    plain = scores(ATTACKS[name](), view)
    assert scores(ATTACKS[name](), view).tolist() == plain.tolist()
    turned = server_view(tmp_path, rounds=3, order=ORDER)
    records = PLACE[KNOWN.records]
    aux = type(KNOWN)(records, KNOWN.member)
    found = scores(ATTACKS[name](), turned.keeping(turned.answering), aux, PLACE[OPEN])
    np.testing.assert_allclose(found, plain, rtol=2e-2, atol=2e-2)


def test_measures_of_a_prediction_by_their_definitions(view: View) -> None:
    spec = needed_features(SeqMIA.needs)
    features = own_features(view, SILENCE, spec)[-1]
    p = softmax(features.logits.astype(np.float64), axis=1)
    for row in (0, 5, 400):
        y, q = features.labels[row], p[row]
        others = [c for c in range(4) if c != y]
        modified = -(1 - q[y]) * np.log(q[y]) - sum(q[c] * np.log(1 - q[c]) for c in others)
        expected = [
            np.log(-np.log(q[y])),
            np.log(1 - q.max()),
            q.std(),
            np.log(-(q * np.log(q)).sum()),
            np.log(modified),
        ]
        np.testing.assert_allclose(prediction_measures(features)[row], expected, rtol=1e-4)


def test_measures_of_what_a_model_is_certain_of_are_finite_and_apart(view: View) -> None:
    spec = needed_features(SeqMIA.needs)
    features = own_features(view, SILENCE, spec)[-1]
    certain = type(features)(
        **{
            name: getattr(features, name)
            for name in ("records", "labels", "hidden", "deltas", "scalars", "gradient_norms")
        },
        losses=np.logaddexp(0, -features.scalars[:, 0] * 20),
        logits=features.logits * 20,
    )
    found = prediction_measures(certain)
    assert np.isfinite(found).all()
    assert len(np.unique(found[:, 1])) > 0.95 * len(found)


def test_attention_by_hand() -> None:
    torch.manual_seed(0)
    network = AttentiveLstm(5, 4)
    series = torch.randn(3, 6, 5)
    outputs, _ = network.lstm(series)
    expected = []
    for one in outputs:
        weights = torch.softmax(torch.stack([step @ one[-1] for step in one]), 0)
        context = sum(w * step for w, step in zip(weights, one, strict=True))
        expected.append(network.head(torch.cat([one[-1], context]))[0])
    torch.testing.assert_close(network(series), torch.stack(expected))


def test_a_share_of_the_nonmembers_lies_above_its_quantile() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(1000, 2))
    values = rows @ [1.0, -2.0] + np.exp(0.3 * rows[:, 0]) * random.normal(size=1000)
    found = above_quantile(values, rows, np.arange(600), 0.1, 0)
    assert abs((found[600:] > 0).mean() - 0.1) < 0.05
    assert abs((found[:600] > 0).mean() - 0.1) < 0.04


def test_what_is_missing_is_told(view: View) -> None:
    one = view.keeping(view.snapshots(SnapshotKind.UPLOAD, rounds=(1,)))
    with pytest.raises(FedsimError, match="reads a record before and after training"):
        scores(QuantileRegression(), one)
    with pytest.raises(FedsimError, match=r"an FPR of 0\.01 .* needs 100, not 60"):
        scores(QuantileRegression(0.01), view)
    assert wide().training
