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

from adversaries.inference.backward import LayerTrace, backpropagate, evaluating
from adversaries.inference.factored_gradients import FactoredGradients, compact, joined
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
    gradients: dict[str, list[FactoredGradients]] = {name: [] for name in plan.gradients}
    with evaluating(model):
        for start in range(0, len(records), spec.batch_size):
            inputs, labels = batch(records[start : start + spec.batch_size])
            found, found_gradients = _batch_features(model, inputs, labels, plan, spec)
            parts.append(found)
            for name, of_layer in found_gradients.items():
                gradients[name].append(of_layer)
            if progress is not None:
                progress(start + len(labels))
    whole = {name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]}
    return SnapshotFeatures(
        records=np.asarray(records, dtype=np.int64),
        outputs={name: whole.pop(_output_key(name)) for name in spec.outputs},
        layers=tuple(plan.normed),
        gradients={name: joined(batches) for name, batches in gradients.items()},
        **whole,
    )


@dataclass(frozen=True)
class _Plan:
    """The modules that `FeatureSpec` names: the last, and those with norms, outputs, gradients."""

    last_name: str
    last: nn.Linear
    normed: Mapping[str, nn.Module]
    outputs: Mapping[str, nn.Module]
    gradients: Mapping[str, nn.Module]

    @property
    def traced(self) -> Mapping[str, nn.Module]:
        """The layers whose inputs and deltas are needed."""
        return {**self.normed, **self.gradients}

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
        norms = () if all_norms else spec.gradient_norms
        wanted = [last_name, *spec.outputs, *norms, *spec.gradients]
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
        normed = trainable_layers(model) if all_norms else {name: modules[name] for name in norms}
        outputs, gradients = (
            {name: modules[name] for name in names} for names in (spec.outputs, spec.gradients)
        )
        return cls(last_name, last, normed, outputs, gradients)


def _batch_features(
    model: nn.Module, inputs: Tensor, labels: Tensor, plan: _Plan, spec: FeatureSpec
) -> tuple[dict[str, Tensor], dict[str, FactoredGradients]]:
    """Return the features of one batch, by the names of `SnapshotFeatures`, and its gradients."""
    half = spec.precision == "bf16"
    # Entered for each batch: autocast keeps copies of the weights as long as its block lasts.
    autocast = torch.autocast(inputs.device.type, torch.bfloat16, enabled=half)
    with _recorded(plan) as seen, autocast:
        if plan.traced:
            returned, traces = backpropagate(
                model,
                inputs,
                plan.traced,
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
    traces = {n: LayerTrace(*(side.to(hidden.dtype) for side in t)) for n, t in traces.items()}
    norms = [squared_norms(layer, *traces[name]) for name, layer in plan.normed.items()]
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
    whole = {name: values.float().cpu() for name, values in found.items()}
    gradients = {n: _compacted(layer, traces[n], scale) for n, layer in plan.gradients.items()}
    return {"labels": labels.cpu()} | whole, gradients


def _compacted(layer: nn.Module, trace: LayerTrace, scale: Tensor) -> FactoredGradients:
    """Return the gradients of one layer, scaled back (see `LastLayer.direction`)."""
    scale = scale.view(-1, *[1] * (trace.deltas.dim() - 1))
    found = compact(layer, trace.inputs, trace.deltas * scale)
    parts = {name: part.detach().float().cpu() for name, part in found.parts.items()}
    return FactoredGradients(parts, found.unfolding)


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
