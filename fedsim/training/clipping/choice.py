"""Which way a model's gradients are clipped: by layer where that is exact, else by sample.

A way is not taken at its word. On two records, its norms are held against those of each record
alone, from autograd: where a weight is used without calling its layer, a record is not on the first
axis, or records of a batch are mixed, they differ.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from fedsim.errors import ConfigError, listed
from fedsim.training.clipping.base import Clipping, ClippingDoesNotApplyError
from fedsim.training.clipping.by_layer import LayerClipping
from fedsim.training.clipping.by_sample import SampleClipping
from fedsim.training.clipping.record_gradients import has_rule
from fedsim.training.trainer import Batches

TRIED = 2
RELATIVE, ABSOLUTE = 1e-3, 1e-5
DPS_OWN = {
    "LSTM": "DPLSTM",
    "GRU": "DPGRU",
    "RNN": "DPRNN",
    "MultiheadAttention": "DPMultiheadAttention",
}
"""What Opacus has in the place of layers of PyTorch's that compute in one piece."""


def choose_clipping(model: nn.Module, batches: Batches) -> type[Clipping]:
    """Return the way whose norms are right on the first records of a participant.

    Parameters
    ----------
    model
        Left as it was; it draws nothing.
    batches
        Whose records and objective are tried.

    Raises
    ------
    ConfigError
        If no way is: then a record of this model has no gradient of its own.
    """
    with _deterministic(model):
        truth = [_norm_alone(model, batches, record) for record in range(_tried(batches))]
        for way in (LayerClipping, SampleClipping):
            try:
                found = _norms_together(way, model, batches)
            except ClippingDoesNotApplyError:
                continue
            except Exception as error:  # Opacus fails in any way on a layer that it cannot follow
                raise _not_followed(model, error) from error
            if torch.allclose(found, torch.stack(truth), RELATIVE, ABSOLUTE):
                return way
    raise ConfigError(
        "federation.local.trainer dp-sgd: in a batch, the gradient of a record of this model is "
        "another one than alone; take a model that does not mix records (GroupNorm instead of "
        "BatchNorm), and an objective whose loss is a mean over records"
    )


def _not_followed(model: nn.Module, error: Exception) -> Exception:
    """Return a sentence that names the layers that may be why; without any, the error itself."""
    strange = {
        name: type(layer).__name__
        for name, layer in model.named_modules()
        if any(True for _ in layer.parameters(recurse=False)) and not has_rule(layer)
    }
    if not strange:
        return error
    named = listed(f"{name} ({kind})" for name, kind in strange.items())
    known = [f"opacus.layers.{DPS_OWN[one]}" for one in strange.values() if one in DPS_OWN]
    instead = f"{listed(set(known))}, with the same parameters" if known else "other layers"
    return ConfigError(
        f"federation.local.trainer dp-sgd: Opacus cannot follow the gradient of a record through "
        f"{named}; build the model with {instead}, or take another trainer"
    )


def _tried(batches: Batches) -> int:
    return min(TRIED, len(batches.records))


def _norm_alone(model: nn.Module, batches: Batches, record: int) -> Tensor:
    """Return the norm of a record's gradient, from autograd."""
    loss = _loss(model, batches, slice(record, record + 1))
    trained = [p for p in model.parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, trained, allow_unused=True)
    squares = [value.square().sum() for value in found if value is not None]
    return torch.stack(squares).sum().sqrt()


def _norms_together(way: type[Clipping], model: nn.Module, batches: Batches) -> Tensor:
    with way(model) as clipping:
        loss = _loss(model, batches, slice(_tried(batches)))
        squares = clipping.squared_norms(loss, _tried(batches))
        return squares.detach().sqrt()


def _loss(model: nn.Module, batches: Batches, which: slice) -> Tensor:
    inputs, targets = batches.of(batches.records[which])
    return batches.objective.mean_loss(model(inputs), targets)


@contextmanager
def _deterministic(model: nn.Module) -> Iterator[None]:
    """Draw nothing, as dropout would; layers with parameters are in training, as Opacus asks."""
    model.eval()
    for layer in model.modules():
        if any(True for _ in layer.parameters(recurse=False)):
            layer.training = True
    try:
        with torch.backends.cudnn.flags(enabled=False), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Full backward hook is firing", UserWarning)
            # Of layers that Opacus cannot follow anyhow.
            warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
            yield
    finally:
        model.train()
