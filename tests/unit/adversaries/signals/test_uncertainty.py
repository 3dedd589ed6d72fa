"""The uncertainty of a prediction: its ends, a figure by hand, and that confident means member."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from adversaries.inference.log_scalars import log_entropy, normalised_entropy
from adversaries.signals import last_snapshot, uncertainty
from adversaries.signals.uncertainty import Uncertainty
from fedsim.attacks import AuxiliaryRecords, Traced
from fedsim.progress import SILENCE


def of(*logits: list[float]) -> Any:
    return SimpleNamespace(logits=np.array(logits, dtype=np.float32), classes=len(logits[0]))


def test_it_is_one_for_a_uniform_prediction_and_zero_for_a_certain_one() -> None:
    found = normalised_entropy(of([0, 0, 0, 0], [1000, 0, 0, 0], [0, 0, -1000, -1000]))
    assert found == pytest.approx([1, 0, 0.5])


def test_it_equals_the_entropy_by_hand() -> None:
    p = np.array([0.7, 0.2, 0.1])
    expected = -(p * np.log(p)).sum() / np.log(3)
    assert normalised_entropy(of(np.log(p).tolist())) == pytest.approx([expected], rel=1e-6)


def test_its_logarithm_agrees_and_does_not_underflow() -> None:
    logits = np.random.default_rng(0).normal(scale=3, size=(50, 6)).tolist()
    found = of(*logits)
    assert np.exp(log_entropy(found)) == pytest.approx(normalised_entropy(found), rel=1e-9)
    sure = log_entropy(of([2000, 0, 0], [3000, 0, 0], [40, 40, -4000]))
    # two others at odds of exp(-m) each add (m + 1) exp(-m)
    for found_, m in zip(sure, (2000, 3000), strict=False):
        assert found_ == pytest.approx(np.log(2 * (m + 1)) - m - np.log(np.log(3)), rel=1e-12)
    assert np.exp(sure[2]) == pytest.approx(np.log(2) / np.log(3))


def test_the_last_snapshot_gives_the_score_and_every_one_the_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = [of([1, 0], [0, 0]), of([0, 0], [9, 0])]
    monkeypatch.setattr(last_snapshot, "last_features", lambda *_: seen[-1])
    monkeypatch.setattr(uncertainty, "observed_features", lambda *_: seen)
    monkeypatch.setattr(last_snapshot, "positions", lambda _, records: records)
    candidates = np.array([1, 0])
    known = AuxiliaryRecords(candidates[:0], np.zeros(0, dtype=bool))
    attack = Uncertainty()
    assert isinstance(attack, Traced)
    certain, unsure = attack.score(None, known, candidates, 0, SILENCE)  # type: ignore[arg-type]
    assert (round(np.exp(-certain), 2), round(unsure, 9)) == (0.0, 0.0)
    assert attack.trace(None, SILENCE).shape == (2, 2)  # type: ignore[arg-type]
