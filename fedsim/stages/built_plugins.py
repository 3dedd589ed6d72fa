"""The objective and the attacks that an experiment names, built."""

from fedsim import plugins
from fedsim.attacks import Attack
from fedsim.config.choice import Choice, LabelledChoice
from fedsim.config.experiment import Experiment
from fedsim.data import Dataset
from fedsim.errors import PluginError
from fedsim.objectives import Objective


def objective_of(experiment: Experiment, dataset: Dataset) -> Objective:
    """Return what an experiment learns: what it says, else the data source, else classification.

    Raises
    ------
    PluginError
        If the plugin is not an `Objective`.
    """
    choice = experiment.objective or Choice(name=dataset.objective or "classification")
    objective = plugins.build("objectives", choice.name, choice.settings)
    if not isinstance(objective, Objective):
        raise PluginError(
            f"objective {choice.name!r} gave a {type(objective).__name__}; a plugin of group "
            "objectives must derive from fedsim.objectives.Objective"
        )
    return objective


def build_attack(choice: LabelledChoice) -> Attack:
    """Return the attack that a choice names.

    Raises
    ------
    PluginError
        If the plugin is not an `Attack`.
    """
    attack = plugins.build("attacks", choice.name, choice.settings)
    if not isinstance(attack, Attack):
        raise PluginError(
            f"attack {choice.name!r} gave a {type(attack).__name__}; a plugin of group attacks "
            "must derive from fedsim.Attack"
        )
    return attack
