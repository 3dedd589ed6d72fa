"""What one parameter snapshot says about each record: the input of every white-box attack.

Features are extracted once per (snapshot, record) and written to a file; the epochs of an attack
only read them. The gradient of the last linear layer is the outer product of `deltas` and `hidden`
and is kept as that pair, never as a matrix (Nasr et al. 2019 feed it to a convolution, which is
exact on the pair: see `network`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

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

_FORMAT = "fedsim-features-1"


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
    precision
        Arithmetic of the forward and backward pass. The last layer is always computed in the
        model's own precision, from its input.
    batch_size
        Records a pass.
    """

    last_layer: str | None = None
    outputs: tuple[str, ...] = ()
    gradient_norms: tuple[str, ...] | Literal["all"] = "all"
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

    def __len__(self) -> int:
        return len(self.records)

    def take(self, index: NDArray[np.intp]) -> "SnapshotFeatures":
        """Return the features of the records at these positions."""
        return SnapshotFeatures(
            **{name: getattr(self, name)[index] for name in _ARRAYS},
            outputs={name: values[index] for name, values in self.outputs.items()},
            layers=self.layers,
        )

    def save(self, path: Path) -> None:
        """Write one safetensors file, all or nothing."""
        tensors = {name: getattr(self, name) for name in _ARRAYS}
        tensors |= {f"{_OUTPUTS}{name}": values for name, values in self.outputs.items()}
        tensors = {name: np.ascontiguousarray(values) for name, values in tensors.items()}
        with replacing(path) as temporary:
            save_file(tensors, temporary, {"format": _FORMAT, "layers": json.dumps(self.layers)})

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
        except (OSError, SafetensorError) as error:
            raise SnapshotError(f"features cannot be read from {path}: {error}") from error
        if metadata.get("format") != _FORMAT or not tensors.keys() >= _ARRAYS:
            raise SnapshotError(f"{path} does not hold {_FORMAT}; delete it to extract them again")
        return cls(
            **{name: tensors.pop(name) for name in _ARRAYS},
            outputs={name.removeprefix(_OUTPUTS): values for name, values in tensors.items()},
            layers=tuple(json.loads(metadata["layers"])),
        )


_ARRAYS = {
    "records", "labels", "losses", "logits", "hidden", "deltas", "scalars", "gradient_norms",
}  # fmt: skip
_OUTPUTS = "outputs/"
