"""The objective and the attacks that an experiment names, built."""

from fedsim import plugins
from fedsim.attacks import Attack
from fedsim.config.choice import Choice, LabelledChoice
from fedsim.config.experiment import Experiment
from fedsim.data import Dataset
from fedsim.objectives import Objective


def objective_of(experiment: Experiment, dataset: Dataset) -> Objective:
    """Return the objective: that of the experiment, else of the data source, else classification.

    Raises
    ------
    PluginError
        If the plugin is not an `Objective`.
    """
    choice = experiment.objective or Choice(name=dataset.objective or "classification")
    return plugins.build_member("objectives", choice.name, choice.settings, Objective)


def build_attack(choice: LabelledChoice) -> Attack:
    """Return the attack that a choice names.

    Raises
    ------
    PluginError
        If the plugin is not an `Attack`.
    """
    return plugins.build_member("attacks", choice.name, choice.settings, Attack)
