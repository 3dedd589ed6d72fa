"""Extraction of the features of records from a model with the parameters of one snapshot.

Losses and the scalars of the output take one forward pass of any module, without autograd. The
gradient of a linear last layer has a closed form and needs no more. Norms and gradients of other
layers take one more backward pass; see `layer_gradients`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adversaries.inference.backward import BatchPass, LayerWatch
from adversaries.inference.factored_gradients import FactoredGradients, joined
from adversaries.inference.feature_spec import FeatureSpec
from adversaries.inference.features import IntArray, SnapshotFeatures
from adversaries.inference.last_layer import scalar_names, with_last_layer
from adversaries.inference.layer_gradients import LayerGradients
from adversaries.inference.layer_parameters import named_layers, trainable_layers
from adversaries.inference.model_layers import (
    EXAMPLES,
    LastCall,
    LinearCalls,
    ModelLayers,
    evaluating,
    not_the_output,
    require_layers,
)
from adversaries.inference.recorded_outputs import output_key, recorded_outputs
from fedsim.errors import FedsimError
from fedsim.objectives import Classification, Objective, RecordFit

BatchSource = Callable[[IntArray], tuple[Tensor, Tensor]]
"""Returns the inputs and the labels of records by their ids, like a data set's ``batch``."""


def extract(
    model: nn.Module,
    batch: BatchSource,
    records: IntArray,
    spec: FeatureSpec,
    progress: Callable[[int], None] | None = None,
    objective: Objective | None = None,
) -> SnapshotFeatures:
    """Compute the features of records on a model holding one snapshot's parameters.

    Parameters
    ----------
    model
        Any module that returns a tensor with one row per record. Its mode and the ``.grad`` of its
        parameters are left unchanged.
    batch
        The source of the records; called for `spec.batch_size` of them at a time.
    records
        Record ids (N,).
    spec
        The features to extract.
    progress
        Called after every batch with the number of records done.
    objective
        The training objective; classification by default.

    Raises
    ------
    FedsimError
        If a layer is missing or wrongly named as the last one; if the model mixes the records of a
        batch; if a label is out of range; or if a logit is not finite.
    """
    if len(records) == 0:
        raise FedsimError("features need at least one record, and there is none")
    work = _Work.prepared(model, batch(records[:EXAMPLES]), spec, objective or Classification())
    parts: list[dict[str, Tensor]] = []
    gradients: dict[str, list[FactoredGradients]] = {name: [] for name in spec.gradients}
    with evaluating(model):
        for start in range(0, len(records), spec.batch_size):
            inputs, labels = batch(records[start : start + spec.batch_size])
            found, found_gradients = work.features(inputs, labels)
            parts.append(found)
            for name, of_layer in found_gradients.items():
                gradients[name].append(of_layer)
            if progress is not None:
                progress(start + len(labels))
    whole = {name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in parts[0]}
    return SnapshotFeatures(
        records=np.asarray(records, dtype=np.int64),
        outputs={name: whole.pop(output_key(name)) for name in spec.outputs},
        layers=tuple(work.layers.normed) if work.layers else (),
        gradients={name: joined(batches) for name, batches in gradients.items()},
        scalar_names=scalar_names(work.objective.scalars, work.head is not None),
        classes=work.classes,
        **whole,
    )


@dataclass
class _Work:
    """The parts of the model that are read in every batch.

    `head` is the last layer, if it is needed and linear; `layers` are those with gradients.
    """

    model: nn.Module
    spec: FeatureSpec
    objective: Objective
    head: str | None = None
    classes: int = 0
    layers: LayerGradients | None = None

    @classmethod
    def prepared(
        cls,
        model: nn.Module,
        examples: tuple[Tensor, Tensor],
        spec: FeatureSpec,
        objective: Objective,
    ) -> "_Work":
        """Inspect the model with a few records: its layers, and the rules that apply."""
        work = cls(model, spec, objective)
        work._require_fit(*examples)
        modules = dict(model.named_modules())
        require_layers(modules, spec.outputs)
        if spec.reads_last_layer or spec.last_layer is not None:
            work.head = ModelLayers.of(model, examples[0], spec.last_layer).head
        if not spec.reads_last_layer:
            work.head = None
        if spec.gradient_norms or spec.gradients:
            by_name = () if spec.gradient_norms == "all" else spec.gradient_norms
            normed = (
                trainable_layers(model)
                if spec.gradient_norms == "all"
                else named_layers(model, by_name)
            )
            work.layers = LayerGradients(model, normed, named_layers(model, spec.gradients))
            work._choose_ways(work.layers, *examples)
        return work

    @torch.no_grad()
    def _require_fit(self, inputs: Tensor, labels: Tensor) -> None:
        """Raise unless the output of the model suits the objective."""
        with evaluating(self.model):
            output = self.model(inputs)
        if not isinstance(output, Tensor) or output.shape[:1] != inputs.shape[:1]:
            raise FedsimError(
                f"the model {type(self.model).__name__} does not return one tensor with one "
                "row per record, so no record has features"
            )
        self.objective.record_fit(output, labels)
        self.objective.require_fit(output, labels)

    def _choose_ways(self, layers: LayerGradients, inputs: Tensor, labels: Tensor) -> None:
        watch = layers.watch()
        with evaluating(self.model):
            with torch.enable_grad(), watch.watching():
                output = self.model(inputs)
            fit = self.objective.record_fit(output.detach(), labels)
            layers.choose(inputs, output, fit.direction, watch)

    def features(
        self, inputs: Tensor, labels: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, FactoredGradients]]:
        """Return the features of one batch by their names in `SnapshotFeatures`, and gradients."""
        half = self.spec.precision == "bf16"
        # Entered for each batch: autocast caches copies of the weights until its context ends.
        autocast = torch.autocast(inputs.device.type, torch.bfloat16, enabled=half)
        watch = self.layers.watch() if self.layers else LayerWatch({})
        calls = LinearCalls({self.head: self._linear(self.head)} if self.head is not None else {})
        gradients = torch.enable_grad() if self.layers else torch.no_grad()
        recorded = recorded_outputs(self.model, self.spec)
        # The last layer's hook comes after the others, which may replace its output.
        with recorded as seen, autocast, gradients, watch.watching(), calls.watching():
            output = self.model(inputs)
        last = self._last_call(calls, output)
        returned = output.detach()
        fit = self.objective.record_fit(returned.float() if half else returned, labels)
        direction = fit.direction.to(returned.dtype)
        flat = returned.reshape(len(returned), -1)
        hidden = deltas = flat[:, :0]
        if last is not None:
            hidden, linear = last.hidden, self._linear(last.name)
            if half:
                hidden = hidden.to(linear.weight.dtype)
                flat = returned = F.linear(hidden, linear.weight, linear.bias).detach()
                fit = self.objective.record_fit(returned, labels)
            scalars = with_last_layer(fit, hidden, linear.bias is not None)
            if self.spec.last_layer_gradient:
                deltas = fit.direction * fit.log_scale.exp()[:, None]
            else:
                hidden = flat[:, :0]
        self.classes = returned.shape[1] if _tells_classes(self.objective) else 0
        found = {
            "losses": fit.losses,
            "logits": flat if self.spec.output else flat[:, :0],
            "hidden": hidden,
            "deltas": deltas,
            "scalars": fit.scalars if last is None else scalars,
            "gradient_norms": flat[:, :0],
            "log_gradient_norms": flat[:, :0],
        }
        matrices: dict[str, FactoredGradients] = {}
        if self.layers is not None:
            kind = next(self.model.parameters(), returned).dtype if half else returned.dtype
            passed = BatchPass(inputs, output, direction, fit.log_scale.exp(), watch, kind)
            norms, matrices = self.layers.of_batch(passed)
            if norms:
                norms_and_logs = scaled_norms(norms, fit)
                found["gradient_norms"], found["log_gradient_norms"] = norms_and_logs
        found |= {output_key(name): seen[output_key(name)] for name in self.spec.outputs}
        whole = {name: values.float().cpu() for name, values in found.items()}
        return {"labels": labels.cpu()} | whole, matrices

    def _linear(self, name: str) -> nn.Linear:
        layer = self.model.get_submodule(name)
        if not isinstance(layer, nn.Linear):
            raise not_the_output(name)
        return layer

    def _last_call(self, calls: LinearCalls, output: Tensor) -> LastCall | None:
        if self.head is None:
            return None
        call = calls.head(output)
        if call is None:
            raise not_the_output(self.head)
        return call


def scaled_norms(squares: Sequence[Tensor], fit: RecordFit) -> tuple[Tensor, Tensor]:
    """Return the norms (N, L) of the layers' gradients and their logarithms.

    `squares` are the squared norms (N,) of each layer, of gradients that `fit.direction` starts.
    """
    stacked = torch.stack([*squares], 1)
    norms = stacked.sqrt() * fit.log_scale.exp()[:, None]
    return norms, stacked.log() / 2 + fit.log_scale[:, None]


def _tells_classes(objective: Objective) -> bool:
    return isinstance(objective, Classification)
