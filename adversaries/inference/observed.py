"""The features of an observation: extracted once a snapshot, kept, and read by every attack."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adversaries.inference.extraction import extract
from adversaries.inference.features import FeatureSpec, SnapshotFeatures
from fedsim.attack import Observation, RecordIds
from fedsim.errors import SnapshotError
from fedsim.files import make_private_folder
from fedsim.progress import Watcher
from fedsim.snapshots import Snapshot


def observed_features(
    observation: Observation, watcher: Watcher, spec: FeatureSpec | None = None
) -> list[SnapshotFeatures]:
    """Return the features of all audited records, one entry a snapshot, in their order.

    What is already in the observation's folder is read; what is missing or damaged is extracted
    and written there.
    """
    spec = spec or FeatureSpec()
    paths = [observation.features / _name(s, observation, spec) for s in observation.snapshots]
    kept = [_kept(path) for path in paths]
    features = [there for there in kept if there is not None]
    if len(features) == len(paths):
        return features
    make_private_folder(observation.features)
    missing = len(paths) - len(features)
    features = []
    with watcher.task(f"features of {observation.question.key}", missing) as advance:
        for snapshot, path, there in zip(observation.snapshots, paths, kept, strict=True):
            if there is not None:
                features.append(there)
                continue
            features.append(_extracted(snapshot, observation, spec))
            features[-1].save(path)
            advance(f"round {snapshot.round}")
    return features


def _kept(path: Path) -> SnapshotFeatures | None:
    """Return what was extracted before, if it is there and whole."""
    try:
        return SnapshotFeatures.load(path) if path.is_file() else None
    except SnapshotError:
        return None


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
    return extract(model, observation.dataset.batch, observation.records, spec)


def _name(snapshot: Snapshot, observation: Observation, spec: FeatureSpec) -> str:
    made_from = [snapshot.digest, observation.dataset.name, asdict(spec)]
    digest = hashlib.blake2b(json.dumps(made_from).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(observation.records).tobytes())
    return f"round-{snapshot.round:05d}.{snapshot.owner}.{digest.hexdigest()}.safetensors"
