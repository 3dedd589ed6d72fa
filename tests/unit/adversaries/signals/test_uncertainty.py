"""The uncertainty of a prediction: its ends, a figure by hand, and that confident means member."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from adversaries.signals import uncertainty
from adversaries.signals.uncertainty import Uncertainty, normalised_entropy
from fedsim.attacks import AuxiliaryRecords, Traced
from fedsim.progress import SILENCE


def of(*logits: list[float]) -> Any:
    return SimpleNamespace(logits=np.array(logits, dtype=np.float32))


def test_it_is_one_for_a_uniform_prediction_and_zero_for_a_certain_one() -> None:
    found = normalised_entropy(of([0, 0, 0, 0], [1000, 0, 0, 0], [0, 0, -1000, -1000]))
    assert found == pytest.approx([1, 0, 0.5])


def test_it_equals_the_entropy_by_hand() -> None:
    p = np.array([0.7, 0.2, 0.1])
    expected = -(p * np.log(p)).sum() / np.log(3)
    assert normalised_entropy(of(np.log(p).tolist())) == pytest.approx([expected], rel=1e-6)


def test_the_last_snapshot_gives_the_score_and_every_one_the_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = [of([1, 0], [0, 0]), of([0, 0], [9, 0])]
    monkeypatch.setattr(uncertainty, "last_features", lambda *_: seen[-1])
    monkeypatch.setattr(uncertainty, "observed_features", lambda *_: seen)
    monkeypatch.setattr(uncertainty, "positions", lambda _, records: records)
    candidates = np.array([1, 0])
    known = AuxiliaryRecords(candidates[:0], np.zeros(0, dtype=bool))
    attack = Uncertainty()
    assert isinstance(attack, Traced)
    certain, unsure = attack.score(None, known, candidates, 0, SILENCE)  # type: ignore[arg-type]
    assert (round(certain, 2), unsure) == (0.0, -1.0)
    assert attack.trace(None, SILENCE).shape == (2, 2)  # type: ignore[arg-type]
