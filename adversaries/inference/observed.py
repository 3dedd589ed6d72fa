"""The features of an observation: extracted once a snapshot, kept, and read by every attack."""

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from adversaries.inference.features import FeatureSpec, SnapshotFeatures, extract
from fedsim.attack import Observation, RecordIds
from fedsim.data import Dataset
from fedsim.errors import SnapshotError
from fedsim.progress import Watcher
from fedsim.snapshots import Snapshot


@dataclass(frozen=True)
class _NormalisedRows:
    """A data set's records as the model takes them, indexed by record id."""

    dataset: Dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, records: NDArray[np.int64], /) -> NDArray[np.generic]:
        return self.dataset.batch(records)[0].numpy()


def observed_features(
    observation: Observation, watcher: Watcher, spec: FeatureSpec | None = None
) -> list[SnapshotFeatures]:
    """Return the features of all audited records, one entry a snapshot, in their order.

    What is already in the observation's folder is read; what is missing or damaged is extracted
    and written there.
    """
    spec = spec or FeatureSpec()
    paths = [observation.features / _name(s, observation, spec) for s in observation.snapshots]
    missing = sum(not path.is_file() for path in paths)
    if not missing:
        return [SnapshotFeatures.load(path) for path in paths]
    observation.features.mkdir(parents=True, exist_ok=True, mode=0o700)
    features = []
    with watcher.task(f"features of {observation.question.key}", missing) as advance:
        for snapshot, path in zip(observation.snapshots, paths, strict=True):
            if path.is_file():
                features.append(SnapshotFeatures.load(path))
                continue
            features.append(_extracted(snapshot, observation, spec))
            features[-1].save(path)
            advance(f"round {snapshot.round}")
    return features


def positions(observation: Observation, records: RecordIds) -> NDArray[np.intp]:
    """Return where `records` stand in the rows of an observation's features.

    Raises
    ------
    SnapshotError
        If one of them is not among the audited records.
    """
    places = np.searchsorted(observation.records, records)
    places = np.minimum(places, len(observation.records) - 1)
    strangers = records[observation.records[places] != records]
    if strangers.size:
        raise SnapshotError(
            f"record {strangers[0]} is not among the {len(observation.records)} audited records of "
            f"{observation.question.key}"
        )
    return places


def _extracted(snapshot: Snapshot, observation: Observation, spec: FeatureSpec) -> SnapshotFeatures:
    model = observation.new_model()
    try:
        model.load_state_dict(snapshot.load())
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise SnapshotError(f"snapshot {snapshot.path} does not fit the model: {reason}") from error
    dataset = observation.dataset
    return extract(model, _NormalisedRows(dataset), dataset.labels, spec, rows=observation.records)


def _name(snapshot: Snapshot, observation: Observation, spec: FeatureSpec) -> str:
    made_from = [snapshot.digest, observation.dataset.name, asdict(spec)]
    digest = hashlib.blake2b(json.dumps(made_from).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(observation.records).tobytes())
    return f"round-{snapshot.round:05d}.{snapshot.owner}.{digest.hexdigest()}.safetensors"
