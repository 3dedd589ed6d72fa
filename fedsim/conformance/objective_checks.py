"""Checks of an objective: loss per record, matching gradients, meaningful scalars."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from fedsim import plugins
from fedsim.conformance.checklist import Check, Failed, NotApplicable
from fedsim.objectives import Objective

RECORDS, CLASSES, TOKENS = 12, 4, 5
CLOSE = 1e-6


def _examples() -> Mapping[str, tuple[Tensor, Tensor]]:
    """Return outputs and targets of the kinds that objectives are for, in double precision."""
    random = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return 2 * torch.randn(shape, generator=random, dtype=torch.float64)

    def classes(*shape: int) -> Tensor:
        return torch.randint(CLASSES, shape, generator=random)

    return {
        "one class per record": (normal(RECORDS, CLASSES), classes(RECORDS)),
        "several labels per record": (
            normal(RECORDS, CLASSES),
            (normal(RECORDS, CLASSES) > 0).double(),
        ),
        "one number per record": (normal(RECORDS, 1), normal(RECORDS)),
        "several numbers per record": (normal(RECORDS, 3), normal(RECORDS, 3)),
        "the next token": (normal(RECORDS, TOKENS, CLASSES), classes(RECORDS, TOKENS)),
    }


@dataclass(frozen=True)
class ObjectiveTrial:
    """An objective by name and settings, and the first of the examples that it takes."""

    name: str
    settings: Mapping[str, Any]

    @cached_property
    def objective(self) -> Objective:
        """The objective itself."""
        return plugins.build_member("objectives", self.name, self.settings, Objective)

    @cached_property
    def example(self) -> tuple[str, Tensor, Tensor]:
        """What kind of targets it takes, with outputs and targets of it."""
        problem: Exception | None = None
        for kind, (outputs, targets) in _examples().items():
            try:
                self.objective.require_fit(outputs, targets)
                losses = self.objective.per_record_loss(outputs, targets)
                if losses.shape != (len(outputs),):
                    raise Failed(
                        f"per_record_loss() of {len(outputs)} records has shape "
                        f"{tuple(losses.shape)}; it must be ({len(outputs)},)"
                    )
            except Exception as error:  # most objectives take one of these kinds only
                problem = problem or error
            else:
                return kind, outputs, targets
        raise Failed(f"it takes none of the example targets: {problem}")

    @property
    def given(self) -> tuple[Tensor, Tensor]:
        """Outputs and targets that it takes."""
        return self.example[1:]

    @cached_property
    def losses(self) -> Tensor:
        """The losses of the example, shape (n,)."""
        return self.objective.per_record_loss(*self.given)


def objective_checks(name: str, settings: Mapping[str, Any]) -> Sequence[Check]:
    """Return the checks of an objective."""
    trial = ObjectiveTrial(name, settings)
    claims: Mapping[str, Callable[[ObjectiveTrial], str | None]] = {
        "a record's loss does not depend on the others": is_per_record,
        "its mean and its sum are those of the records": adds_up,
        "its gradients are those of its loss": has_its_gradients,
        "its scalars are finite, where a model is certain too": has_finite_scalars,
        "its first scalar is higher where the loss is lower": orders_by_fit,
    }
    return [
        Check("gives every record one finite loss", partial(gives_losses, trial), gate=True),
        *(Check(claim, partial(check, trial)) for claim, check in claims.items()),
    ]


def gives_losses(trial: ObjectiveTrial) -> str:
    """One finite, differentiable number per record."""
    if not torch.isfinite(trial.losses).all():
        raise Failed("per_record_loss() gives losses that are not finite numbers")
    return f"targets: {trial.example[0]}"


def is_per_record(trial: ObjectiveTrial) -> None:
    """Attacks score records one by one, so a loss must not mix them."""
    outputs, targets = trial.given
    alone = trial.objective.per_record_loss(outputs[:3], targets[:3])
    if not torch.allclose(alone, trial.losses[:3], rtol=CLOSE, atol=CLOSE):
        raise Failed("the loss of a record is another one when other records stand beside it")


def adds_up(trial: ObjectiveTrial) -> None:
    """`mean_loss` and `sum_loss` may be faster ways to the same numbers."""
    for name, expected in (("mean_loss", trial.losses.mean()), ("sum_loss", trial.losses.sum())):
        found = getattr(trial.objective, name)(*trial.given)
        if not torch.allclose(found, expected, rtol=CLOSE):
            raise Failed(f"{name}() is {float(found):.6g}, of records {float(expected):.6g}")


def has_its_gradients(trial: ObjectiveTrial) -> None:
    """Closed-form gradients must match the loss."""
    outputs, targets = trial.given
    found = trial.objective.output_gradients(outputs, targets)
    expected = Objective.output_gradients(trial.objective, outputs, targets)
    if found.shape != expected.shape:
        raise Failed(
            f"output_gradients() has shape {tuple(found.shape)}; it must be that of the outputs, "
            f"{tuple(expected.shape)}"
        )
    if not torch.allclose(found, expected, rtol=CLOSE, atol=CLOSE):
        worst = float((found - expected).abs().max())
        raise Failed(f"output_gradients() differs from autograd's by up to {worst:.3g}")


def has_finite_scalars(trial: ObjectiveTrial) -> str:
    """A model that is certain must not make scalars overflow, nor underflow to one value."""
    (outputs, targets), names = trial.given, trial.objective.scalars
    for scale in (1, 300):
        found = trial.objective.record_scalars(scale * outputs, targets)
        if found.shape != (len(outputs), len(names)):
            raise Failed(
                f"record_scalars() of {len(outputs)} records has shape {tuple(found.shape)}; with "
                f"{len(names)} names in `scalars` it must be ({len(outputs)}, {len(names)})"
            )
        if not torch.isfinite(found).all():
            raise Failed(f"record_scalars() is not finite where outputs are {scale} times as large")
    return ", ".join(names)


def orders_by_fit(trial: ObjectiveTrial) -> None:
    """Attacks read the first scalar as how well a record is fitted."""
    if not trial.objective.scalars:
        raise NotApplicable("it names no scalars")
    first = trial.objective.record_scalars(*trial.given)[:, 0]
    order = trial.losses.argsort()
    rises = first[order].diff()
    if (rises > CLOSE).any():
        raise Failed(
            f"{trial.objective.scalars[0]!r} rises with the loss for {int((rises > CLOSE).sum())} "
            f"of {len(rises)} pairs of records; the first scalar must order records by fit, higher "
            "is fitted better"
        )
