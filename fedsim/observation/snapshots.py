"""The store of what an attacker saw: parameters over the rounds.

One file a snapshot, in safetensors (no pickle, memory-mapped when read), named after its round and
owner, so that the index is always rebuilt from the files. A snapshot is written to a temporary
name, synced and renamed: after a crash it is there or it is not. Its header holds a checksum of its
content, so a flipped bit is found before an attack is run on it.
"""

import json
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flwr.app import ArrayRecord
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fedsim.bounded_io import parsed_json
from fedsim.digests import digest
from fedsim.errors import SnapshotError
from fedsim.files import make_private_folder, replacing, share

AGGREGATE = "aggregate"
CLEAN = "clean"
_FORMAT = "fedsim-snapshot-1"
_ADVICE = "delete it and the run's checkpoint, and the same command simulates again"
_FILE_NAME = re.compile(r"round-(\d{5,})\.([a-z]+(?:-\d+)?)\.safetensors")


def sent_owner(participant: int) -> str:
    """Return the owner name of what a participant was sent."""
    return f"sent-{participant}"


def meant_owner(participant: int) -> str:
    """Return the owner name of what a participant would have been sent by an honest server."""
    return f"meant-{participant}"


def participant_owner(participant: int) -> str:
    """Return the owner name of a participant's upload."""
    return f"participant-{participant}"


@dataclass(frozen=True)
class Policy:
    """Which snapshots are kept. None keeps all rounds, or all owners.

    Attributes
    ----------
    rounds
        The observed rounds, from 1.
    owners
        ``"aggregate"``, ``"participant-N"`` (its upload), ``"sent-N"`` (what it was sent),
        ``"meant-N"`` (what it would have been sent) or ``"clean"`` (the aggregate without what an
        active participant put into it).
    """

    rounds: frozenset[int] | None = None
    owners: frozenset[str] | None = None

    def keeps(self, round_number: int, owner: str) -> bool:
        """Return whether this snapshot is to be kept."""
        return (self.rounds is None or round_number in self.rounds) and (
            self.owners is None or owner in self.owners
        )


@dataclass(frozen=True)
class Snapshot:
    """One owner's parameters after one round, still on the disk."""

    path: Path
    round: int
    owner: str

    def load(self) -> dict[str, Tensor]:
        """Return the parameters by name, memory-mapped and verified.

        Raises
        ------
        SnapshotError
            If the file is truncated, altered, or not a snapshot.
        """
        state, header = self._read()
        if digest(state) != header["digest"]:
            raise SnapshotError(
                f"snapshot {self.path} is damaged (its content does not match its checksum); "
                f"{_ADVICE}"
            )
        return state

    @property
    def digest(self) -> str:
        """The checksum of the parameters, as the file's header states it."""
        return self._read(header_only=True)[1]["digest"]

    def _read(self, header_only: bool = False) -> tuple[dict[str, Tensor], dict[str, str]]:
        try:
            with safe_open(self.path, framework="pt") as file:
                header = parsed_json((file.metadata() or {}).get(_FORMAT, "null"))
                names = () if header_only else file.keys()
                state = {name: file.get_tensor(name) for name in names}
        except (OSError, SafetensorError, ValueError) as error:
            raise SnapshotError(f"cannot read snapshot {self.path} ({error}); {_ADVICE}") from error
        stated = {"round": self.round, "owner": self.owner}
        if (
            not isinstance(header, dict)
            or header != stated | {"digest": header.get("digest")}
            or not isinstance(header["digest"], str)
        ):
            raise SnapshotError(
                f"{self.path} is not the snapshot that its name says (a {_FORMAT} file of "
                f"{self.owner} in round {self.round}); {_ADVICE}"
            )
        return state, header


@dataclass(frozen=True)
class SnapshotStore:
    """The snapshots of one adversary in one folder."""

    folder: Path
    policy: Policy = Policy()

    def keep(self, round_number: int, owner: str, arrays: ArrayRecord) -> None:
        """Store `arrays` as the snapshot of `owner` in a round, if the policy keeps it.

        Raises
        ------
        SnapshotError
            If the disk does not take it, or the owner's name cannot be found again.
        """
        if not self.policy.keeps(round_number, owner):
            return
        state = {name: tensor.contiguous() for name, tensor in arrays.to_torch_state_dict().items()}
        header = {"round": round_number, "owner": owner, "digest": digest(state)}
        path = self._path(round_number, owner)
        if not _FILE_NAME.fullmatch(path.name):
            raise SnapshotError(
                f"a snapshot's owner cannot be {owner!r}; valid: small letters, and perhaps a dash "
                f"and a number, as in {AGGREGATE!r} or {participant_owner(3)!r}"
            )
        try:
            with replacing(path) as temporary:
                # One entry, because safetensors writes several in an order of the day.
                save_file(state, temporary, metadata={_FORMAT: json.dumps(header)})
        except (OSError, SafetensorError, UnicodeEncodeError) as error:
            raise SnapshotError(
                f"cannot store the snapshot of {owner} in round {round_number} as {path}: {error}; "
                "make room and run the same command again, it resumes"
            ) from error

    def series(self, *owners: str, also: Sequence[str] = ()) -> tuple[Snapshot, ...]:
        """Return the owners' snapshots that the policy keeps, by round, then `also`, then `owners`.

        Raises
        ------
        SnapshotError
            If one of `owners` has none.
        """
        kept = [s for s in self.index() if self.policy.keeps(s.round, s.owner)]
        for owner in owners:
            if all(snapshot.owner != owner for snapshot in kept):
                raise SnapshotError(
                    f"no snapshot of {owner} in {self.folder}; run the federation first, or, if it "
                    "ran, observe rounds in which whoever keeps it and whoever sends it take part"
                )
        order = {owner: place for place, owner in enumerate((*also, *owners))}
        wanted = [snapshot for snapshot in kept if snapshot.owner in order]
        return tuple(sorted(wanted, key=lambda s: (s.round, order[s.owner])))

    def adopt(self, snapshot: Snapshot) -> None:
        """Take over a snapshot of another store, sharing its bytes on the disk where possible."""
        if not self.policy.keeps(snapshot.round, snapshot.owner):
            return
        try:
            share(snapshot.path, self._path(snapshot.round, snapshot.owner))
        except OSError as error:
            raise SnapshotError(
                f"cannot take over {snapshot.path} into {self.folder}: {error}"
            ) from error

    def index(self) -> tuple[Snapshot, ...]:
        """Return every snapshot in the folder, by round and owner, as its file names tell."""
        if not self.folder.is_dir():
            return ()
        named = ((path, _FILE_NAME.fullmatch(path.name)) for path in self.folder.iterdir())
        found = [Snapshot(path, int(m[1]), m[2]) for path, m in named if m]
        return tuple(sorted(found, key=lambda s: (s.round, s.owner)))

    def _path(self, round_number: int, owner: str) -> Path:
        return self.folder / f"round-{round_number:05d}.{owner}.safetensors"


def planned_bytes(parameter_bytes: int, rounds: int, owners: Iterable[str]) -> int:
    """Return how many bytes the snapshots of `owners` over `rounds` rounds will take."""
    return parameter_bytes * rounds * len(set(owners))


def require_space(folder: Path, needed: int) -> None:
    """Raise `SnapshotError` when the disk of `folder` has less than `needed` bytes free."""
    free = shutil.disk_usage(make_private_folder(folder)).free
    if free < needed:
        raise SnapshotError(
            f"this run writes {needed / 1e9:.2f} GB below {folder}, but only {free / 1e9:.2f} GB "
            "are free; observe fewer rounds (snapshots.rounds) or choose another --out"
        )
