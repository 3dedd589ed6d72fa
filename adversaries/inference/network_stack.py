"""Several attack networks trained as one: the same layers, with a dimension of networks before all.

The networks of a query (its folds, repeats and attack seeds) are small and alike. One after the
other they spend their time on calls of operations on a few thousand numbers; a stack of them makes
one call for all. Nothing goes from one network to another: each has its own initial parameters,
batches, dropout and gradients, so a stack gives what training them one by one gives, but for
rounding.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from adversaries.inference.inputs import Inputs
from adversaries.inference.network import MembershipNetwork
from adversaries.inference.network_layers import Dropout


def stacked_network(
    networks: Sequence[MembershipNetwork], generators: Sequence[torch.Generator]
) -> MembershipNetwork:
    """Return K networks as one, from `Inputs` with K first to logits (K, N).

    Parameters
    ----------
    networks
        Built alike. The first becomes the stack, so that there is never more than one copy.
    generators
        What each draws its dropout from.
    """
    stack = networks[0]
    for name, module in stack.named_modules():
        alike = [network.get_submodule(name) for network in networks]
        for own in dict(module.named_parameters(recurse=False)):
            values = torch.stack([getattr(one, own).detach() for one in alike])
            setattr(module, own, nn.Parameter(values))
        if isinstance(module, Dropout):
            module.generators = generators
    return stack


def inputs_side_by_side(several: Sequence[Inputs]) -> Inputs:
    """Return what K networks read as one, (K, T, N, ...), with N the most records of any.

    What is beyond the records of one that has fewer is zero.
    """
    most = max(map(len, several))
    parts = zip(*(one.parts for one in several), strict=True)
    return several[0].replaced(
        torch.stack([_lengthened(values, most) for values in part]) for part in parts
    )


def taken_by_each(inputs: Inputs, index: Tensor) -> Inputs:
    """Return of each of K networks' records those at its positions (K, B)."""
    places = index.to(inputs.device)
    return inputs.replaced(_taken(part, places) for part in inputs.parts)


def _lengthened(values: Tensor, records: int) -> Tensor:
    missing = records - values.shape[1]
    if not missing:
        return values
    return torch.cat([values, values.new_zeros(len(values), missing, *values.shape[2:])], 1)


def _taken(values: Tensor, index: Tensor) -> Tensor:
    """Return (K, T, B, ...) of (K, T, N, ...): rows, in one copy."""
    networks, snapshots, records = values.shape[:3]
    if not values.numel():
        return values.new_empty(networks, snapshots, index.shape[1], *values.shape[3:])
    firsts = torch.arange(networks * snapshots, device=values.device)
    firsts = firsts.reshape(networks, snapshots, 1) * records
    rows = values.flatten(0, 2).index_select(0, (firsts + index[:, None]).flatten())
    return rows.reshape(networks, snapshots, index.shape[1], *values.shape[3:])
