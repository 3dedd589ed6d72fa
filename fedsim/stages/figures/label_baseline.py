"""The gain of attacks over the label baseline, where the label alone reveals membership.

If members and non-members differ in their classes, anyone who knows the victim's classes can
separate them. An attack then shows a leak only as far as it beats the `label` baseline, so its gain
over that baseline is reported instead of its gain over guessing.
"""

from collections.abc import Mapping

from fedsim.config.experiment import Experiment
from fedsim.evaluation import EvaluationResult, compare
from fedsim.evaluation.intervals import RESAMPLES
from fedsim.report.result_schema import DifferenceFigure

LABEL = "label"
GUESSING = 0.5


def label_attack(experiment: Experiment, attacks: Mapping[str, object]) -> str | None:
    """Return the label of the attack that reads labels only, if it was run."""
    own = [choice.label for choice in experiment.attacks if choice.name == LABEL]
    return next((label for label in [*own, LABEL] if label in attacks), None)


def label_separates_members(label: EvaluationResult) -> bool:
    """Return whether the label alone beats guessing: its AUC's whole interval lies above."""
    return label.auc.low > GUESSING


def gain_over_label(
    label: EvaluationResult, attack: EvaluationResult, seed: int, resamples: int = RESAMPLES
) -> dict[str, DifferenceFigure]:
    """Return by how much an attack is better than the label, by metric, on the same records."""
    return {
        name: DifferenceFigure(value=one.value, low=one.low, high=one.high, p=one.p)
        for name, one in compare(label, attack, seed=seed, resamples=resamples).figures.items()
    }
