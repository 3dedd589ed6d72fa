"""What one parameter snapshot says about each record: the input of every white-box attack.

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
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from adversaries.inference.conv_unfold import Unfolding
from adversaries.inference.factored_gradients import FactoredGradients
from fedsim.errors import FedsimError, SnapshotError
from fedsim.files import replacing

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

SCALARS = (
    "log-odds of the label",  # log p_y - log(1 - p_y)
    "margin",  # true logit minus the best other
    "hidden norm",  # norm of the last layer's input
    "log gradient norm",  # of the last layer's weight and bias
    "true logit",
    "others' log-sum-exp",  # of the other logits
)
"""The scalars of every snapshot, in the order of the columns of `SnapshotFeatures.scalars`."""

FORMAT = "fedsim-features-2"
"""The version of what is extracted and of how it is written. It is part of a file's name, so files
of another version are never read: raise it whenever the same model would give other features."""


@dataclass(frozen=True)
class FeatureSpec:
    """Which features of a snapshot are wanted, and how they are computed.

    Attributes
    ----------
    last_layer
        Name of the linear layer whose output is the model's logits; None finds it.
    outputs
        Names of further modules whose outputs are kept, flattened (hidden layers).
    gradient_norms
        Names of the layers whose per-record gradient norm is kept, or "all" trainable ones. Empty
        needs no backward pass at all.
    gradients
        Names of layers, beside the last one, whose per-record weight gradients are kept.
    precision
        Arithmetic of the forward and backward pass. The last layer is always computed in the
        model's own precision, from its input.
    batch_size
        Records a pass.
    """

    last_layer: str | None = None
    outputs: tuple[str, ...] = ()
    gradient_norms: tuple[str, ...] | Literal["all"] = "all"
    gradients: tuple[str, ...] = ()
    precision: Literal["fp32", "bf16"] = "fp32"
    batch_size: int = 250

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise FedsimError(f"the feature batch size must be at least 1, not {self.batch_size}")


@dataclass(frozen=True)
class SnapshotFeatures:
    """The features of N records on one snapshot, C classes, last layer's input of width H.

    Attributes
    ----------
    records : (N,) int64
        Ids of the records; the same in every snapshot of one observation.
    labels : (N,) int64
    losses : (N,)
        Cross-entropy of each record.
    logits : (N, C)
    hidden : (N, H)
        The last layer's input, a.
    deltas : (N, C)
        Gradient of the loss with respect to the logits; the last layer's weight gradient is the
        outer product of `deltas` and `hidden`.
    scalars : (N, 6)
        See `SCALARS`.
    gradient_norms : (N, L)
        Norm of the gradient of each layer of `layers`.
    outputs
        Flattened outputs (N, D) of further modules, by name.
    layers
        The names of the L layers.
    gradients
        Weight gradients of N records, by layer.
    """

    records: IntArray
    labels: IntArray
    losses: FloatArray
    logits: FloatArray
    hidden: FloatArray
    deltas: FloatArray
    scalars: FloatArray
    gradient_norms: FloatArray
    outputs: Mapping[str, FloatArray] = field(default_factory=dict)
    layers: tuple[str, ...] = ()
    gradients: Mapping[str, FactoredGradients] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.records)

    def take(self, index: NDArray[np.intp]) -> "SnapshotFeatures":
        """Return the features of the records at these positions."""
        return SnapshotFeatures(
            **{name: getattr(self, name)[index] for name in _ARRAYS},
            outputs={name: values[index] for name, values in self.outputs.items()},
            layers=self.layers,
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

    def save(self, path: Path) -> None:
        """Write one safetensors file, all or nothing; the same features give the same bytes."""
        tensors = {name: np.ascontiguousarray(values) for name, values in self._tensors().items()}
        header = {
            "layers": self.layers,
            "unfoldings": {
                name: asdict(of.unfolding) if of.unfolding else None
                for name, of in self.gradients.items()
            },
        }
        with replacing(path) as temporary:
            # One entry, because safetensors writes several in an order of the day.
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
            _require_rows(tensors, len(header.layers))
            return cls(
                **{name: tensors[name] for name in _ARRAYS},
                outputs=_below(_OUTPUTS, tensors),
                layers=header.layers,
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


_ARRAYS = {
    "records", "labels", "losses", "logits", "hidden", "deltas", "scalars", "gradient_norms",
}  # fmt: skip
_OUTPUTS, _GRADIENTS = "outputs/", "gradients/"


@dataclass(frozen=True)
class _Header:
    layers: tuple[str, ...]
    unfoldings: dict[str, Unfolding | None]


_HEADER = TypeAdapter(_Header)


def _require_rows(tensors: Mapping[str, NDArray[Any]], layers: int) -> None:
    """Raise `ValueError` unless the arrays have types, rows and columns that belong together."""
    count = tensors["records"].shape[:1]
    if count == () or any(values.shape[:1] != count for values in tensors.values()):
        raise ValueError("its arrays have not the same number of rows")
    kinds = {name: np.int64 if name in ("records", "labels") else np.float32 for name in _ARRAYS}
    if any(tensors[name].dtype != kind for name, kind in kinds.items()):
        raise ValueError("its arrays have not the types of features")
    axes = {name: 1 if name in ("records", "labels", "losses") else 2 for name in _ARRAYS}
    if any(tensors[name].ndim != expected for name, expected in axes.items()):
        raise ValueError("its arrays have not the axes of features")
    wide = {name: tensors[name].shape[1] for name, expected in axes.items() if expected == 2}
    # Where nothing but the scalars was wanted, no norm was computed.
    if wide["scalars"] != len(SCALARS) or wide["gradient_norms"] != layers:
        raise ValueError("its arrays have not the columns that it states")
    if wide["logits"] != wide["deltas"]:
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
