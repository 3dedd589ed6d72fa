"""Linear layers: at one place a record, or at several (tokens, the patches of a convolution).

At one place a record's gradient is the outer product of two vectors, and its norm the product of
theirs (Goodfellow, "Efficient per-example gradient computations", 2015). At T places the norm is
found from T x T inner products (the ghost norm: Li, Tramer, Liang and Hashimoto, ICLR 2022; Bu, Mao
and Xu, NeurIPS 2022), or from the gradient itself where that is fewer multiplications.
"""

import torch
from torch import Tensor, nn

from fedsim.training.clipping.record_gradients import RecordGradients, record_gradients


@record_gradients.register
def _(layer: nn.Linear, inputs: Tensor, deltas: Tensor) -> RecordGradients:
    count = len(inputs)
    return Products(
        layer,
        inputs.reshape(count, -1, layer.in_features).to(deltas.dtype),
        deltas.reshape(count, -1, layer.out_features),
    )


class Products(RecordGradients):
    """Sums over places of outer products of an input and a delta.

    Parameters
    ----------
    layer
        With ``weight``, and ``bias`` or None.
    inputs, deltas
        Shapes (n, places, features in) and (n, places, features out).
    """

    def __init__(self, layer: nn.Module, inputs: Tensor, deltas: Tensor) -> None:
        self.layer, self.inputs, self.deltas = layer, inputs, deltas

    def squared_norms(self) -> Tensor:
        """Return the squared norms, shape (n,)."""
        total = self.deltas.new_zeros(len(self.deltas))
        if self._trains("weight"):
            total += self._of_weight()
        if self._trains("bias"):
            total += _squares(self.deltas.sum(1))
        return total

    def weighted_sum(self, weights: Tensor) -> dict[str, Tensor]:
        """Return the sums: one product of matrices, as without clipping."""
        weighted = (self.deltas * weights[:, None, None]).flatten(0, 1)
        found = {}
        if self._trains("weight"):
            whole = weighted.T @ self.inputs.flatten(0, 1)
            found["weight"] = whole.view_as(self.layer.get_parameter("weight"))
        if self._trains("bias"):
            found["bias"] = weighted.sum(0)
        return found

    def _of_weight(self) -> Tensor:
        places = self.inputs.shape[1]
        if places == 1:
            return _squares(self.inputs[:, 0]) * _squares(self.deltas[:, 0])
        if is_ghost_cheaper(places, self.inputs.shape[2], self.deltas.shape[2]):
            alike = (self.inputs @ self.inputs.mT) * (self.deltas @ self.deltas.mT)
            return alike.sum((1, 2)).clamp(min=0)  # rounding may leave less than 0
        return _squares((self.deltas.mT @ self.inputs).flatten(1))

    def _trains(self, name: str) -> bool:
        parameter = getattr(self.layer, name)
        return parameter is not None and bool(parameter.requires_grad)


def is_ghost_cheaper(places: int, inputs: int, outputs: int) -> bool:
    """Return whether inner products between places are fewer multiplications than the gradient."""
    return places * (inputs + outputs) <= inputs * outputs


def _squares(rows: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1)
    return norms.square()
