"""Features of each record on one parameter snapshot: the inputs of every white-box attack.

Features are extracted once per (snapshot, record) and written to a file; the epochs of an attack
only read them. The gradient of the last linear layer is the outer product of `deltas` and `hidden`
and is kept as that pair, never as a matrix (Nasr et al. 2019 feed it to a convolution, which is
exact on the pair: see `components`). Those of other layers are kept where they are asked for, as
`compact` describes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adversaries.inference.factored_gradients import FactoredGradients
from adversaries.inference.last_layer import scalar_names
from fedsim.objectives import Classification

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

SCALARS = scalar_names(Classification.scalars, last_layer=True)
"""The scalars of a snapshot of a classifier with a linear last layer, in the order of the columns:
log-odds of the label, margin, hidden norm, log gradient norm, true logit, others' log-sum-exp."""


ARRAYS = {
    "records", "labels", "losses", "logits", "hidden", "deltas", "scalars", "gradient_norms",
    "log_gradient_norms",
}  # fmt: skip
"""The attributes that are arrays with a row a record."""

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
            **{name: getattr(self, name)[index] for name in ARRAYS},
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
        arrays: list[NDArray[Any]] = [getattr(self, name) for name in ARRAYS]
        arrays += [*self.outputs.values()]
        arrays += [part.numpy() for of in self.gradients.values() for part in of.parts.values()]
        return sum(array.nbytes for array in arrays)
