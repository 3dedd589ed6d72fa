"""The features of an observation: extracted once a snapshot, kept, and read by every attack."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adversaries.inference import round_deltas
from adversaries.inference.extraction import extract
from adversaries.inference.features import FORMAT, FeatureSpec, SnapshotFeatures
from adversaries.inference.input_selection import InputSettings
from adversaries.inference.inputs import Inputs, stack
from adversaries.inference.memory import require_features_fit
from fedsim.attacks import Observation, RecordIds
from fedsim.errors import SnapshotError
from fedsim.files import make_private_folder
from fedsim.observation.snapshots import Snapshot
from fedsim.progress import Watcher


def observed_inputs(
    observation: Observation,
    watcher: Watcher,
    settings: InputSettings,
    last_layer: str | None = None,
) -> Inputs:
    """Return what an attack reads of all audited records, in their order, not standardised.

    Raises
    ------
    ConfigError
        If a layer is chosen that the model does not have.
    FedsimError
        If the features take more memory than the settings allow.
    """
    chosen = settings.resolved(observation.new_model(), last_layer)
    spec = chosen.spec(last_layer)
    snapshots = observation.snapshots
    if spec.outputs or spec.gradients:
        _require_memory(observation, spec, settings.memory_limit_gb)
    features = observed_features(observation, watcher, spec)
    pairs = [(features[sent], features[back]) for sent, back in round_deltas.pairs(snapshots)]
    own = [features[n] for n in round_deltas.own(snapshots)]
    return stack(own, chosen, pairs)


def observed_features(
    observation: Observation, watcher: Watcher, spec: FeatureSpec | None = None
) -> list[SnapshotFeatures]:
    """Return the features of all audited records, one entry a snapshot, in their order.

    What is already in the observation's folder is read; what is missing or damaged is extracted
    and written there. Of parameters that no training has made (see `reactions.own`), only what
    needs no backward pass is extracted: their scalars.
    """
    spec = spec or FeatureSpec()
    own = set(round_deltas.own(observation.snapshots))
    specs = [
        spec if n in own else replace(spec, outputs=(), gradients=(), gradient_norms=())
        for n in range(len(observation.snapshots))
    ]
    wanted = list(zip(observation.snapshots, specs, strict=True))
    paths = [observation.features / _name(s, observation, of) for s, of in wanted]
    kept = [_kept(path) for path in paths]
    features = [there for there in kept if there is not None]
    if len(features) == len(paths):
        return features
    make_private_folder(observation.features)
    missing = len(paths) - len(features)
    features = []
    with watcher.task(f"features of {observation.query.key}", missing) as advance:
        for (snapshot, of), path, there in zip(wanted, paths, kept, strict=True):
            if there is not None:
                features.append(there)
                continue
            features.append(_extracted(snapshot, observation, of))
            features[-1].save(path)
            advance(f"round {snapshot.round}")
    return features


def own_features(
    observation: Observation, watcher: Watcher, last_layer: str | None = None
) -> list[SnapshotFeatures]:
    """Return `observed_features` of the snapshots that training made, without those sent."""
    features = observed_features(observation, watcher, FeatureSpec(last_layer=last_layer))
    return [features[n] for n in round_deltas.own(observation.snapshots)]


def _require_memory(observation: Observation, spec: FeatureSpec, limit_gb: float) -> None:
    """Raise `FedsimError` if the features would take more than so many GB; one record is tried."""
    records, snapshots = observation.records, len(round_deltas.own(observation.snapshots))
    tried = extract(observation.new_model(), observation.dataset.batch, records[:1], spec)
    require_features_fit(tried, spec, len(records), snapshots, limit_gb)


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
    unknown = records[observation.records[places] != records]
    if unknown.size:
        raise SnapshotError(
            f"record {unknown[0]} is not among the {len(observation.records)} audited records of "
            f"{observation.query.key}"
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
    made_from = [FORMAT, snapshot.digest, observation.dataset.name, asdict(spec)]
    digest = hashlib.blake2b(json.dumps(made_from).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(observation.records).tobytes())
    return f"round-{snapshot.round:05d}.{snapshot.owner}.{digest.hexdigest()}.safetensors"
