"""The file of one snapshot: parameters that were seen in one round, with a checksum."""

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fedsim.errors import SnapshotError
from fedsim.files import parsed_json, replacing
from fedsim.files.digests import digest
from fedsim.observation.keys import SnapshotKey, SnapshotKind

FORMAT = "fedsim-snapshot-1"


_LET_GO = "let go"


_KEPT_BY = ("adversary", "who", "sees", "does")


_FURTHER = frozenset({_LET_GO, *_KEPT_BY})
"""What a header may hold beside the round, the name and the checksum."""


_ADVICE = "delete it and the run's checkpoint, and the same command simulates again"


@dataclass(frozen=True)
class Snapshot:
    """Parameters that were seen in one round, still on the disk.

    Attributes
    ----------
    path
        The file.
    round
        The round, from 1.
    key
        What it is of.
    """

    path: Path
    round: int
    key: SnapshotKey

    @property
    def kind(self) -> SnapshotKind:
        """What was seen."""
        return self.key.kind

    @property
    def participant(self) -> int | None:
        """Of whom; None where the kind is of no one participant."""
        return self.key.participant

    @property
    def owner(self) -> str:
        """The name of its key, as version 1 called it: ``aggregate``, ``participant-3``."""
        return self.key.name

    @property
    def kept_by(self) -> dict[str, str]:
        """What the header says of the adversary that kept it; empty where it says nothing.

        Under ``adversary`` its name, under ``who``, ``sees`` and ``does`` its threat model.
        """
        header = self._read(header_only=True)[1]
        return {name: header[name] for name in _KEPT_BY if isinstance(header.get(name), str)}

    def load(self) -> dict[str, Tensor]:
        """Return the parameters by name, memory-mapped and verified.

        Raises
        ------
        SnapshotError
            If the file is truncated, altered, or not a snapshot.
        """
        state, header = self._read()
        if _LET_GO in header:
            raise SnapshotError(
                f"the parameters of snapshot {self.path} were let go (snapshots.keep: features), "
                "and what is asked of them now was not extracted; simulate again with this attack "
                "in the experiment's list, or with snapshots.keep: parameters"
            )
        if digest(state) != header["digest"]:
            raise SnapshotError(
                f"snapshot {self.path} is damaged (its content does not match its checksum); "
                f"{_ADVICE}"
            )
        return state

    @property
    def has_parameters(self) -> bool:
        """Whether its parameters are on the disk, and were not let go."""
        return _LET_GO not in self._read(header_only=True)[1]

    def let_go(self) -> None:
        """Remove the parameters, and keep what they were of and their checksum.

        Raises
        ------
        SnapshotError
            If the disk does not take it.
        """
        header = self._read(header_only=True)[1]
        if _LET_GO in header:
            return
        metadata = {FORMAT: json.dumps({**header, _LET_GO: "parameters"})}
        try:
            with replacing(self.path) as temporary:
                save_file({}, temporary, metadata=metadata)
        except (OSError, SafetensorError) as error:
            raise SnapshotError(f"cannot write {self.path}: {error}; make room") from error

    @property
    def digest(self) -> str:
        """The checksum of the parameters, as the file's header states it."""
        return self._read(header_only=True)[1]["digest"]

    def _read(self, header_only: bool = False) -> tuple[dict[str, Tensor], dict[str, str]]:
        try:
            with safe_open(self.path, framework="pt") as file:
                header = parsed_json((file.metadata() or {}).get(FORMAT, "null"))
                names = () if header_only else file.keys()
                state = {name: file.get_tensor(name) for name in names}
        except (OSError, SafetensorError, ValueError) as error:
            raise SnapshotError(f"cannot read snapshot {self.path} ({error}); {_ADVICE}") from error
        stated = {"round": self.round, "owner": self.key.name}
        if (
            not isinstance(header, dict)
            or {k: v for k, v in header.items() if k not in _FURTHER}
            != stated | {"digest": header.get("digest")}
            or not isinstance(header["digest"], str)
        ):
            raise SnapshotError(
                f"{self.path} is not the snapshot that its name says (a {FORMAT} file of "
                f"{self.key.name} in round {self.round}); {_ADVICE}"
            )
        return state, header
