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

from fedsim.errors import ConfigError
from fedsim.training.clipping.base import Clipping, ClippingDoesNotApplyError
from fedsim.training.clipping.by_layer import LayerClipping
from fedsim.training.clipping.by_sample import SampleClipping
from fedsim.training.trainer import Batches

TRIED = 2
RELATIVE, ABSOLUTE = 1e-3, 1e-5


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
            if torch.allclose(found, torch.stack(truth), RELATIVE, ABSOLUTE):
                return way
    raise ConfigError(
        "federation.local.trainer dp-sgd: in a batch, the gradient of a record of this model is "
        "another one than alone; take a model that does not mix records (GroupNorm instead of "
        "BatchNorm), and an objective whose loss is a mean over records"
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
            yield
    finally:
        model.train()
