"""Serialisation of the participants' app, and of the snapshots that come back from it."""

import io
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ArrayRecord
from flwr.clientapp import ClientApp
from ray.cloudpickle import CloudPickler

from fedsim.engines.ray.serialization import KeptArrays, Payload
from fedsim.errors import FedsimError
from fedsim.observation.keys import SnapshotKey
from fedsim.observation.snapshots import Policy, SnapshotStore

LONG_ARRAY = 65536  # those that are shared between processes are read-only, so small ones are not


def packed_app(app: ClientApp) -> tuple[Payload, tuple[SnapshotStore, ...]]:
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
    except Exception as error:  # a third party's objects may fail in any way
        raise FedsimError(
            f"the participants' app cannot be sent to a Ray cluster, as a part of it cannot be "
            f"pickled: {type(error).__name__}: {error}"
        ) from error
    arrays = tuple(np.frombuffer(part.raw(), np.uint8) for part in parts)
    return Payload(head.getvalue(), arrays), tuple(packer.stores)


def unpacked_app(payload: Payload, kept: list[KeptArrays]) -> ClientApp:
    """Return the app; its large arrays are the payload's, read-only; `kept` takes its snapshots."""
    return _AppUnpacker(payload, kept).load()  # type: ignore[no-any-return]


@dataclass(frozen=True)
class TravellingStore(SnapshotStore):
    """A store whose folder is on the driver's disk: snapshots are sent there with the reply."""

    number: int = 0
    kept: list[KeptArrays] = field(default_factory=list)

    def keep(self, round_number: int, key: SnapshotKey, arrays: ArrayRecord) -> None:
        """Have `arrays` stored where the driver is, if the policy keeps them."""
        if self.policy.keeps(round_number, key):
            self.kept.append(KeptArrays(self.number, round_number, key, arrays))


class _AppPacker(CloudPickler):
    """Pickles code by value where it has no module of its own, as closures have not."""

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
        """Return what makes a travelling store, and None for everything that is to be pickled."""
        if not isinstance(thing, SnapshotStore):
            return None
        self.stores.append(thing)
        return len(self.stores) - 1, thing.folder, thing.policy

    def reducer_override(self, thing: Any) -> Any:
        """Take the plain view of a file that is mapped: numpy would copy it into the pickle."""
        if isinstance(thing, np.memmap):
            return np.asarray(thing).__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        return super().reducer_override(thing)  # type: ignore[no-untyped-call]


class _AppUnpacker(pickle.Unpickler):
    def __init__(self, payload: Payload, kept: list[KeptArrays]) -> None:
        super().__init__(io.BytesIO(payload.head), buffers=payload.parts)
        self._kept = kept

    def persistent_load(self, place: tuple[int, Path, Policy]) -> TravellingStore:
        """Return the store that stands for the driver's."""
        number, folder, policy = place
        return TravellingStore(folder, policy, number=number, kept=self._kept)
