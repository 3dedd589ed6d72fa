"""The toy federation with participants who come and go, and an onlooker who sees all of it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import toys
from flwr.app import ArrayRecord

from fedsim.adversary.resources import AttackerResources

ANYBODY: dict[str, Any] = {"min_available_nodes": 1}  # the strategy waits for nobody
SAMPLING: dict[str, Any] = {"fraction_train": 0.7}  # two of three
SEEDS = range(6)
Attendance = Mapping[int, Sequence[int]]


class Onlooker(toys.SilentServer):
    """Keep what passes, by (round, participant); last in its position, it sees what others left."""

    def __init__(self) -> None:
        self.sent: dict[tuple[int, int], ArrayRecord] = {}
        self.received: dict[tuple[int, int], ArrayRecord] = {}
        self.aggregates: dict[int, ArrayRecord] = {}
        self.evaluated: list[tuple[int, int]] = []

    def send(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        self.sent[round_number, participant] = arrays
        return arrays

    def receive(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        self.received[round_number, participant] = arrays
        return arrays

    def aggregated(self, round_number: int, arrays: ArrayRecord) -> None:
        self.aggregates[round_number] = arrays

    def send_evaluation(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord:
        self.evaluated.append((round_number, participant))
        return arrays

    def trained(self, participant: int) -> list[int]:
        """Return the rounds in which a participant trained."""
        return [r for r, p in self.sent if p == participant]


def attended(federation: toys.Federation, attendance: Attendance) -> toys.Federation:
    """Let those take part who are named, from the round on beside which they stand."""

    def present(round_number: int) -> frozenset[int]:
        return frozenset(attendance[max(r for r in attendance if r <= round_number)])

    federation.schedule = dataclasses.replace(federation.schedule, present=present)
    return federation


def sampled(federation: toys.Federation, seed: int) -> toys.Federation:
    """Let the strategy of a federation draw by another seed."""
    federation.schedule = dataclasses.replace(federation.schedule, seed=seed)
    return federation


def attacker_resources() -> AttackerResources:
    return AttackerResources(toys.new_model, toys.dataset(), np.arange(20), seed=5)
