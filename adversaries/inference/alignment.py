"""Alignment of each record's gradient with the update of local training.

Near good parameters the gradients of an overparameterised network behave like independent
directions: an update is almost orthogonal to the gradient of a record that it was not made from
(Li, Li and Ribeiro, *Effective passive membership inference attacks in federated learning against
overparameterized models*, ICLR 2023). The attack needs no known members and trains nothing.

The inner product of a record's gradient with the update is the derivative of its loss along the
update. Forward-mode differentiation computes it for all records of a batch in one pass, without
materialising a gradient; only the norm of the gradient takes a backward pass.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from adversaries.inference.extraction import BatchSource, extract
from adversaries.inference.log_scalars import log_norm
from adversaries.inference.model_layers import evaluating
from adversaries.inference.needed_features import needed_features
from fedsim.objectives import Objective
from fedsim.observation.needs import Needs

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

    slope: NDArray[np.float64]
    log_scale: NDArray[np.float64]
    log_norm: NDArray[np.float64]
    update_norm: float

    @property
    def cosine(self) -> NDArray[np.float64]:
        """The cosine of each gradient with the update, (N,); 0 where either vanishes."""
        with np.errstate(over="ignore", invalid="ignore"):
            found = self.slope * np.exp(self.log_scale - self.log_norm) / self.update_norm
        return np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)

    @property
    def inner(self) -> NDArray[np.float64]:
        """The inner product ``<g, D>`` of each gradient with the update, (N,)."""
        return self.slope * np.exp(self.log_scale)

    @property
    def difference(self) -> NDArray[np.float64]:
        """``|D|^2 - |D - g|^2 = 2 <D, g> - |g|^2`` of each record, (N,)."""
        return 2 * self.inner - np.exp(2 * self.log_norm)


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
    return [
        Alignment(
            slope=torch.cat(along).numpy(),
            log_scale=torch.cat(scales).numpy(),
            log_norm=norms.astype(np.float64),
            update_norm=_norm(update),
        )
        for update, along in zip(updates, slopes, strict=True)
    ]


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
