"""A dishonest participant whose round does not end, once, if it is not on the cluster's head."""

import time
from pathlib import Path

import ray
from flwr.app import ArrayRecord

from fedsim.adversary.base import Threat
from fedsim.adversary.participant_position import ParticipantAdversary
from fedsim.observation.keys import SnapshotKind

SECONDS = 3600.0  # if anything waits for it, the test times out


class Stalling(ParticipantAdversary):
    """Records the aggregates; in round 3 it leaves a marker and stalls until its node is gone."""

    def __init__(self, participant: int, head: str, marker: str) -> None:
        super().__init__(participant)
        self.head = head
        self.marker = Path(marker)

    def threat(self) -> Threat:
        """Return the threat model."""
        return Threat(f"participant {self.participant}", "the aggregates")

    def arrived(self, round_number: int, arrays: ArrayRecord) -> ArrayRecord:
        """Keep what arrived, and stall."""
        self.record(round_number, SnapshotKind.AGGREGATE.of(), arrays)
        here = self.head if self.marker.exists() else ray.get_runtime_context().get_node_id()
        if round_number == 3 and here != self.head:
            self.marker.write_text(here)
            time.sleep(SECONDS)
        return arrays
