"""Extracting the features of records from a model that holds one snapshot's parameters.

Members that a model is sure of have probabilities so close to one that ``softmax - onehot`` has
no correct digit left in single precision. Here everything follows from the other classes'
logits alone, so the loss, the last layer's gradient and every gradient norm keep full relative
precision.

Without gradient norms, one forward pass without autograd is all that is needed: the last layer's
gradient is known in closed form. Every layer's norm costs one backward pass more.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adversaries.inference.features import FeatureSpec, IntArray, SnapshotFeatures
from adversaries.inference.gradients import (
    backpropagate,
    evaluating,
    squared_norms,
    trainable_layers,
)
from fedsim.errors import FedsimError, listed

Batch = Callable[[IntArray], tuple[Tensor, Tensor]]
"""Gives the inputs and the labels of records by their ids, as a data set's ``batch`` does."""


def extract(
    model: nn.Module,
    batch: Batch,
    records: IntArray,
    spec: FeatureSpec,
    progress: Callable[[int], None] | None = None,
) -> SnapshotFeatures:
    """Compute the features of records on a model holding one snapshot's parameters.

    Parameters
    ----------
    model
        Any classifier whose logits come from a linear layer. Its mode and the ``.grad`` of its
        parameters are left as they were.
    batch
        Where the records come from; asked for `spec.batch_size` of them at a time.
    records
        (N,) ids.
    spec
        Which features, and how.
    progress
        Called with the number of records done after every batch.

    Raises
    ------
    FedsimError
        If a layer is missing, has no gradient rule, or does not give the model's logits; if a
        label lies outside the classes; or if a logit is not finite.
    """
    if len(records) == 0:
        raise FedsimError("features were asked for no record at all; at least one is needed")
    plan = _Plan.of(model, spec)
    parts: list[dict[str, Tensor]] = []
    with evaluating(model):
        for start in range(0, len(records), spec.batch_size):
            inputs, labels = batch(records[start : start + spec.batch_size])
            parts.append(_batch_features(model, inputs, labels, plan, spec))
            if progress is not None:
                progress(start + len(labels))
    whole = {name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]}
    return SnapshotFeatures(
        records=np.asarray(records, dtype=np.int64),
        outputs={name: whole.pop(_output_key(name)) for name in spec.outputs},
        layers=tuple(plan.normed),
        **whole,
    )


@dataclass(frozen=True)
class _Plan:
    """The modules that `FeatureSpec` names: the last layer, and those with norms and outputs."""

    last_name: str
    last: nn.Linear
    normed: Mapping[str, nn.Module]
    outputs: Mapping[str, nn.Module]

    @classmethod
    def of(cls, model: nn.Module, spec: FeatureSpec) -> "_Plan":
        modules = dict(model.named_modules())
        linear = [name for name, module in modules.items() if isinstance(module, nn.Linear)]
        if not linear:
            raise FedsimError(
                f"the model {type(model).__name__} has no Linear layer that could give its logits"
            )
        last_name = spec.last_layer or linear[-1]
        all_norms = spec.gradient_norms == "all"
        wanted = [last_name, *spec.outputs, *(() if all_norms else spec.gradient_norms)]
        unknown = [name for name in wanted if name not in modules]
        if unknown:
            raise FedsimError(
                f"the model has no layer named {listed(unknown)}; "
                f"it has {listed(filter(None, modules))}"
            )
        last = modules[last_name]
        if not isinstance(last, nn.Linear):
            raise FedsimError(
                f"the last layer must be Linear, but '{last_name}' is a {type(last).__name__}; "
                f"the linear layers are {listed(linear)}"
            )
        normed = (
            trainable_layers(model)
            if all_norms
            else {name: modules[name] for name in spec.gradient_norms}
        )
        return cls(last_name, last, normed, {name: modules[name] for name in spec.outputs})


def _batch_features(
    model: nn.Module, inputs: Tensor, labels: Tensor, plan: _Plan, spec: FeatureSpec
) -> dict[str, Tensor]:
    """Return the features of one batch, by the names of `SnapshotFeatures`."""
    half = spec.precision == "bf16"
    # Entered for each batch: autocast keeps copies of the weights as long as its block lasts.
    autocast = torch.autocast(inputs.device.type, torch.bfloat16, enabled=half)
    with _recorded(plan) as seen, autocast:
        if plan.normed:
            returned, traces = backpropagate(
                model, inputs, plan.normed, lambda logits: _direction(logits, labels)
            )
        else:
            with torch.no_grad():
                returned, traces = model(inputs), {}
    if _LOGITS not in seen or not torch.equal(seen[_LOGITS], returned):
        raise FedsimError(
            f"layer '{plan.last_name}' does not give the model's output: name the linear layer "
            "that does, and let the model return its logits with nothing behind them"
        )
    hidden, logits = seen[_HIDDEN], seen[_LOGITS]
    if half:
        hidden = hidden.to(plan.last.weight.dtype)
        logits = F.linear(hidden, plan.last.weight, plan.last.bias).detach()
    _check(logits, labels)
    direction, log_scale = last_layer_gradient(logits, labels)
    norms = [
        squared_norms(
            plan.normed[name], trace.inputs.to(hidden.dtype), trace.deltas.to(hidden.dtype)
        )
        for name, trace in traces.items()
    ]
    scale = log_scale.exp()[:, None]
    found = {
        "labels": labels,
        "losses": F.softplus(-_log_odds(logits, labels)),
        "logits": logits,
        "hidden": hidden,
        "deltas": direction * scale,
        "scalars": _scalars(logits, labels, hidden, plan.last.bias is not None),
        "gradient_norms": (
            torch.stack(norms, 1).detach().sqrt() * scale if norms else hidden[:, :0]
        ),
    }
    found |= {_output_key(name): seen[_output_key(name)] for name in plan.outputs}
    return {
        name: values.cpu() if name == "labels" else values.float().cpu()
        for name, values in found.items()
    }


_HIDDEN, _LOGITS = "hidden", "logits"


def _output_key(name: str) -> str:
    return f"outputs/{name}"


@contextmanager
def _recorded(plan: _Plan) -> Iterator[dict[str, Tensor]]:
    """Collect, for one block, what the last layer takes and gives and what further modules give."""
    seen: dict[str, Tensor] = {}

    def record_last(_: nn.Module, given: tuple[Tensor, ...], returned: Tensor) -> None:
        seen[_HIDDEN], seen[_LOGITS] = given[0].detach(), returned.detach()

    def record_output(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def record(_: nn.Module, __: object, returned: Tensor) -> None:
            # A copy, as an activation behind the module may overwrite its output.
            seen[_output_key(name)] = returned.detach().flatten(1).clone()

        return record

    handles = [plan.last.register_forward_hook(record_last)]
    handles += [
        module.register_forward_hook(record_output(name)) for name, module in plan.outputs.items()
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _check(logits: Tensor, labels: Tensor) -> None:
    classes = logits.shape[1]
    if classes < 2:
        raise FedsimError(f"a classifier needs at least 2 outputs, and this model has {classes}")
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise FedsimError(
            f"labels run from {int(labels.min())} to {int(labels.max())}; valid for a model of "
            f"{classes} outputs: 0..{classes - 1}"
        )
    if not logits.isfinite().all():
        raise FedsimError("the snapshot gives logits that are not finite; its training diverged")


def last_layer_gradient(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradient of the cross-entropy with respect to the logits, in two factors.

    Parameters
    ----------
    logits
        (N, C) with C >= 2.
    labels
        (N,) class numbers.

    Returns
    -------
    (Tensor, Tensor)
        `direction` (N, C), the gradient divided by 1 - p_y, and `log_scale` (N,), log(1 - p_y).
        With q the softmax over the *other* classes the direction is q there and -1 at the true
        class: nothing is subtracted from one, and a backward pass that starts with the direction
        cannot underflow.
    """
    log_scale = F.logsigmoid(-_log_odds(logits, labels))
    return _direction(logits, labels), log_scale


def _direction(logits: Tensor, labels: Tensor) -> Tensor:
    return _others(logits, labels).softmax(1).scatter(1, labels[:, None], -1.0).to(logits.dtype)


def _others(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the logits (N, C) with minus infinity at the true class."""
    return logits.scatter(1, labels[:, None], -torch.inf)


def _log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """Return log p_y - log(1 - p_y) (N,): the true logit minus the log-sum-exp of the others."""
    return logits.gather(1, labels[:, None])[:, 0] - _others(logits, labels).logsumexp(1)


def _scalars(logits: Tensor, labels: Tensor, hidden: Tensor, biased: bool) -> Tensor:
    """Return the columns of `SCALARS` (N, 6)."""
    others = _others(logits, labels)
    true, rest = logits.gather(1, labels[:, None])[:, 0], others.logsumexp(1)
    direction, log_scale = last_layer_gradient(logits, labels)
    log_norm = log_scale + direction.norm(dim=1).log() + (hidden.square().sum(1) + biased).log() / 2
    columns = [true - rest, true - others.amax(1), hidden.norm(dim=1), log_norm, true, rest]
    return torch.stack(columns, 1)
