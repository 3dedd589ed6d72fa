"""The store of an attacker's snapshots: parameters over the rounds.

One file per snapshot, in safetensors (no pickle, memory-mapped when read), named after its round
and key, so that the index is always rebuilt from the files. A snapshot is written to a temporary
name, synced and renamed: after a crash it is there or it is not. Its header holds a checksum of its
content, so a flipped bit is found before an attack is run on it.
"""

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from flwr.app import ArrayRecord
from safetensors import SafetensorError
from safetensors.torch import save_file

from fedsim.errors import SnapshotError
from fedsim.files import make_private_folder, replacing, share
from fedsim.files.digests import digest
from fedsim.observation.keys import SnapshotKey
from fedsim.observation.snapshot_file import FORMAT, Snapshot

_FILE_NAME = re.compile(r"round-(\d{5,})\.([a-z]+(?:-\d+)?)\.safetensors")


@dataclass(frozen=True)
class Policy:
    """Which snapshots are kept. None keeps all rounds, or all keys.

    Attributes
    ----------
    rounds
        The observed rounds, from 1.
    keys
        What the snapshots are of.
    """

    rounds: frozenset[int] | None = None
    keys: frozenset[SnapshotKey] | None = None

    def keeps(self, round_number: int, key: SnapshotKey) -> bool:
        """Return whether this snapshot is to be kept."""
        return (self.rounds is None or round_number in self.rounds) and (
            self.keys is None or key in self.keys
        )


@dataclass(frozen=True)
class SnapshotStore:
    """The snapshots of one adversary in one folder.

    Attributes
    ----------
    folder
        Where they are.
    policy
        Which ones are kept.
    kept_by
        What their headers say of the adversary, as `Snapshot.kept_by` has it. A run directory says
        it elsewhere; in a Flower app of a third party it is known from nothing else.
    """

    folder: Path
    policy: Policy = Policy()
    kept_by: Mapping[str, str] = field(default_factory=dict, hash=False, compare=False)

    def keep(self, round_number: int, key: SnapshotKey, arrays: ArrayRecord) -> None:
        """Store `arrays` as the snapshot of `key` in a round, if the policy keeps it.

        Raises
        ------
        SnapshotError
            If the disk does not take it.
        """
        if not self.policy.keeps(round_number, key):
            return
        state = {name: tensor.contiguous() for name, tensor in arrays.to_torch_state_dict().items()}
        stated = {"round": round_number, "owner": key.name, "digest": digest(state)}
        header = {**self.kept_by, **stated}
        path = self._path(round_number, key)
        try:
            with replacing(path) as temporary:
                # One entry: safetensors writes several in no fixed order.
                save_file(state, temporary, metadata={FORMAT: json.dumps(header)})
        except (OSError, SafetensorError, UnicodeEncodeError) as error:
            raise SnapshotError(
                f"cannot store the snapshot of {key.name} in round {round_number} as {path}: "
                f"{error}; make room and run the same command again, it resumes"
            ) from error

    def series(self, *keys: SnapshotKey) -> tuple[Snapshot, ...]:
        """Return the snapshots of some keys that the policy keeps, by round and then by key."""
        wanted = frozenset(keys)
        return tuple(
            s for s in self.index() if s.key in wanted and self.policy.keeps(s.round, s.key)
        )

    def adopt(self, snapshot: Snapshot) -> None:
        """Take over a snapshot of another store, sharing its bytes on the disk where possible."""
        if not self.policy.keeps(snapshot.round, snapshot.key):
            return
        try:
            share(snapshot.path, self._path(snapshot.round, snapshot.key))
        except OSError as error:
            raise SnapshotError(
                f"cannot take over {snapshot.path} into {self.folder}: {error}"
            ) from error

    def index(self) -> tuple[Snapshot, ...]:
        """Return every snapshot in the folder, by round and key, from the file names."""
        if not self.folder.is_dir():
            return ()
        found = (_named(path) for path in self.folder.iterdir())
        return tuple(sorted((s for s in found if s is not None), key=lambda s: (s.round, s.key)))

    def _path(self, round_number: int, key: SnapshotKey) -> Path:
        return self.folder / f"round-{round_number:05d}.{key.name}.safetensors"


def _named(path: Path) -> Snapshot | None:
    """Return the snapshot that a file's name stands for; None where it stands for none."""
    match = _FILE_NAME.fullmatch(path.name)
    if match is None:
        return None
    with suppress(SnapshotError):
        return Snapshot(path, int(match[1]), SnapshotKey.parse(match[2]))
    return None


def planned_bytes(parameter_bytes: int, rounds: int, keys: Iterable[SnapshotKey]) -> int:
    """Return how many bytes the snapshots of `keys` over `rounds` rounds will take."""
    return parameter_bytes * rounds * len(set(keys))


def require_space(folder: Path, needed: int) -> None:
    """Raise `SnapshotError` when the disk of `folder` has less than `needed` bytes free."""
    free = shutil.disk_usage(make_private_folder(folder)).free
    if free < needed:
        raise SnapshotError(
            f"this run writes {needed / 1e9:.2f} GB below {folder}, but only {free / 1e9:.2f} GB "
            "are free; observe fewer rounds (snapshots.rounds) or choose another --out"
        )
