"""Files of features: safetensors with a header, written whole and checked when read."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from adversaries.inference.conv_unfold import Unfolding
from adversaries.inference.factored_gradients import FactoredGradients
from adversaries.inference.feature_spec import FeatureSpec
from adversaries.inference.features import ARRAYS, FloatArray, SnapshotFeatures
from fedsim.errors import SnapshotError
from fedsim.files import replacing

FORMAT = "fedsim-features-3"
"""The version of the extraction and of the file format. It is part of each file's name, so files of
another version are never read: increment it when the same model would give other features."""
UNREADABLE = (OSError, SafetensorError, ValueError, LookupError, AttributeError, TypeError)
"""What safetensors raises for a damaged file; the last two for types that NumPy does not have."""


def save_features(features: SnapshotFeatures, path: Path, spec: FeatureSpec | None = None) -> None:
    """Write one safetensors file, all or nothing; the same features give the same bytes.

    With `spec`, what they were asked by, `stated_spec` reads it back.
    """
    tensors = {name: np.ascontiguousarray(values) for name, values in _tensors(features).items()}
    header = {
        "spec": asdict(spec) if spec else None,
        "layers": features.layers,
        "scalar_names": features.scalar_names,
        "classes": features.classes,
        "unfoldings": {
            name: asdict(of.unfolding) if of.unfolding else None
            for name, of in features.gradients.items()
        },
    }
    with replacing(path) as temporary:
        # One entry, because safetensors writes several in no fixed order.
        save_file(tensors, temporary, {FORMAT: json.dumps(header, sort_keys=True)})


def load_features(path: Path) -> SnapshotFeatures:
    """Read what `save_features` wrote.

    Raises
    ------
    SnapshotError
        If the file is missing, damaged, or of another version.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except UNREADABLE as error:
        raise SnapshotError(f"features cannot be read from {path}: {error}") from error
    if FORMAT not in metadata or not tensors.keys() >= ARRAYS:
        raise SnapshotError(f"{path} does not hold {FORMAT}; delete it to extract them again")
    try:
        header = _HEADER.validate_json(metadata[FORMAT])
        _require_rows(tensors, header)
        return SnapshotFeatures(
            **{name: tensors[name] for name in ARRAYS},
            outputs=_below(_OUTPUTS, tensors),
            layers=header.layers,
            scalar_names=header.scalar_names,
            classes=header.classes,
            gradients={
                name: FactoredGradients(_parts(name, tensors), unfolding)
                for name, unfolding in header.unfoldings.items()
            },
        )
    except (ValueError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise SnapshotError(
            f"{path} does not hold {FORMAT} ({reason}); delete it to extract them again"
        ) from error


def stated_spec(path: Path) -> FeatureSpec | None:
    """Return what the features in a file were asked by; None where it is damaged or not stated."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
        return _HEADER.validate_json(metadata[FORMAT]).spec
    except UNREADABLE:
        return None


_OUTPUTS, _GRADIENTS = "outputs/", "gradients/"


@dataclass(frozen=True)
class _FileHeader:
    layers: tuple[str, ...]
    unfoldings: dict[str, Unfolding | None]
    scalar_names: tuple[str, ...]
    classes: int
    spec: FeatureSpec | None


_HEADER = TypeAdapter(_FileHeader)


def _require_rows(tensors: Mapping[str, NDArray[Any]], header: _FileHeader) -> None:
    """Raise `ValueError` unless the arrays have types, rows and columns that belong together."""
    count = tensors["records"].shape[:1]
    if count == () or any(values.shape[:1] != count for values in tensors.values()):
        raise ValueError("its arrays differ in their number of rows")
    floats = ARRAYS - {"records", "labels"}
    if tensors["records"].dtype != np.int64 or any(tensors[n].dtype != np.float32 for n in floats):
        raise ValueError("its arrays have other types than features")
    axes = dict.fromkeys(floats, 2) | {"records": 1, "losses": 1}
    if any(tensors[name].ndim != expected for name, expected in axes.items()):
        raise ValueError("its arrays have other axes than features")
    if header.classes and (tensors["labels"].dtype != np.int64 or tensors["labels"].ndim != 1):
        raise ValueError("its labels are no classes")
    wide = {name: tensors[name].shape[1] for name, expected in axes.items() if expected == 2}
    norms = {wide["gradient_norms"], wide["log_gradient_norms"]}
    if wide["scalars"] != len(header.scalar_names) or norms != {len(header.layers)}:
        raise ValueError("its arrays have other columns than it states")
    if wide["deltas"] and wide["logits"] not in (0, wide["deltas"]):
        raise ValueError("its logits are not as many as their gradients")


def _below(folder: str, tensors: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    return {name.removeprefix(folder): v for name, v in tensors.items() if name.startswith(folder)}


def _parts(layer: str, tensors: Mapping[str, FloatArray]) -> dict[str, torch.Tensor]:
    """Return what a file has of the gradients of a layer."""
    return {
        name.removesuffix(f"/{layer}"): torch.from_numpy(values)
        for name, values in _below(_GRADIENTS, tensors).items()
        if name.partition("/")[2] == layer
    }


def _tensors(features: SnapshotFeatures) -> dict[str, NDArray[np.generic]]:
    """Return all arrays by the names that they have in a file."""
    tensors = {name: getattr(features, name) for name in ARRAYS}
    tensors |= {f"{_OUTPUTS}{name}": values for name, values in features.outputs.items()}
    for name, of in features.gradients.items():
        tensors |= {f"{_GRADIENTS}{part}/{name}": v.numpy() for part, v in of.parts.items()}
    return tensors
