"""Objectives, metrics and models that each break one promise: the exact sentence that is said."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedsim import Metric, ScoredRecords
from fedsim.conformance import metric_checks, model_checks, objective_checks
from fedsim.conformance.checklist import CheckStatus, Failed, NotApplicable, findings_of
from fedsim.conformance.metric_checks import MetricTrial
from fedsim.conformance.model_checks import ModelTrial
from fedsim.conformance.objective_checks import ObjectiveTrial
from fedsim.objectives import Classification


class OneLoss(Classification):
    """One loss for all records together."""

    def per_record_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return super().per_record_loss(outputs, targets).mean()


class NotANumber(Classification):
    """A loss that is no number."""

    def per_record_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return super().per_record_loss(outputs, targets) * torch.nan


class ConstantMean(Classification):
    """A mean that is not that of the records."""

    def mean_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return torch.tensor(7.0, dtype=outputs.dtype)


class FlatGradient(Classification):
    """Gradients of another shape than the outputs."""

    def output_gradients(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return super().output_gradients(outputs, targets).flatten()


class ExtraScalar(Classification):
    """A scalar too many for its names."""

    scalars = ("fit",)

    def record_scalars(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return torch.zeros(len(outputs), 2)


class NoScalars(Classification):
    """Names no scalars."""

    scalars = ()


@pytest.mark.parametrize(
    ("plugin", "check", "sentence"),
    [
        (
            "OneLoss",
            "gives_losses",
            "it takes none of the example targets: per_record_loss() of 12 records has shape (); "
            "it must be (12,)",
        ),
        (
            "NotANumber",
            "gives_losses",
            "per_record_loss() gives losses that are not finite numbers",
        ),
        ("ConstantMean", "adds_up", "mean_loss() is 7, of records 1.73314"),
        (
            "FlatGradient",
            "has_its_gradients",
            "output_gradients() has shape (48,); it must be that of the outputs, (12, 4)",
        ),
        (
            "ExtraScalar",
            "has_finite_scalars",
            "record_scalars() of 12 records has shape (12, 2); with 1 names in `scalars` it must "
            "be (12, 1)",
        ),
    ],
)
def test_objectives(plugin: str, check: str, sentence: str) -> None:
    with pytest.raises(Failed) as found:
        getattr(objective_checks, check)(ObjectiveTrial(f"{__name__}:{plugin}", {}))
    assert str(found.value) == sentence


def test_an_objective_without_scalars_orders_nothing() -> None:
    with pytest.raises(NotApplicable, match="it names no scalars"):
        objective_checks.orders_by_fit(ObjectiveTrial(f"{__name__}:NoScalars", {}))


class Gap(Metric):
    """The difference of the means; the other metrics change one thing of it."""

    name, heading, unit = "gap", "gap", "number"

    def point(self, scored: ScoredRecords) -> float:
        return float(scored.members.mean() - scored.nonmembers.mean())


class Nameless(Gap):
    """It has no heading."""

    heading = ""


class FirstRecord(Gap):
    """The score of the first member."""

    def point(self, scored: ScoredRecords) -> float:
        return float(scored.members[0])


class Sorting(Gap):
    """Sorts the scores of nonmembers in place."""

    def point(self, scored: ScoredRecords) -> float:
        scored.nonmembers.sort()
        return super().point(scored)


class Bound(Gap):
    """A bound, which is not resampled."""

    resampled = False


class OneResample(Gap):
    """A single figure of all resamples."""

    def on_resamples(self, resampled: Any) -> Any:
        return np.zeros(1)


class Reversed(Gap):
    """Higher where there is less to find."""

    def point(self, scored: ScoredRecords) -> float:
        return -round(super().point(scored))


class Logarithm(Gap):
    """The logarithm of 0 for every attack."""

    def point(self, scored: ScoredRecords) -> float:
        return -np.inf


@pytest.mark.parametrize(
    ("plugin", "check", "sentence"),
    [
        ("Nameless", "gives_a_figure", "it has no heading; tables and files need one"),
        ("Logarithm", "gives_a_figure", "point() gives -inf, which is not finite"),
        (
            "FirstRecord",
            "ignores_order",
            "with the records in another order it gives another figure",
        ),
        ("Sorting", "leaves_scores_alone", "point() changes scored.nonmembers in place"),
        (
            "OneResample",
            "agrees_with_resamples",
            "on_resamples() has shape (1,); it must be (13,)",
        ),
        (
            "Reversed",
            "finds_a_leak",
            "of a perfect attack it gives -30, of guesses 0, though higher is better",
        ),
    ],
)
def test_metrics(plugin: str, check: str, sentence: str) -> None:
    with pytest.raises(Failed) as found:
        getattr(metric_checks, check)(MetricTrial(f"{__name__}:{plugin}", {}))
    assert str(found.value) == sentence


@pytest.mark.parametrize(
    ("plugin", "check", "why"),
    [
        ("Gap", "is_in_range", "its unit is any number"),
        ("Bound", "agrees_with_resamples", "it is a bound, and is not resampled"),
        ("Gap", "is_right_about_guesses", "it names no figure of guessing"),
    ],
)
def test_what_does_not_apply_to_a_metric(plugin: str, check: str, why: str) -> None:
    with pytest.raises(NotApplicable) as found:
        getattr(metric_checks, check)(MetricTrial(f"{__name__}:{plugin}", {}))
    assert str(found.value) == why


class Layered(nn.Module):
    """A linear model of records with one axis; the other models change one thing of it."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        if len(input_shape) != 1:
            raise ValueError(f"records of shape {input_shape}")
        self.layer = nn.Linear(input_shape[0], num_classes)

    def forward(self, inputs: Tensor) -> Any:
        return self.layer(inputs)


class NoShape(Layered):
    """Takes no records at all."""

    def forward(self, inputs: Tensor) -> Any:
        raise ValueError("not today")


class Paired(Layered):
    """Returns a tuple."""

    def forward(self, inputs: Tensor) -> Any:
        return self.layer(inputs), inputs


class Summed(Layered):
    """One row for all records."""

    def forward(self, inputs: Tensor) -> Any:
        return self.layer(inputs).sum(0)


class Overflowing(Layered):
    """Divides by zero."""

    def forward(self, inputs: Tensor) -> Any:
        return self.layer(inputs) / 0


class OwnGenerator(Layered):
    """Draws its parameters from a generator of its own."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__(input_shape, num_classes)
        drawn = np.random.default_rng().normal(size=num_classes)
        self.layer.bias.data = torch.tensor(drawn, dtype=torch.float32)


class Noisy(Layered):
    """Adds noise in eval mode, too."""

    def forward(self, inputs: Tensor) -> Any:
        return self.layer(inputs) + torch.rand(len(inputs), 1)


@pytest.mark.parametrize(
    ("plugin", "check", "sentence"),
    [
        (
            "NoShape",
            "gives_outputs",
            "it takes records of none of the shapes (12,), (3, 32, 32), (1, 28, 28), (3, 64, 64): "
            "not today",
        ),
        (
            "Paired",
            "gives_outputs",
            "for 4 records it returns a tuple; give one row per record",
        ),
        (
            "Summed",
            "gives_outputs",
            "for 4 records it returns a Tensor of shape (5,); give one row per record",
        ),
        ("Overflowing", "gives_outputs", "its outputs are not finite numbers"),
        (
            "OwnGenerator",
            "is_seeded",
            "built again, it has other parameters; draws must come from torch's generator",
        ),
        ("Noisy", "repeats", "in eval mode it says something else when it is asked again"),
    ],
)
def test_models(plugin: str, check: str, sentence: str) -> None:
    with pytest.raises(Failed) as found:
        getattr(model_checks, check)(ModelTrial(f"{__name__}:{plugin}", {}))
    assert str(found.value) == sentence


def test_what_each_is_made_of_passes() -> None:
    model = list(findings_of(model_checks.model_checks(f"{__name__}:Layered", {})))
    assert [one.status for one in model] == [CheckStatus.PASSED] * 6
    assert (model[0].said, model[-1].said) == (
        "(4, 5) of records of shape (12,)",
        "65 trainable parameters",
    )
    metric = list(findings_of(metric_checks.metric_checks(f"{__name__}:Gap", {})))
    assert [one.said for one in metric[-3:]] == [
        "0.08759 of guesses, 30.09 of a perfect attack",
        "it names no figure of guessing",
        "their size, too",
    ]
