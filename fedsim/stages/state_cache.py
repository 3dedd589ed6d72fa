"""States of federations, addressed by what produced them, so that nothing is simulated twice.

The state after round t depends on the seed, the data, who holds them, the model, the training
settings up to t, and on whoever acted until then; on nothing else. Two runs that agree in those
have the same state, whatever else they are about: one that acts from round 21 on starts at an
honest round 20, and one that only asks other questions starts at the end.

An entry is a folder: a checkpoint whose memories include a witness's of the last round (see
`fedsim.federation.replay`), and the snapshots that were kept up to there.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from fedsim.config.engine import DECIDING
from fedsim.digests import digest_of_arrays
from fedsim.errors import RunDirectoryError, SnapshotError
from fedsim.federation.checkpoint import Checkpoint
from fedsim.files import make_private_folder
from fedsim.observation.snapshots import AGGREGATE, Snapshot, SnapshotStore
from fedsim.rundir import RunDirectory
from fedsim.stages.attackers import Party
from fedsim.stages.federations import Federation
from fedsim.stages.setup import Scene

Kept = Mapping[str, Sequence[Snapshot]]
"""A state's snapshots, by the label of the party whose seat they were seen from."""

WITNESS = "witness"
_DECIDING = ("fedsim", "flwr", "torch", "numpy")


@dataclass(frozen=True)
class States:
    """The states in one folder, as the federations of a scene address them."""

    folder: Path
    scene: Scene

    def keep(self, federation: Federation, checkpoint: Checkpoint, run: RunDirectory) -> None:
        """Keep where a federation stands, with the snapshots that its parties have so far."""
        entry = self._entry(federation, checkpoint.progress.round)
        for party in federation.parties:
            snapshots = SnapshotStore(make_private_folder(_seat(entry, party)))
            for snapshot in party.store(self.scene.experiment, run).index():
                if snapshot.round <= checkpoint.progress.round:
                    snapshots.adopt(snapshot)
        checkpoint.save(self._checkpoint(entry))

    def longest(self, federation: Federation) -> tuple[Checkpoint, Kept] | None:
        """Return the latest state that a federation may start from, and the snapshots up to it.

        States whose snapshots lack one that the federation's parties want are passed over, and so
        are damaged ones: their rounds are simulated again, and the state is kept anew.
        """
        for round_number in self._rounds(federation):
            entry = self._entry(federation, round_number)
            kept = {p.label: SnapshotStore(_seat(entry, p)).index() for p in federation.parties}
            if self._checkpoint(entry).is_file() and all(
                self._suffices(kept[party.label], party, round_number)
                for party in federation.parties
            ):
                with suppress(RunDirectoryError, SnapshotError):
                    for snapshot in itertools.chain.from_iterable(kept.values()):
                        snapshot.load()
                    return Checkpoint.load(self._checkpoint(entry)), kept
        return None

    def _rounds(self, federation: Federation) -> Iterator[int]:
        rounds = self.scene.experiment.federation.rounds
        yield rounds
        yield from range(min(federation.acts_from() or rounds, rounds) - 1, 0, -1)

    def _suffices(self, kept: Sequence[Snapshot], party: Party, round_number: int) -> bool:
        """Return whether snapshots up to a round are all that a party wants."""
        experiment = self.scene.experiment
        wanted = {
            (observed, owner)
            for owner in party.owners_throughout(experiment)
            for observed in experiment.observed_rounds
            # The aggregate of the last round may reach a participant in the next one only.
            if observed < round_number + (owner != AGGREGATE or self._ended(round_number))
        }
        return wanted <= {(snapshot.round, snapshot.owner) for snapshot in kept}

    def _ended(self, round_number: int) -> bool:
        return round_number == self.scene.experiment.federation.rounds

    def _entry(self, federation: Federation, round_number: int) -> Path:
        produced_by = json.dumps(self._produced_by(federation, round_number), sort_keys=True)
        name = hashlib.blake2b(produced_by.encode(), digest_size=12).hexdigest()
        return self.folder / f"round-{round_number:05d}.{name}"

    def _checkpoint(self, entry: Path) -> Path:
        return entry / "checkpoint.safetensors"

    def _produced_by(self, federation: Federation, round_number: int) -> Mapping[str, Any]:
        """Return everything that decides a federation's state after a round, as plain data."""
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
        return self.scene.experiment.plain()

    @cached_property
    def _always(self) -> Mapping[str, Any]:
        """Return what decides every state of this scene, whichever round or federation."""
        ledger, engine = self.scene.ledger, self._whole["engine"]
        return {
            "versions": {package: metadata.version(package) for package in _DECIDING},
            **{key: self._whole[key] for key in ("seed", "data", "partition", "model")},
            **{name: value for name, value in engine.items() if name in DECIDING and value},
            "records": digest_of_arrays(ledger.labels, *ledger.training_sets),
        }

    def _acting(self, federation: Federation) -> list[Any]:
        labels = [party.label for party in federation.parties]
        chosen = [party for party in self._whole["adversaries"] if party["label"] in labels]
        targets = [
            self.scene.ledger.audit(question).records
            for party in federation.parties
            for question in party.questions
        ]
        return [chosen, self._whole["audit"]["victims"], digest_of_arrays(*targets)]


def take_over(federation: Federation, kept: Kept, scene: Scene, run: RunDirectory) -> None:
    """Give a federation's parties the snapshots of a state that it starts from."""
    for party in federation.parties:
        store = party.store(scene.experiment, run)
        for snapshot in kept[party.label]:
            store.adopt(snapshot)


def _seat(entry: Path, party: Party) -> Path:
    """Return where an entry keeps what was seen from a party's seat.

    From another seat other aggregates are seen: a participant that is away is sent none.
    """
    seat = "server" if party.participant is None else f"participant-{party.participant}"
    return entry / "snapshots" / seat


def _until(by_round: Mapping[str, Any], round_number: int) -> dict[str, Any]:
    return {first: value for first, value in by_round.items() if int(first) <= round_number}
