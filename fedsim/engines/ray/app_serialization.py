"""Serialisation of the participants' app, and of the snapshots that its adversaries keep."""

import io
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ArrayRecord
from flwr.clientapp import ClientApp
from ray.cloudpickle import CloudPickler

from fedsim.engines.ray.serialization import KeptSnapshot, Payload
from fedsim.errors import FedsimError
from fedsim.observation.keys import SnapshotKey
from fedsim.observation.snapshots import Policy, SnapshotStore

LONG_ARRAY = 65536  # bytes; shorter arrays are copied, because shared arrays are read-only


def pack_app(app: ClientApp) -> tuple[Payload, tuple[SnapshotStore, ...]]:
    """Return the participants' app as a payload, and the stores of its adversaries.

    In the cluster each store is a `TravellingStore`.

    Raises
    ------
    FedsimError
        If a part of it cannot be pickled.
    """
    head, parts = io.BytesIO(), list[pickle.PickleBuffer]()
    packer = _AppPacker(head, parts)
    try:
        packer.dump(app)  # type: ignore[no-untyped-call]
    except Exception as error:  # pickling a third party's objects may raise anything
        raise FedsimError(
            f"the participants' app cannot be sent to a Ray cluster, as a part of it cannot be "
            f"pickled: {type(error).__name__}: {error}"
        ) from error
    arrays = tuple(np.frombuffer(part.raw(), np.uint8) for part in parts)
    return Payload(head.getvalue(), arrays), tuple(packer.stores)


def unpack_app(payload: Payload, kept: list[KeptSnapshot]) -> ClientApp:
    """Return the app, with large read-only arrays of the payload; `kept` collects its snapshots."""
    return _AppUnpacker(payload, kept).load()  # type: ignore[no-any-return]


@dataclass(frozen=True)
class TravellingStore(SnapshotStore):
    """A store whose folder is on the driver's disk; the reply carries its snapshots there."""

    number: int = 0
    kept: list[KeptSnapshot] = field(default_factory=list)

    def keep(self, round_number: int, key: SnapshotKey, arrays: ArrayRecord) -> None:
        """Collect `arrays` for the driver to store, if the policy keeps them."""
        if self.policy.keeps(round_number, key):
            self.kept.append(KeptSnapshot(self.number, round_number, key, arrays))


class _AppPacker(CloudPickler):
    """Pickles code by value if it has no module of its own, such as closures."""

    def __init__(self, head: io.BytesIO, parts: list[pickle.PickleBuffer]) -> None:
        def stays(part: pickle.PickleBuffer) -> bool:
            if part.raw().nbytes < LONG_ARRAY:
                return True
            parts.append(part)
            return False

        super().__init__(  # type: ignore[no-untyped-call]
            head, protocol=pickle.HIGHEST_PROTOCOL, buffer_callback=stays
        )
        self.stores: list[SnapshotStore] = []

    def persistent_id(self, thing: object) -> tuple[int, Path, Policy] | None:
        """Return the description of a store, and None for objects that are pickled normally."""
        if not isinstance(thing, SnapshotStore):
            return None
        self.stores.append(thing)
        return len(self.stores) - 1, thing.folder, thing.policy

    def reducer_override(self, thing: Any) -> Any:
        """Reduce an array of a mapped file to a plain view, which numpy does not copy."""
        if isinstance(thing, np.memmap):
            return np.asarray(thing).__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        return super().reducer_override(thing)  # type: ignore[no-untyped-call]


class _AppUnpacker(pickle.Unpickler):
    def __init__(self, payload: Payload, kept: list[KeptSnapshot]) -> None:
        super().__init__(io.BytesIO(payload.head), buffers=payload.parts)
        self._kept = kept

    def persistent_load(self, place: tuple[int, Path, Policy]) -> TravellingStore:
        """Return the store that represents a store of the driver."""
        number, folder, policy = place
        return TravellingStore(folder, policy, number=number, kept=self._kept)
