"""What attacks gain over a record's label, where the label alone separates members from others.

Members and non-members that differ in their classes are separated by anyone who knows which
classes the victim has. An attack's figure is then no leak by itself: its gain over the `label`
baseline is, and that is what is said in the place of the gain over guessing.
"""

from collections.abc import Mapping

from fedsim.config.experiment import Experiment
from fedsim.evaluation import EvaluationResult, compare
from fedsim.evaluation.intervals import RESAMPLES
from fedsim.report.result_schema import DifferenceFigure

LABEL = "label"
GUESSING = 0.5


def label_attack(experiment: Experiment, attacks: Mapping[str, object]) -> str | None:
    """Return the label of the attack that reads labels only, if it was made."""
    own = [choice.label for choice in experiment.attacks if choice.name == LABEL]
    return next((label for label in [*own, LABEL] if label in attacks), None)


def label_separates_members(label: EvaluationResult) -> bool:
    """Return whether the label alone is clearly above guessing: its AUC's whole interval is."""
    return label.auc.low > GUESSING


def gain_over_label(
    label: EvaluationResult, attack: EvaluationResult, seed: int, resamples: int = RESAMPLES
) -> dict[str, DifferenceFigure]:
    """Return by how much an attack is better than the label, by metric, on the same records."""
    return {
        name: DifferenceFigure(value=one.value, low=one.low, high=one.high, p=one.p)
        for name, one in compare(label, attack, seed=seed, resamples=resamples).figures.items()
    }
