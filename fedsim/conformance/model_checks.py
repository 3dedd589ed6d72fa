"""Checks of a model: logits per record, seeded parameters, records treated independently."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from fedsim.conformance.checklist import Check, Failed
from fedsim.models import build_model

SHAPES = ((12,), (3, 32, 32), (1, 28, 28), (3, 64, 64))
"""The shapes of a record that are tried, in this order."""

CLASSES, RECORDS, VOCABULARY = 5, 4, 50


@dataclass(frozen=True)
class ModelTrial:
    """A model by name and settings, on the first kind of input that it takes."""

    name: str
    settings: Mapping[str, Any]

    def built(self, shape: tuple[int, ...], seed: int = 0) -> nn.Module:
        """Return a new model."""
        return build_model(
            self.name, self.settings, input_shape=shape, num_classes=CLASSES, seed=seed
        )

    @cached_property
    def inputs(self) -> Tensor:
        """A batch of records that it takes.

        Raises
        ------
        Failed
            If it accepts none of the inputs that are tried.
        """
        random = torch.Generator().manual_seed(0)
        problem: Exception | None = None
        for shape in SHAPES:
            tokens = torch.randint(VOCABULARY, (RECORDS, *shape), generator=random)
            for inputs in (torch.randn((RECORDS, *shape), generator=random), tokens):
                try:
                    with torch.no_grad():
                        self.built(shape).eval()(inputs)
                except Exception as error:  # a third party's model may raise anything
                    problem = problem or error
                else:
                    return inputs
        shapes = ", ".join(map(str, SHAPES))
        raise Failed(f"it takes records of none of the shapes {shapes}: {problem}")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a record that it takes."""
        return tuple(self.inputs.shape[1:])

    @cached_property
    def outputs(self) -> Tensor:
        """Its outputs for the records, in eval mode."""
        with torch.no_grad():
            found = self.built(self.shape).eval()(self.inputs)
        if not isinstance(found, Tensor) or found.shape[:1] != (RECORDS,):
            raise Failed(
                f"for {RECORDS} records it returns {_error_line(found)}; give one row per record"
            )
        return found


def model_checks(name: str, settings: Mapping[str, Any]) -> Sequence[Check]:
    """Return the checks of a model."""
    trial = ModelTrial(name, settings)
    claims: Mapping[str, Callable[[ModelTrial], str | None]] = {
        "has the same parameters for the same seed": is_seeded,
        "says the same again in eval mode": repeats,
        "says of a record alone what it says of it in a batch": is_per_record,
        "ends in logits, not in probabilities": ends_in_logits,
        "sends its loss's gradient to every parameter": uses_its_parameters,
    }
    return [
        Check("gives finite outputs a record", partial(gives_outputs, trial), gate=True),
        *(Check(claim, partial(check, trial)) for claim, check in claims.items()),
    ]


def gives_outputs(trial: ModelTrial) -> str:
    """One row per record."""
    if not torch.isfinite(trial.outputs).all():
        raise Failed("its outputs are not finite numbers")
    kind = "tokens" if trial.inputs.dtype == torch.int64 else "records"
    return f"{tuple(trial.outputs.shape)} of {kind} of shape {trial.shape}"


def is_seeded(trial: ModelTrial) -> None:
    """The experiment's seed decides the initial parameters, and nothing else does."""
    first, again = (trial.built(trial.shape).state_dict() for _ in range(2))
    if first.keys() != again.keys() or not all(torch.equal(first[k], again[k]) for k in first):
        raise Failed("built again, it has other parameters; draws must come from torch's generator")


def repeats(trial: ModelTrial) -> None:
    """Dropout and the like must be off in eval mode."""
    model = trial.built(trial.shape).eval()
    with torch.no_grad():
        if not torch.equal(model(trial.inputs), model(trial.inputs)):
            raise Failed("in eval mode it says something else when it is asked again")


def is_per_record(trial: ModelTrial) -> None:
    """A model that mixes records cannot be audited record by record."""
    model = trial.built(trial.shape).eval()
    with torch.no_grad():
        alone, together = model(trial.inputs[:1])[0], model(trial.inputs)[0]
    if not torch.allclose(alone, together, rtol=1e-3, atol=1e-4):
        worst = float((alone - together).abs().max())
        raise Failed(f"alone, a record's outputs differ by {worst:.3g} from those in a batch")


def ends_in_logits(trial: ModelTrial) -> None:
    """The objective takes the softmax; a second one makes gradients small and scores wrong."""
    rows = trial.outputs.flatten(0, -2) if trial.outputs.dim() > 1 else trial.outputs[:, None]
    sums = rows.sum(-1)
    if rows.shape[-1] > 1 and (rows >= 0).all() and torch.allclose(sums, torch.ones_like(sums)):
        raise Failed("its outputs add up to 1: leave the softmax to the objective")


def uses_its_parameters(trial: ModelTrial) -> str:
    """A parameter without a gradient is sent and averaged but never learns."""
    model = trial.built(trial.shape).train()
    model(trial.inputs).square().sum().backward()
    unused = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    if unused:
        raise Failed(f"no gradient reaches {', '.join(unused[:3])}; freeze or remove it")
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return f"{trained:,} trainable parameters"


def _error_line(found: object) -> str:
    shape = f" of shape {tuple(found.shape)}" if isinstance(found, Tensor) else ""
    return f"a {type(found).__name__}{shape}"
