"""Plugins that break one promise each; a module of its own, as plugins are named by module."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord, MetricRecord
from sklearn.linear_model import LogisticRegression

from fedsim import Attack, ServerAdversary, Threat
from fedsim.data import MembershipQuery, read_ledger
from fedsim.observation.keys import SnapshotKind


class Honest(ServerAdversary):
    """Keep what its victims upload."""

    def threat(self) -> Threat:
        return Threat("the server", "what its victim uploads")

    def receive(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        self.record(round_number, SnapshotKind.UPLOAD.of(participant), arrays)
        return arrays


class Undocumented(Honest):
    pass


class Meddler(Honest):
    """Say that it is passive, and is not."""

    def send(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        return moved(arrays, 1e-6) if (round_number, participant) == (2, 1) else arrays


class Dropper(Honest):
    """Say that it is passive, and leave an upload out of an aggregate."""

    def receive(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord | None:
        super().receive(round_number, participant, arrays)
        return None if (round_number, participant) == (5, 1) else arrays


class Active(Honest):
    """Add to what participants are sent, from round 3 on."""

    says = does = 3

    def threat(self) -> Threat:
        does = "adds to what participants are sent"
        return Threat("the server", "what its victim uploads", does, active=True)

    def acts_from(self) -> int | None:
        return self.says

    def amount(self, round_number: int) -> float:
        return 0.01

    def send(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        amount = self.amount(round_number)
        return moved(arrays, amount) if round_number >= self.does else arrays


class Early(Active):
    """Act a round before it says so."""

    does = 2


class Sleeper(Active):
    """Say that it acts, and never do."""

    does = 99


class Late(Active):
    """Act after everybody has gone home."""

    says = does = 500


class Restless(Active):
    """Draw from nowhere."""

    def amount(self, round_number: int) -> float:
        return int.from_bytes(os.urandom(2), "big") * 1e-6 + 1e-3


class Forgetful(Active):
    """Count on itself, and not in its memory."""

    def __init__(self) -> None:
        self.count = 0

    def amount(self, round_number: int) -> float:
        self.count += 1
        return 0.001 * self.count


class Hoarder(Active):
    """Remember more than the last honest round shows."""

    def amount(self, round_number: int) -> float:
        known = self.memory.metric_records.get("count")
        count = int(str(known["count"])) + 1 if known else 1
        self.memory["count"] = MetricRecord({"count": count})
        return 0.001 * count


class Caching(Active):
    """Keep a cache that nothing depends on."""

    def __init__(self) -> None:
        self.cache: dict[int, float] = {}

    def amount(self, round_number: int) -> float:
        return self.cache.setdefault(round_number, 0.001 * round_number)


class Empty(Honest):
    """Keep nothing."""

    def receive(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        return arrays


class Speechless(Honest):
    """Say nothing."""

    def threat(self) -> Threat:
        return Threat("the server", "")


class Undecided(Active):
    """Say that it is active, and that it never acts."""

    says = None  # type: ignore[assignment]


class Astray(Honest):
    """Ask about somebody who is not there."""

    def queries(self, victims: Sequence[int], participants: int) -> tuple[MembershipQuery, ...]:
        return ()


class Failing(Honest):
    """Break in the second round."""

    def aggregated(self, round_number: int, arrays: ArrayRecord) -> None:
        if round_number == 2:
            raise KeyError("lost")


class Sure(Attack):
    """Score by the log-probability of the label on the last snapshot."""

    def score(self, observation: Any, known: Any, candidates: Any, seed: int, watcher: Any) -> Any:
        model = observation.new_model().eval()
        model.load_state_dict(observation.closest[-1].load())
        inputs, labels = observation.dataset.batch(candidates)
        with torch.no_grad():
            return model(inputs).double().log_softmax(1)[range(len(labels)), labels].numpy()


class Unsorted(Sure):
    """Return scores in the order of the record ids, whatever the candidates' order."""

    def score(self, observation: Any, known: Any, candidates: Any, seed: int, watcher: Any) -> Any:
        return super().score(observation, known, np.sort(candidates), seed, watcher)


class Short(Sure):
    """Forget a candidate."""

    def score(self, observation: Any, known: Any, candidates: Any, seed: int, watcher: Any) -> Any:
        return super().score(observation, known, candidates, seed, watcher)[1:]


class Infinite(Sure):
    """Be infinitely sure."""

    def score(self, observation: Any, known: Any, candidates: Any, seed: int, watcher: Any) -> Any:
        return np.full(len(candidates), np.inf)


class Unseeded(Sure):
    """Draw from nowhere."""

    stochastic = True

    def score(self, observation: Any, known: Any, candidates: Any, seed: int, watcher: Any) -> Any:
        return np.random.default_rng().random(len(candidates))


class Secretive(Sure):
    """Go by the seed, and not say so."""

    def score(self, observation: Any, known: Any, candidates: Any, seed: int, watcher: Any) -> Any:
        return np.random.default_rng(seed).random(observation.records.max() + 1)[candidates]


class Peeping(Sure):
    """Read which records are test records."""

    def score(self, observation: Any, known: Any, candidates: Any, seed: int, watcher: Any) -> Any:
        return super().score(observation, known, candidates, seed, watcher) - (
            100.0 * observation.dataset.test[candidates]
        )


class Meddling(Sure):
    """Change what it is told."""

    def score(self, observation: Any, known: Any, candidates: Any, seed: int, watcher: Any) -> Any:
        known.member[:] = True
        return super().score(observation, known, candidates, seed, watcher)


class Insider(Sure):
    """Read the truth off the disk."""

    def score(self, observation: Any, known: Any, candidates: Any, seed: int, watcher: Any) -> Any:
        ledger = read_ledger(observation.features.parent / "run" / "ledger.parquet")
        return ledger.holders_of(observation.query.victims)[candidates].astype(np.float64)


class InSample(Sure):
    """Learn from the known records, and score them by what was learned from them."""

    def score(self, observation: Any, known: Any, candidates: Any, seed: int, watcher: Any) -> Any:
        dataset = observation.dataset
        rows = dataset.batch(known.records)[0].numpy()
        model = LogisticRegression(C=10.0, max_iter=500).fit(rows, known.member)
        return model.decision_function(dataset.batch(candidates)[0].numpy())


def moved(arrays: ArrayRecord, amount: float) -> ArrayRecord:
    """Return parameters with a number added to each."""
    state = arrays.to_torch_state_dict()
    return ArrayRecord({name: value + amount for name, value in state.items()})
