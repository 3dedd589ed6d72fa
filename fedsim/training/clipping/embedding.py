"""Embeddings: no table of the vocabulary's size is written down for a record.

Two places of a record meet in its gradient where they have the same token: the squared norm is the
sum of the inner products of their deltas.
"""

import torch
from torch import Tensor, nn

from fedsim.training.clipping.record_gradients import (
    RecordGradients,
    WrittenDown,
    record_gradients,
)


@record_gradients.register
def _(layer: nn.Embedding, inputs: Tensor, deltas: Tensor) -> RecordGradients:
    if layer.scale_grad_by_freq or layer.sparse or layer.max_norm is not None:
        return WrittenDown.by_opacus(layer, inputs, deltas)
    tokens = inputs.flatten(1)
    deltas = deltas.reshape(*tokens.shape, layer.embedding_dim)
    if layer.padding_idx is not None:
        deltas = deltas * (tokens != layer.padding_idx).unsqueeze(-1)
    return _Rows(layer.weight, tokens, deltas)


class _Rows(RecordGradients):
    """Deltas that are added to rows of a table."""

    def __init__(self, weight: Tensor, tokens: Tensor, deltas: Tensor) -> None:
        self.weight, self.tokens, self.deltas = weight, tokens, deltas

    def squared_norms(self) -> Tensor:
        """Return the squared norms, shape (n,)."""
        same = self.tokens.unsqueeze(1) == self.tokens.unsqueeze(2)
        return ((self.deltas @ self.deltas.mT) * same).sum((1, 2)).clamp(min=0)

    def weighted_sum(self, weights: Tensor) -> dict[str, Tensor]:
        """Return the sum."""
        weighted = (self.deltas * weights[:, None, None]).flatten(0, 1)
        total = torch.zeros_like(self.weight, requires_grad=False)
        return {"weight": total.index_add_(0, self.tokens.flatten(), weighted)}
