"""States of federations, addressed by their inputs, so that nothing is simulated twice.

The state after round t depends only on the seed, the data, the partition, the model, the training
settings up to t, and the adversaries that were active until then. Two runs that agree in these
share the state: an adversary that is active from round 21 on starts from an honest round 20, and a
run with other queries starts from the end.

An entry is a folder: a checkpoint whose memories include a last-round recorder's of the last round
(see `fedsim.federation.replay`), and the snapshots that were kept up to there.
"""

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from fedsim.config.engine import DECIDING
from fedsim.config.experiment import DECIDES_FEDERATIONS
from fedsim.errors import RunDirectoryError, SnapshotError
from fedsim.federation.checkpoint import Checkpoint
from fedsim.files import make_private_folder
from fedsim.files.digests import digest_of_arrays
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshot_file import Snapshot
from fedsim.observation.snapshots import SnapshotStore
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.attackers import Attacker
from fedsim.stages.preparation.federations import PlannedFederation
from fedsim.stages.preparation.setup import Setup
from fedsim.stages.simulation.run_content import content_of

Kept = Mapping[str, Sequence[Snapshot]]
"""A state's snapshots, by the label of the attacker whose position they were seen from."""

_ENTRY = re.compile(r"round-(\d{5,9})\.")
WITNESS = "last-round recorder"
_DECIDING = ("fedsim", "flwr", "torch", "numpy")


@dataclass(frozen=True)
class StateCache:
    """The states in one folder, as the federations of a setup address them."""

    folder: Path
    setup: Setup

    def keep(
        self, federation: PlannedFederation, checkpoint: Checkpoint, run: RunDirectory
    ) -> None:
        """Store the state of a federation, with the snapshots of its attackers so far."""
        entry = self._entry(federation, checkpoint.progress.round)
        for attacker in federation.attackers:
            snapshots = SnapshotStore(make_private_folder(_position(entry, attacker)))
            for snapshot in attacker.store(self.setup.experiment, run).index():
                if snapshot.round <= checkpoint.progress.round:
                    snapshots.adopt(snapshot)
        checkpoint.save(self._checkpoint(entry))

    def longest(self, federation: PlannedFederation) -> tuple[Checkpoint, Kept] | None:
        """Return the latest state that a federation may start from, and the snapshots up to it.

        States that lack snapshots of the federation's attackers, and damaged states, are skipped:
        their rounds are simulated again, and the state is stored again.
        """
        for round_number in self._rounds(federation):
            entry = self._entry(federation, round_number)
            kept = {
                p.label: SnapshotStore(_position(entry, p)).index() for p in federation.attackers
            }
            if self._checkpoint(entry).is_file() and all(
                self._suffices(kept[attacker.label], attacker, round_number)
                for attacker in federation.attackers
            ):
                with suppress(RunDirectoryError, SnapshotError):
                    for snapshot in itertools.chain.from_iterable(kept.values()):
                        snapshot.load()
                    return Checkpoint.load(self._checkpoint(entry)), kept
        return None

    def _rounds(self, federation: PlannedFederation) -> Iterator[int]:
        """Yield the rounds after which it may start and that have any entry, the last one first."""
        rounds = self.setup.experiment.federation.rounds
        before = min(federation.acts_from() or rounds, rounds)
        found = map(_ENTRY.match, (entry.name for entry in self.folder.glob("round-*")))
        kept = {int(one[1]) for one in found if one}
        yield from sorted((r for r in kept if r == rounds or 0 < r < before), reverse=True)

    def _suffices(self, kept: Sequence[Snapshot], attacker: Attacker, round_number: int) -> bool:
        """Return whether snapshots up to a round are all that an attacker wants."""
        experiment = self.setup.experiment
        wanted = {
            (observed, key)
            for key in attacker.keys_throughout(experiment)
            for observed in experiment.observed_rounds
            # The aggregate of the last round may reach a participant in the next one only.
            if observed
            < round_number + (key.kind is not SnapshotKind.AGGREGATE or self._ended(round_number))
        }
        return wanted <= {(snapshot.round, snapshot.key) for snapshot in kept}

    def _ended(self, round_number: int) -> bool:
        return round_number == self.setup.experiment.federation.rounds

    def _entry(self, federation: PlannedFederation, round_number: int) -> Path:
        produced_by = json.dumps(self._produced_by(federation, round_number), sort_keys=True)
        name = hashlib.blake2b(produced_by.encode(), digest_size=12).hexdigest()
        return self.folder / f"round-{round_number:05d}.{name}"

    def _checkpoint(self, entry: Path) -> Path:
        return entry / "checkpoint.safetensors"

    def _produced_by(self, federation: PlannedFederation, round_number: int) -> Mapping[str, Any]:
        """Return all inputs of a federation's state after a round, as plain data."""
        settings = dict(self._whole["federation"])
        # How long it goes on decides nothing, except that the last round is always evaluated.
        settings["rounds"] = settings["rounds"] if self._ended(round_number) else None
        settings["attendance"] = _until(settings["attendance"], round_number)
        schedule = _until(settings["local"]["schedule"], round_number)
        settings["local"] = {**settings["local"], "schedule": schedule}
        acts_from = federation.acts_from()
        acting = acts_from is not None and acts_from <= round_number
        return {
            **self._always,
            "round": round_number,
            "federation": settings,
            "acting": self._acting(federation) if acting else None,
        }

    @cached_property
    def _whole(self) -> Mapping[str, Any]:
        return self.setup.experiment.plain()

    @cached_property
    def _always(self) -> Mapping[str, Any]:
        """Return the inputs that all states of this setup have in common."""
        ledger, engine = self.setup.ledger, self._whole["engine"]
        canaries = self.setup.experiment.audit.canary_participants
        device = self.setup.experiment.engine.device.partition(":")[0]
        return {
            "versions": {package: metadata.version(package) for package in _DECIDING},
            **{key: self._whole[key] for key in DECIDES_FEDERATIONS if key in self._whole},
            **{name: value for name, value in engine.items() if name in DECIDING and value},
            **({"canary participants": canaries} if canaries else {}),
            **({"device": device} if device != "cpu" else {}),
            "records": digest_of_arrays(ledger.labels, *self.setup.training_sets),
            "content": asdict(content_of(self.setup)),
        }

    def _acting(self, federation: PlannedFederation) -> list[Any]:
        labels = [attacker.label for attacker in federation.attackers]
        chosen = [
            attacker for attacker in self._whole["adversaries"] if attacker["label"] in labels
        ]
        targets = [
            self.setup.ledger.audit(query).records
            for attacker in federation.attackers
            for query in attacker.queries
        ]
        return [chosen, self._whole["audit"]["victims"], digest_of_arrays(*targets)]


def take_over(federation: PlannedFederation, kept: Kept, setup: Setup, run: RunDirectory) -> None:
    """Give a federation's attackers the snapshots of a state that it starts from."""
    for attacker in federation.attackers:
        store = attacker.store(setup.experiment, run)
        for snapshot in kept[attacker.label]:
            store.adopt(snapshot)


def _position(entry: Path, attacker: Attacker) -> Path:
    """Return the folder of an entry for the observations of an attacker's position.

    Positions see different aggregates: a participant that is away is sent none.
    """
    position = "server" if attacker.participant is None else f"participant-{attacker.participant}"
    return entry / "snapshots" / position


def _until(by_round: Mapping[str, Any], round_number: int) -> dict[str, Any]:
    return {first: value for first, value in by_round.items() if int(first) <= round_number}
