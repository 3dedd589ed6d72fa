"""The features of a view: extracted once a snapshot, kept, and read by every attack."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adversaries.inference.extraction import extract
from adversaries.inference.features import FORMAT, FeatureSpec, SnapshotFeatures
from adversaries.inference.input_selection import InputSettings
from adversaries.inference.inputs import Inputs, stack
from adversaries.inference.memory import require_features_fit
from fedsim.attacks import RecordIds, View
from fedsim.errors import SnapshotError
from fedsim.files import make_private_folder
from fedsim.observation.snapshots import Snapshot
from fedsim.progress import Watcher


def observed_inputs(
    view: View,
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
    chosen = settings.resolved(view.new_model(), last_layer)
    spec = chosen.spec(last_layer)
    if spec.outputs or spec.gradients:
        _require_memory(view, spec, settings.memory_limit_gb)
    features = observed_features(view, watcher, spec)
    by_snapshot = dict(zip(view.answering, features, strict=True))
    pairs = [(by_snapshot[before], by_snapshot[after]) for before, after in view.changes]
    return stack([by_snapshot[one] for one in view.trained], chosen, pairs)


def observed_features(
    view: View, watcher: Watcher, spec: FeatureSpec | None = None
) -> list[SnapshotFeatures]:
    """Return the features of all audited records on each of `view.answering`, in their order.

    What is already in the view's folder is read; what is missing or damaged is extracted and
    written there. Of parameters that no training has made (see `View.trained`), only what needs no
    backward pass is extracted: their scalars.
    """
    spec = spec or FeatureSpec()
    trained = set(view.trained)
    untrained = replace(spec, outputs=(), gradients=(), gradient_norms=())
    wanted = [(one, spec if one in trained else untrained) for one in view.answering]
    paths = [view.features / _name(s, view, of) for s, of in wanted]
    kept = [_kept(path) for path in paths]
    features = [there for there in kept if there is not None]
    if len(features) == len(paths):
        return features
    make_private_folder(view.features)
    missing = len(paths) - len(features)
    features = []
    with watcher.task(f"features of {view.query.key}", missing) as advance:
        for (snapshot, of), path, there in zip(wanted, paths, kept, strict=True):
            if there is not None:
                features.append(there)
                continue
            features.append(_extracted(snapshot, view, of))
            features[-1].save(path)
            advance(f"round {snapshot.round}")
    return features


def own_features(
    view: View, watcher: Watcher, last_layer: str | None = None
) -> list[SnapshotFeatures]:
    """Return `observed_features` of the snapshots that training made, without those sent."""
    features = observed_features(view, watcher, FeatureSpec(last_layer=last_layer))
    by_snapshot = dict(zip(view.answering, features, strict=True))
    return [by_snapshot[one] for one in view.trained]


def last_features(view: View, watcher: Watcher) -> SnapshotFeatures:
    """Return the features on the last of the snapshots that are closest to the victims' data."""
    features = observed_features(view, watcher)
    return features[view.answering.index(view.closest[-1])]


def _require_memory(view: View, spec: FeatureSpec, limit_gb: float) -> None:
    """Raise `FedsimError` if the features would take more than so many GB; one record is tried."""
    records, snapshots = view.records, len(view.trained)
    tried = extract(view.new_model(), view.dataset.batch, records[:1], spec)
    require_features_fit(tried, spec, len(records), snapshots, limit_gb)


def _kept(path: Path) -> SnapshotFeatures | None:
    """Return what was extracted before, if it is there and whole."""
    try:
        return SnapshotFeatures.load(path) if path.is_file() else None
    except SnapshotError:
        return None


def positions(view: View, records: RecordIds) -> NDArray[np.intp]:
    """Return where `records` stand in the rows of a view's features.

    Raises
    ------
    SnapshotError
        If one of them is not among the audited records.
    """
    places = np.searchsorted(view.records, records)
    places = np.minimum(places, len(view.records) - 1)
    unknown = records[view.records[places] != records]
    if unknown.size:
        raise SnapshotError(
            f"record {unknown[0]} is not among the {len(view.records)} audited records of "
            f"{view.query.key}"
        )
    return places


def _extracted(snapshot: Snapshot, view: View, spec: FeatureSpec) -> SnapshotFeatures:
    model = view.new_model()
    try:
        model.load_state_dict(snapshot.load())
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise SnapshotError(f"snapshot {snapshot.path} does not fit the model: {reason}") from error
    return extract(model, view.dataset.batch, view.records, spec)


def _name(snapshot: Snapshot, view: View, spec: FeatureSpec) -> str:
    made_from = [FORMAT, snapshot.digest, view.dataset.digest, asdict(spec)]
    digest = hashlib.blake2b(json.dumps(made_from).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(view.records).tobytes())
    return f"round-{snapshot.round:05d}.{snapshot.key.name}.{digest.hexdigest()}.safetensors"
