"""A federation between two rounds, as one file that is there whole or not at all.

It holds the aggregate, what each participant keeps (its optimiser's state, and whatever a
stranger's app puts into its context), what the strategy remembers, and the history. Arrays are
safetensors; everything else is JSON in the header. A run resumed from it equals one that was never
interrupted, bit for bit.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy import Strategy
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from fedsim.errors import RunDirectoryError
from fedsim.federation.rounds import Progress, RoundFigures
from fedsim.federation.strategies import restore_strategy, strategy_state
from fedsim.files import replacing

_FORMAT = "fedsim-checkpoint-1"
_PLAIN_RECORDS: dict[str, type[ConfigRecord] | type[MetricRecord]] = {
    "config": ConfigRecord,
    "metric": MetricRecord,
}


@dataclass(frozen=True)
class Checkpoint:
    """What `save` wrote: progress, each node's state, and the strategy's memory."""

    progress: Progress
    states: Mapping[int, RecordDict]
    strategy_arrays: Mapping[str, Any]
    strategy_plain: Mapping[str, Any]

    @classmethod
    def of(
        cls, progress: Progress, states: Mapping[int, RecordDict], strategy: Strategy
    ) -> "Checkpoint":
        """Return the state of a federation now; going on with it does not change the result."""
        return cls(progress, states, *strategy_state(strategy))

    def restore(self, strategy: Strategy) -> None:
        """Give the strategy its memory back."""
        restore_strategy(strategy, self.strategy_arrays, self.strategy_plain)

    def save(self, path: Path) -> None:
        """Write the checkpoint to `path`, all or nothing.

        Raises
        ------
        RunDirectoryError
            If the disk does not take it.
        """
        arrays = {f"global/{k}": a.numpy() for k, a in self.progress.arrays.items()}
        arrays |= {f"strategy/{k}": a for k, a in self.strategy_arrays.items()}
        records: list[list[object]] = []
        for node, state in self.states.items():
            for key, record in state.items():
                if isinstance(record, ArrayRecord):
                    place = f"node/{len(records)}"
                    arrays |= {f"{place}/{k}": a.numpy() for k, a in record.items()}
                    records.append([node, key, "array", None])
                else:
                    kind = "config" if isinstance(record, ConfigRecord) else "metric"
                    records.append([node, key, kind, _to_json(dict(record))])
        header = {
            "round": self.progress.round,
            "history": [asdict(figures) for figures in self.progress.history],
            "arrays": list(arrays),
            "records": records,
            "strategy": dict(self.strategy_plain),
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
                header = json.loads(metadata[_FORMAT])
                # In their first order, which safetensors does not keep: strategies zip by it.
                arrays = {name: file.get_tensor(name) for name in header["arrays"]}
            progress = Progress(
                header["round"],
                _record(_below(arrays, "global/")),
                tuple(RoundFigures(**figures) for figures in header["history"]),
            )
            states: dict[int, RecordDict] = {}
            for place, (node, key, kind, content) in enumerate(header["records"]):
                state = states.setdefault(node, RecordDict())
                state[key] = (
                    _record(_below(arrays, f"node/{place}/"))
                    if kind == "array"
                    else _PLAIN_RECORDS[kind](_from_json(content))
                )
            return cls(progress, states, _below(arrays, "strategy/"), header["strategy"])
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise RunDirectoryError(
                f"the checkpoint {path} cannot be read ({error}); delete it to start from round 1"
            ) from error


def _below(arrays: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): a for k, a in arrays.items() if k.startswith(prefix)}


def _record(arrays: Mapping[str, Any]) -> ArrayRecord:
    return ArrayRecord({name: Array(np.asarray(array)) for name, array in arrays.items()})


def _to_json(value: Any) -> Any:
    """Return a record's value as JSON data; bytes, which JSON has not, as a tagged text."""
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
