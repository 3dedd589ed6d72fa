"""Extracting the features of records from a model that holds one snapshot's parameters.

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

from adversaries.inference.backward import backpropagate, evaluating
from adversaries.inference.features import FeatureSpec, IntArray, SnapshotFeatures
from adversaries.inference.gradients import squared_norms, trainable_layers
from adversaries.inference.last_layer import LastLayer
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
                model,
                inputs,
                plan.normed,
                lambda logits: LastLayer.of(logits.float(), labels).direction.to(logits.dtype),
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
    last = LastLayer.of(logits, labels)
    scale = last.log_scale.exp()[:, None]
    norms = [
        squared_norms(plan.normed[name], *(side.to(hidden.dtype) for side in trace))
        for name, trace in traces.items()
    ]
    found = {
        "losses": F.softplus(-last.log_odds),
        "logits": logits,
        "hidden": hidden,
        "deltas": last.direction * scale,
        "scalars": last.scalars(hidden, plan.last.bias is not None),
        "gradient_norms": (
            torch.stack(norms, 1).detach().sqrt() * scale if norms else hidden[:, :0]
        ),
    }
    found |= {_output_key(name): seen[_output_key(name)] for name in plan.outputs}
    return {"labels": labels.cpu()} | {name: values.float().cpu() for name, values in found.items()}


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
