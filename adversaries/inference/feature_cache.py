"""Cache of the features of a view: extracted once per snapshot, read by every attack."""

import glob
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adversaries.inference.extraction import extract
from adversaries.inference.feature_file import FORMAT, load_features, save_features, stated_spec
from adversaries.inference.feature_spec import FeatureSpec
from adversaries.inference.features import SnapshotFeatures
from adversaries.inference.input_selection import InputSettings
from adversaries.inference.inputs import Inputs, stack
from adversaries.inference.last_layer import scalar_names
from adversaries.inference.memory import require_features_fit
from adversaries.inference.model_layers import EXAMPLES, ModelLayers
from adversaries.inference.needed_features import shared_features
from adversaries.inference.selected_inputs import SelectedInputs
from fedsim import load_exchanged
from fedsim.attacks import RecordIds, View
from fedsim.errors import SnapshotError
from fedsim.files import make_private_folder
from fedsim.observation.snapshot_file import Snapshot
from fedsim.progress import Watcher


def observed_inputs(
    view: View,
    watcher: Watcher,
    settings: InputSettings,
    last_layer: str | None = None,
) -> Inputs:
    """Return what an attack network reads of all audited records, where it computes.

    They are in the records' order, and not standardised.

    Raises
    ------
    ConfigError
        If a layer is chosen that the model does not have.
    FedsimError
        If the features take more memory than the settings allow.
    """
    chosen = _chosen(view, settings, last_layer)
    spec = chosen.spec(last_layer)
    if spec.outputs or spec.gradients:
        _require_memory(view, spec, settings.memory_limit_gb)
    return stacked_inputs(view, watcher, chosen, last_layer).on(view.dataset.device)


def inputs_spec(view: View, settings: InputSettings, last_layer: str | None) -> FeatureSpec:
    """Return what `observed_inputs` reads of a snapshot."""
    return _chosen(view, settings, last_layer).spec(last_layer)


def _chosen(view: View, settings: InputSettings, last_layer: str | None) -> SelectedInputs:
    examples = view.dataset.batch(view.records[:EXAMPLES])[0]
    return settings.resolved(view.new_model(), last_layer, examples, view.objective)


def scalar_inputs(view: View, watcher: Watcher) -> Inputs:
    """Return the scalars of all audited records on every snapshot: one forward pass each."""
    return stacked_inputs(view, watcher, _scalars(view))


def scalars_spec(view: View) -> FeatureSpec:
    """Return what `scalar_inputs` reads of a snapshot."""
    return _scalars(view).spec(None)


def _scalars(view: View) -> SelectedInputs:
    examples = view.dataset.batch(view.records[:EXAMPLES])[0]
    head = ModelLayers.of(view.new_model(), examples).head
    return SelectedInputs(
        last_output=False,
        last_gradient=False,
        loss=False,
        label=False,
        scalars=scalar_names(view.objective.scalars, head is not None),
        norms=(),
    )


def stacked_inputs(
    view: View,
    watcher: Watcher,
    chosen: SelectedInputs,
    last_layer: str | None = None,
) -> Inputs:
    """Return chosen features of all audited records, in their order, not standardised."""
    features = observed_features(view, watcher, chosen.spec(last_layer))
    by_snapshot = dict(zip(view.answering, features, strict=True))
    pairs = [(by_snapshot[before], by_snapshot[after]) for before, after in view.changes]
    return stack([by_snapshot[one] for one in view.trained], chosen, pairs)


def observed_features(view: View, watcher: Watcher, spec: FeatureSpec) -> list[SnapshotFeatures]:
    """Return the features of all audited records on each of `view.answering`, in their order.

    Cached features are read from the view's folder, also if they contain more than requested;
    missing or damaged ones are extracted and written there. From parameters that are not the result
    of training (see `View.trained`), only the scalars are extracted, which need no backward pass.
    """
    trained = set(view.trained)
    untrained = replace(spec, outputs=(), gradients=(), gradient_norms=())
    specs = [spec if one in trained else untrained for one in view.answering]
    return _features_of(view, watcher, view.answering, specs)


def own_features(view: View, watcher: Watcher, spec: FeatureSpec) -> list[SnapshotFeatures]:
    """Return the features of the snapshots that training made, without those sent."""
    return _features_of(view, watcher, view.trained, [spec] * len(view.trained))


def last_features(view: View, watcher: Watcher, spec: FeatureSpec) -> SnapshotFeatures:
    """Return those of the last of the snapshots closest to the victims' data, and of no other."""
    return _features_of(view, watcher, [view.closest[-1]], [spec])[0]


def features_on(
    view: View, watcher: Watcher, snapshots: Sequence[Snapshot], spec: FeatureSpec
) -> list[SnapshotFeatures]:
    """Return the features of all audited records on any snapshots, and nothing more.

    For the many snapshots of other participants and of shadow federations.
    """
    return _features_of(view, watcher, snapshots, [spec] * len(snapshots), shared=False)


def _features_of(
    view: View,
    watcher: Watcher,
    snapshots: Sequence[Snapshot],
    specs: Sequence[FeatureSpec],
    *,
    shared: bool = True,
) -> list[SnapshotFeatures]:
    wanted = list(zip(snapshots, specs, strict=True))
    kept = [_kept(view, snapshot, spec) for snapshot, spec in wanted]
    missing = sum(there is None for there in kept)
    if not missing:
        return [there for there in kept if there is not None]
    make_private_folder(view.features)
    features = []
    with watcher.task(f"features of {view.query.key}", missing) as advance:
        for (snapshot, spec), there in zip(wanted, kept, strict=True):
            if there is not None:
                features.append(there)
                continue
            wider = _with_needs(view, snapshot, spec) if shared else spec
            features.append(_extracted(snapshot, view, wider))
            save_features(features[-1], _path(view, snapshot, wider), wider)
            advance(f"round {snapshot.round}")
    return features


def _with_needs(view: View, snapshot: Snapshot, spec: FeatureSpec) -> FeatureSpec:
    """Return what to extract of a snapshot so that it is done once for all that is needed."""
    for needs in view.needed:
        if needs.kinds is None or snapshot.kind in needs.kinds:
            spec = shared_features(spec, needs, snapshot in view.trained)
    return spec


def _require_memory(view: View, spec: FeatureSpec, limit_gb: float) -> None:
    """Raise `FedsimError` if the features would take more than `limit_gb`; one record is tried."""
    records, snapshots = view.records, len(view.trained)
    tried = extract(
        view.new_model(),
        view.dataset.batch,
        records[:1],
        spec,
        objective=view.objective,
    )
    require_features_fit(tried, spec, len(records), snapshots, limit_gb)


def _kept(view: View, snapshot: Snapshot, spec: FeatureSpec) -> SnapshotFeatures | None:
    """Return features extracted before, if they are intact and contain those requested."""
    exact = _path(view, snapshot, spec)
    stem = exact.name.rsplit(".", 2)[0]
    others = view.feature_files(f"{glob.escape(stem)}.*.safetensors")
    for path in [exact, *others]:
        stated = stated_spec(path) if path.is_file() else None
        if stated is not None and stated.covers(spec):
            try:
                return load_features(path)
            except SnapshotError:
                continue
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
        load_exchanged(model, snapshot.load())
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise SnapshotError(f"snapshot {snapshot.path} does not fit the model: {reason}") from error
    return extract(
        model,
        view.dataset.batch,
        view.records,
        spec,
        objective=view.objective,
    )


def _path(view: View, snapshot: Snapshot, spec: FeatureSpec) -> Path:
    """Return the path of cached features, named after their source and their content."""
    digest = digest_of_view(view, FORMAT, snapshot.digest)
    holds = hashlib.blake2b(json.dumps(asdict(spec)).encode(), digest_size=4)
    name = f"round-{snapshot.round:05d}.{snapshot.key.name}.{digest}"
    return view.features / f"{name}.{holds.hexdigest()}.safetensors"


def digest_of_view(view: View, *parts: str) -> str:
    """Return a digest of the source of features: the given parts, data, objective and records."""
    objective = [type(view.objective).__name__, sorted(vars(view.objective).items())]
    of = [*parts, view.dataset.digest, objective]
    digest = hashlib.blake2b(json.dumps(of, default=str).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(view.records).tobytes())
    return digest.hexdigest()
