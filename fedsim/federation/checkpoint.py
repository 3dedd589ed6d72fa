"""Checkpoints: a federation's state between two rounds, in one file that is written atomically.

A checkpoint holds the aggregate, the state of each participant (its optimiser's state, and whatever
a third party's app puts into its context), the state of the strategy, and the history. Arrays are
stored as safetensors, everything else as JSON in the header. A run resumed from a checkpoint equals
an uninterrupted run, bit for bit.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy import Strategy
from pydantic import ConfigDict, Field, JsonValue, TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from fedsim.adversary.base import Adversary
from fedsim.errors import RunDirectoryError
from fedsim.federation.round_figures import RoundFigures
from fedsim.federation.rounds import Progress
from fedsim.federation.strategy_state import restore_strategy, strategy_state
from fedsim.files import parsed_json, replacing
from fedsim.files.digests import digest

_FORMAT = "fedsim-checkpoint-2"
_STRICT = ConfigDict(strict=True, allow_inf_nan=False)
_ROUND: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(ge=0, strict=True)])
_HISTORY: TypeAdapter[list[object]] = TypeAdapter(list[object], config=_STRICT)
_PLAIN: TypeAdapter[dict[str, JsonValue]] = TypeAdapter(dict[str, JsonValue], config=_STRICT)
_PLAIN_RECORDS: dict[str, type[ConfigRecord] | type[MetricRecord]] = {
    "config": ConfigRecord,
    "metric": MetricRecord,
}


@dataclass(frozen=True)
class Checkpoint:
    """The state of a federation: progress, nodes' states, strategy's and adversaries' memories."""

    progress: Progress
    states: Mapping[int, RecordDict]
    strategy_arrays: Mapping[str, Any]
    strategy_plain: Mapping[str, Any]
    memories: Mapping[str, RecordDict]

    @classmethod
    def of(
        cls,
        progress: Progress,
        states: Mapping[int, RecordDict],
        strategy: Strategy,
        adversaries: Mapping[str, Adversary] = MappingProxyType({}),
    ) -> "Checkpoint":
        """Return the federation's current state, which later rounds do not change.

        `adversaries` maps labels to the adversaries in the server's position. The memory of a
        dishonest participant is part of `states`.
        """
        memories = {label: copy_memory(one.memory) for label, one in adversaries.items()}
        return cls(progress, states, *strategy_state(strategy), memories)

    def restore(
        self, strategy: Strategy, adversaries: Mapping[str, Adversary] = MappingProxyType({})
    ) -> None:
        """Restore the memories of the strategy and of the adversaries.

        Raises
        ------
        RunDirectoryError
            If the saved state does not belong to this kind of strategy.
        """
        try:
            restore_strategy(strategy, self.strategy_arrays, self.strategy_plain)
        except (ValueError, KeyError, TypeError) as error:
            raise RunDirectoryError(
                f"what the checkpoint has of the strategy cannot be put back ({error}); delete it "
                "to start from round 1"
            ) from error
        for label, adversary in adversaries.items():
            adversary.memory.clear()
            adversary.memory.update(copy_memory(self.memories.get(label, RecordDict())))

    def save(self, path: Path) -> None:
        """Write the checkpoint to `path` atomically.

        Raises
        ------
        RunDirectoryError
            If the file cannot be written.
        """
        arrays = {f"global/{k}": a.numpy() for k, a in self.progress.arrays.items()}
        arrays |= {f"strategy/{k}": a for k, a in self.strategy_arrays.items()}
        records: list[list[object]] = []
        for owner, state in (*self.states.items(), *self.memories.items()):
            for key, record in state.items():
                if isinstance(record, ArrayRecord):
                    place = f"node/{len(records)}"
                    arrays |= {f"{place}/{k}": a.numpy() for k, a in record.items()}
                    records.append([owner, key, "array", None])
                else:
                    kind = "config" if isinstance(record, ConfigRecord) else "metric"
                    records.append([owner, key, kind, _to_json(dict(record))])
        header = {
            "round": self.progress.round,
            "history": [figures.plain() for figures in self.progress.history],
            "arrays": list(arrays),
            "records": records,
            "strategy": dict(self.strategy_plain),
            "digest": _digest(arrays),
        }
        metadata = {_FORMAT: json.dumps(header)}
        try:
            with replacing(path) as temporary:
                save_file(
                    {k: np.asarray(a, order="C") for k, a in arrays.items()}, temporary, metadata
                )
        except (OSError, SafetensorError) as error:
            raise RunDirectoryError(
                f"cannot write the checkpoint {path}: {error}; make room and run the same command "
                "again, it resumes"
            ) from error

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read a checkpoint.

        Raises
        ------
        RunDirectoryError
            If the file is damaged or not a checkpoint.
        """
        try:
            with safe_open(path, framework="np") as file:
                metadata = file.metadata() or {}
                if _FORMAT not in metadata:
                    raise ValueError(f"it is not a {_FORMAT} file")
                header = parsed_json(metadata[_FORMAT])
                # In the original order, which safetensors does not keep: strategies rely on it.
                arrays = {name: file.get_tensor(name) for name in header["arrays"]}
            if _digest(arrays) != header["digest"]:
                raise ValueError("its content does not match its checksum")
            progress = Progress(
                _ROUND.validate_python(header["round"]),
                _record(_below(arrays, "global/")),
                tuple(map(RoundFigures.from_plain, _HISTORY.validate_python(header["history"]))),
            )
            owners: dict[int | str, RecordDict] = {}
            for place, (owner, key, kind, content) in enumerate(header["records"]):
                state = owners.setdefault(owner, RecordDict())
                state[key] = (
                    _record(_below(arrays, f"node/{place}/"))
                    if kind == "array"
                    else _PLAIN_RECORDS[kind](_from_json(content))
                )
            return cls(
                progress,
                {owner: state for owner, state in owners.items() if isinstance(owner, int)},
                _below(arrays, "strategy/"),
                _PLAIN.validate_python(header["strategy"]),
                {owner: state for owner, state in owners.items() if isinstance(owner, str)},
            )
        except (OSError, SafetensorError, ValueError, LookupError, TypeError, AttributeError) as e:
            reason = " ".join(str(e).split())
            raise RunDirectoryError(
                f"the checkpoint {path} cannot be read ({reason}); delete it to start from round 1"
            ) from e


def _digest(arrays: Mapping[str, Any]) -> str:
    return digest({name: torch.from_numpy(np.array(array)) for name, array in arrays.items()})


def copy_memory(memory: RecordDict) -> RecordDict:
    """Return a copy of a memory, which later rounds do not change."""
    return RecordDict({key: record.copy() for key, record in memory.items()})


def _below(arrays: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): a for k, a in arrays.items() if k.startswith(prefix)}


def _record(arrays: Mapping[str, Any]) -> ArrayRecord:
    return ArrayRecord({name: Array(np.asarray(array)) for name, array in arrays.items()})


def _to_json(value: Any) -> Any:
    """Return a record's value as JSON data; bytes become a tagged text, as JSON has no bytes."""
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {"dict": {k: _to_json(v) for k, v in value.items()}}
    return [_to_json(v) for v in value] if isinstance(value, list) else value


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        if "bytes" in value:
            return base64.b64decode(value["bytes"])
        return {k: _from_json(v) for k, v in value["dict"].items()}
    return [_from_json(v) for v in value] if isinstance(value, list) else value
