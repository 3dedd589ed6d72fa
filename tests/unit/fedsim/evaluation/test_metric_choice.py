"""Metrics by name: the headline's are always there, and what is no metric is one sentence."""

import pytest

from fedsim.config.metrics import MetricChoice
from fedsim.errors import PluginError
from fedsim.evaluation.metric_choice import build_metrics
from fedsim.evaluation.metrics import Accuracy

HERE = "test_metric_choice"


def figure() -> float:
    """Return a figure in place of what measures one."""
    return 0.5


class Nameless(Accuracy):
    """A metric that has no name."""

    name = ""


class Weighed(Accuracy):
    """A metric in kilograms."""

    unit = "kg"  # type: ignore[assignment] - as third parties do


def names_of(*names: str) -> list[str]:
    return [metric.name for metric in build_metrics([MetricChoice(name=one) for one in names])]


def test_accuracy_and_auc_stand_in_front_unless_they_are_named() -> None:
    assert names_of("tpr@0.01") == ["accuracy", "auc", "tpr@0.01"]
    assert names_of("tpr@0.01", "auc") == ["accuracy", "tpr@0.01", "auc"]
    assert names_of() == ["accuracy", "auc"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["auc", "tpr@0.1", "auc"], "metrics has 'auc' twice; name each once"),
        ([f"{HERE}:figure"], f"metric '{HERE}:figure' is a float, not a fedsim.Metric"),
        ([f"{HERE}:Nameless"], f"metric '{HERE}:Nameless' has no name and heading; it needs both"),
        (
            [f"{HERE}:Weighed"],
            f"metric '{HERE}:Weighed' has the unit 'kg'; valid: percent, area, number",
        ),
    ],
)
def test_what_is_no_metric_is_refused(names: list[str], said: str) -> None:
    with pytest.raises(PluginError) as error:
        names_of(*names)
    assert str(error.value) == said
