"""Embeddings: the gradient of a token's row is the sum of the deltas where the token stands."""

import torch
from torch import Tensor, nn

from adversaries.inference.gradient_rules.base import (
    RuleDoesNotApplyError,
    gradients,
    squared_norms,
)

_FLOATS_A_PASS = 2**24


@gradients.register
def _(layer: nn.Embedding, inputs: Tensor, deltas: Tensor) -> dict[str, Tensor]:
    tokens, deltas = by_position(layer, inputs, deltas)
    rows = deltas.new_zeros(len(tokens), *layer.weight.shape)
    return {"weight": rows.scatter_add_(1, tokens[..., None].expand_as(deltas), deltas)}


@squared_norms.register
def _(layer: nn.Embedding, inputs: Tensor, deltas: Tensor) -> Tensor:
    """Return sums of delta_p delta_q over all positions p and q of the same token."""
    tokens, deltas = by_position(layer, inputs, deltas)
    positions = tokens.shape[1]
    records = max(1, _FLOATS_A_PASS // max(positions * positions, 1))
    parts = []
    for start in range(0, len(tokens), records):
        those, of = tokens[start : start + records], deltas[start : start + records]
        same = those[:, :, None] == those[:, None, :]
        parts.append(((of @ of.mT) * same).sum((1, 2)).clamp(min=0))
    return torch.cat(parts)


def by_position(layer: nn.Embedding, inputs: Tensor, deltas: Tensor) -> tuple[Tensor, Tensor]:
    """Return tokens (N, P) and their deltas (N, P, width), zero for the padding token."""
    if layer.max_norm is not None or layer.scale_grad_by_freq:
        raise RuleDoesNotApplyError("an Embedding with max_norm or scale_grad_by_freq has no rule")
    tokens = inputs.reshape(len(inputs), -1)
    deltas = deltas.reshape(*tokens.shape, -1)
    if layer.padding_idx is not None:
        deltas = deltas.masked_fill((tokens == layer.padding_idx)[..., None], 0.0)
    return tokens, deltas
