"""Alignment of each record's gradient with the update of local training.

Near good parameters the gradients of an overparameterised network behave like independent
directions: an update is almost orthogonal to the gradient of a record that it was not made from
(Li, Li and Ribeiro, *Effective passive membership inference attacks in federated learning against
overparameterized models*, ICLR 2023). The attack needs no known members and trains nothing.

The inner product of a record's gradient with the update is the derivative of its loss along the
update. Where all layers have rules, one forward and backward pass gives the norms, and a product of
matrices a layer the inner product with each update (`layer_products`). Otherwise forward-mode
differentiation computes it for all records of a batch in one pass an update. No gradient is
materialised in either.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from adversaries.inference.extraction import BatchSource, extract
from adversaries.inference.layer_products import Directions, LayerProducts
from adversaries.inference.log_scalars import log_norm, log_total_norm
from adversaries.inference.model_layers import EXAMPLES, evaluating
from adversaries.inference.needed_features import needed_features
from fedsim.objectives import Objective
from fedsim.observation.needs import Needs

Floats = NDArray[np.float64]
_NORMS = needed_features(Needs(gradient_norms="all"))


@dataclass(frozen=True)
class Alignment:
    """Alignment of the gradients g of N records with an update D = before - after.

    Attributes
    ----------
    slope : (N,)
        ``<g, D> / s``, where s is the scale that the objective factors out (1 - p_y for a
        classifier), so that nothing underflows for confident predictions.
    log_scale : (N,)
        log s.
    log_norm : (N,)
        log |g|.
    update_norm
        |D|.
    """

    slope: Floats
    log_scale: Floats
    log_norm: Floats
    update_norm: float

    @property
    def cosine(self) -> Floats:
        """The cosine of each gradient with the update, (N,); 0 where either vanishes."""
        with np.errstate(over="ignore", invalid="ignore"):
            found = self.slope * np.exp(self.log_scale - self.log_norm) / self.update_norm
        return np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)

    @property
    def inner(self) -> Floats:
        """The inner product ``<g, D>`` of each gradient with the update, (N,)."""
        return self.slope * np.exp(self.log_scale)

    @property
    def difference(self) -> Floats:
        """``|D|^2 - |D - g|^2 = 2 <D, g> - |g|^2`` of each record, (N,)."""
        return 2 * self.inner - np.exp(2 * self.log_norm)


class _Columns(NamedTuple):
    slopes: list[Floats]
    log_scale: Floats
    log_norm: Floats


def alignments(
    model: nn.Module,
    before: Mapping[str, Tensor],
    afters: Sequence[Mapping[str, Tensor]],
    batch: BatchSource,
    records: NDArray[np.int64],
    objective: Objective,
) -> list[Alignment]:
    """Return how the gradients of records at `before` agree with each of several updates.

    Parameters
    ----------
    model
        A module that the parameters fit; it keeps those of `before`.
    before, afters
        The parameters before and after training, by name; entries that are not trainable
        parameters of the model are ignored.
    batch, records
        The source of the records, and their ids (N,).
    objective
        The training objective.
    """
    model.load_state_dict(before, strict=False)
    trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    updates = [{n: value - after[n].to(value) for n, value in trained.items()} for after in afters]
    found = _by_layer(model, updates, batch, records, objective)
    if found is None:
        found = _in_forward_mode(model, trained, updates, batch, records, objective)
    slopes, log_scale, log_norms = found
    return [
        Alignment(slope=along, log_scale=log_scale, log_norm=log_norms, update_norm=_norm(update))
        for update, along in zip(updates, slopes, strict=True)
    ]


def _by_layer(
    model: nn.Module,
    updates: Directions,
    batch: BatchSource,
    records: NDArray[np.int64],
    objective: Objective,
) -> _Columns | None:
    """Return the columns by the rules of the layers; None if one of them has none."""
    work, parts = LayerProducts(model, objective), []
    with evaluating(model):
        if not work.applies(*batch(records[:EXAMPLES])):
            return None
        for start in range(0, len(records), _NORMS.batch_size):
            inputs, targets = batch(records[start : start + _NORMS.batch_size])
            part = work.of_batch(inputs, targets, updates)
            if part is None:
                return None
            parts.append(part)
    norms = [
        torch.cat([getattr(p, name) for p in parts]).cpu().numpy()
        for name in ("norms", "log_norms")
    ]
    scales = torch.cat([part.fit.log_scale.double() for part in parts]).cpu()
    slopes = torch.cat([part.products for part in parts], 1).cpu()
    return _Columns([*slopes.numpy()], scales.numpy(), log_total_norm(*norms))


def _in_forward_mode(
    model: nn.Module,
    trained: dict[str, Tensor],
    updates: Sequence[dict[str, Tensor]],
    batch: BatchSource,
    records: NDArray[np.int64],
    objective: Objective,
) -> _Columns:
    """Return the columns of any model: a pass for each update."""
    slopes: list[list[Tensor]] = [[] for _ in updates]
    scales: list[Tensor] = []
    with evaluating(model), torch.no_grad(), _forward_mode(model):
        for start in range(0, len(records), _NORMS.batch_size):
            inputs, targets = batch(records[start : start + _NORMS.batch_size])

            def outputs(moving: dict[str, Tensor], inputs: Tensor = inputs) -> Tensor:
                found: Tensor = functional_call(model, moving, (inputs,))
                return found

            # Torch scripts the forward rules of a few operations when it first needs them.
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "`torch.jit.script`", FutureWarning)
                passes = [jvp(outputs, (trained,), (update,)) for update in updates]
            fit = objective.record_fit(passes[0][0], targets)  # the outputs are alike in all
            scales.append(fit.log_scale.double())
            for one, along in zip(passes, slopes, strict=True):
                along.append((fit.direction * one[1]).flatten(1).double().sum(1))
    norms = log_norm(extract(model, batch, records, _NORMS, objective=objective))
    return _Columns(
        [torch.cat(along).cpu().numpy() for along in slopes],
        torch.cat(scales).cpu().numpy(),
        norms.astype(np.float64),
    )


@contextmanager
def _forward_mode(model: nn.Module) -> Iterator[None]:
    """Use kernels that support forward mode; fused attention and oneDNN's LSTM do not."""
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    with sdpa_kernel(SDPBackend.MATH), ExitStack() as kernels:
        if recurrent:
            # torch warns about TF32 on Intel GPUs on every machine, whatever is set.
            kernels.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", "TF32 acceleration on top of oneDNN", UserWarning)
            kernels.enter_context(torch.backends.mkldnn.flags(enabled=False))
        yield


def _norm(update: Mapping[str, Tensor]) -> float:
    squares = [part.double().square().sum() for part in update.values()]
    return float(torch.stack(squares).sum().sqrt())
