"""Features of each record on one parameter snapshot: the inputs of every white-box attack.

Features are extracted once per (snapshot, record) and written to a file; the epochs of an attack
only read them. The gradient of the last linear layer is the outer product of `deltas` and `hidden`
and is kept as that pair, never as a matrix (Nasr et al. 2019 feed it to a convolution, which is
exact on the pair: see `components`). Those of other layers are kept where they are asked for, as
`compact` describes.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
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
from adversaries.inference.last_layer import scalar_names
from fedsim.errors import SnapshotError
from fedsim.files import replacing
from fedsim.objectives import Classification

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

SCALARS = scalar_names(Classification.scalars, last_layer=True)
"""The scalars of a snapshot of a classifier with a linear last layer, in the order of the columns:
log-odds of the label, margin, hidden norm, log gradient norm, true logit, others' log-sum-exp."""

FORMAT = "fedsim-features-3"
"""The version of the extraction and of the file format. It is part of each file's name, so files of
another version are never read: increment it when the same model would give other features."""


_NOT_GIVEN = np.empty((0, 0), dtype=np.float32)


@dataclass(frozen=True)
class SnapshotFeatures:
    """The features of N records on one snapshot; features that were not requested have no column.

    Attributes
    ----------
    records : (N,) int64
        Ids of the records; the same in every snapshot of one observation.
    labels : (N,) int64, or as the objective's targets are
    losses : (N,)
        The objective's loss of each record.
    logits : (N, C)
        The model's output, flattened.
    hidden : (N, H)
        The last layer's input, a.
    deltas : (N, C)
        Gradient of the loss with respect to the last layer's output; its weight gradient is the
        outer product of `deltas` and `hidden`.
    scalars : (N, S)
        See `scalar_names`.
    gradient_norms : (N, L)
        Norm of the gradient of each layer of `layers`. A parameter that several layers share counts
        once, in the first of them.
    outputs
        Flattened outputs (N, D) of further modules, by name.
    layers
        The names of the L layers.
    gradients
        Weight gradients of N records, by layer.
    scalar_names
        The names of the S scalars.
    log_gradient_norms : (N, L)
        Logarithms of the norms, which do not underflow; minus infinity where a norm is 0.
    classes
        How many classes there are; 0 where the objective is no classification.
    """

    records: IntArray
    labels: NDArray[Any]
    losses: FloatArray
    logits: FloatArray
    hidden: FloatArray
    deltas: FloatArray
    scalars: FloatArray
    gradient_norms: FloatArray
    outputs: Mapping[str, FloatArray] = field(default_factory=dict)
    layers: tuple[str, ...] = ()
    gradients: Mapping[str, FactoredGradients] = field(default_factory=dict)
    scalar_names: tuple[str, ...] = SCALARS
    log_gradient_norms: FloatArray = field(default_factory=lambda: _NOT_GIVEN)
    classes: int = -1

    def __post_init__(self) -> None:
        if self.log_gradient_norms is _NOT_GIVEN:
            with np.errstate(divide="ignore"):
                object.__setattr__(self, "log_gradient_norms", np.log(self.gradient_norms))
        if self.classes < 0:
            object.__setattr__(self, "classes", self.logits.shape[1])

    def __len__(self) -> int:
        return len(self.records)

    def scalar(self, name: str) -> FloatArray:
        """Return one column (N,) of the scalars."""
        column: FloatArray = self.scalars[:, self.scalar_names.index(name)]
        return column

    def take(self, index: NDArray[np.intp]) -> "SnapshotFeatures":
        """Return the features of the records at these positions."""
        return SnapshotFeatures(
            **{name: getattr(self, name)[index] for name in _ARRAYS},
            outputs={name: values[index] for name, values in self.outputs.items()},
            layers=self.layers,
            scalar_names=self.scalar_names,
            classes=self.classes,
            gradients={
                name: FactoredGradients({k: v[index] for k, v in of.parts.items()}, of.unfolding)
                for name, of in self.gradients.items()
            },
        )

    @property
    def nbytes(self) -> int:
        """How much memory they take."""
        return sum(array.nbytes for array in self._tensors().values())

    def _tensors(self) -> dict[str, NDArray[np.generic]]:
        """Return all arrays by the names that they have in a file."""
        tensors = {name: getattr(self, name) for name in _ARRAYS}
        tensors |= {f"{_OUTPUTS}{name}": values for name, values in self.outputs.items()}
        for name, of in self.gradients.items():
            tensors |= {f"{_GRADIENTS}{part}/{name}": v.numpy() for part, v in of.parts.items()}
        return tensors

    def save(self, path: Path, spec: FeatureSpec | None = None) -> None:
        """Write one safetensors file, all or nothing; the same features give the same bytes.

        With `spec`, what they were asked by, `stated_spec` reads it back.
        """
        tensors = {name: np.ascontiguousarray(values) for name, values in self._tensors().items()}
        header = {
            "spec": asdict(spec) if spec else None,
            "layers": self.layers,
            "scalar_names": self.scalar_names,
            "classes": self.classes,
            "unfoldings": {
                name: asdict(of.unfolding) if of.unfolding else None
                for name, of in self.gradients.items()
            },
        }
        with replacing(path) as temporary:
            # One entry, because safetensors writes several in no fixed order.
            save_file(tensors, temporary, {FORMAT: json.dumps(header, sort_keys=True)})

    @classmethod
    def load(cls, path: Path) -> "SnapshotFeatures":
        """Read what `save` wrote.

        Raises
        ------
        SnapshotError
            If the file is missing, damaged, or of another version.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, ValueError, LookupError, AttributeError) as error:
            raise SnapshotError(f"features cannot be read from {path}: {error}") from error
        if FORMAT not in metadata or not tensors.keys() >= _ARRAYS:
            raise SnapshotError(f"{path} does not hold {FORMAT}; delete it to extract them again")
        try:
            header = _HEADER.validate_json(metadata[FORMAT])
            _require_rows(tensors, header)
            return cls(
                **{name: tensors[name] for name in _ARRAYS},
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
    except (OSError, SafetensorError, ValueError, LookupError, AttributeError):
        return None


_ARRAYS = {
    "records", "labels", "losses", "logits", "hidden", "deltas", "scalars", "gradient_norms",
    "log_gradient_norms",
}  # fmt: skip
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
        raise ValueError("its arrays have not the same number of rows")
    floats = _ARRAYS - {"records", "labels"}
    if tensors["records"].dtype != np.int64 or any(tensors[n].dtype != np.float32 for n in floats):
        raise ValueError("its arrays have not the types of features")
    axes = dict.fromkeys(floats, 2) | {"records": 1, "losses": 1}
    if any(tensors[name].ndim != expected for name, expected in axes.items()):
        raise ValueError("its arrays have not the axes of features")
    if header.classes and (tensors["labels"].dtype != np.int64 or tensors["labels"].ndim != 1):
        raise ValueError("its labels are no classes")
    wide = {name: tensors[name].shape[1] for name, expected in axes.items() if expected == 2}
    norms = {wide["gradient_norms"], wide["log_gradient_norms"]}
    if wide["scalars"] != len(header.scalar_names) or norms != {len(header.layers)}:
        raise ValueError("its arrays have not the columns that it states")
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
