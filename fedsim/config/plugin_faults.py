"""What is wrong with the plugins that an experiment names: every fault, each in a sentence.

A plugin is found and its settings are checked; one that needs no data is built as well, as many a
value is refused by its constructor only. So a file is checked completely when it is read.
"""

import inspect
from collections.abc import Iterator

from fedsim import plugins
from fedsim.config.choice import Choice
from fedsim.config.experiment import Experiment
from fedsim.config.fault_collector import FaultCollector
from fedsim.config.metrics import metric_faults
from fedsim.errors import FedsimError, PluginError

_INNER = "strategy"
_WHERE = {
    "strategies": "federation.strategy: ",
    "optimizers": "federation.local.optimizer: ",
    "trainers": "federation.local.trainer: ",
    "canaries": "audit.canaries: ",
}
"""Where a plugin is named, for those groups whose section is not called like them."""
_BUILT = ("canaries", "objectives", "trainers", "optimizers", "defences", "attacks")
_GIVEN = ("num_partitions", "partition_by", "seed")
"""What partitioners of flwr-datasets are given, or refuse with a sentence of their own."""


def plugin_faults(experiment: Experiment, faults: FaultCollector) -> None:
    """Check the plugins that an experiment names, as far as its parts are sound.

    Of a model that was trained elsewhere, nobody drew who holds what.
    """
    named = [one for one in _choices_in(experiment) if faults.is_sound(one[0])]
    seats = faults.is_sound("audit.victims")
    for where, group, choice in named:
        try:
            _check(group, choice, experiment, seats=seats)
        except FedsimError as fault:
            faults.add(fault, where)
    if faults.is_sound("metrics"):
        for sentence in metric_faults(experiment.metrics):
            faults.add(PluginError(sentence), "metrics")


def _choices_in(experiment: Experiment) -> Iterator[tuple[str, str, Choice]]:
    """Yield each plugin that an experiment names: where, its group, and which it is."""
    federation = experiment.federation
    yield "data.name", "datasets", experiment.data
    if experiment.given is None:
        yield "partition.name", "partitioners", experiment.partition
    yield "model", "models", experiment.model
    if experiment.objective is not None:
        yield "objective", "objectives", experiment.objective
    for one in _worn_over(federation.strategy):
        yield "federation.strategy", "strategies", one
    yield "federation.local.optimizer", "optimizers", federation.local.optimizer
    yield "federation.local.trainer", "trainers", federation.local.trainer
    for place, defence in enumerate(experiment.defences):
        yield f"defences.{place}", "defences", defence
    for place, canary in enumerate(experiment.audit.canaries):
        yield f"audit.canaries.{place}", "canaries", canary
    for place, attacker in enumerate(experiment.adversaries):
        for adversary in attacker.together:
            yield f"adversaries.{place}", "adversaries", adversary
    for place, attack in enumerate(experiment.attacks):
        yield f"attacks.{place}", "attacks", attack


def _worn_over(strategy: Choice) -> Iterator[Choice]:
    """Yield a strategy, and those that it wraps as far as they are well named."""
    while True:
        yield strategy
        try:
            strategy = Choice.model_validate(strategy.settings.get(_INNER))
        except ValueError:  # it wraps none, or what it wraps is reported when it is built
            return


def _check(group: str, choice: Choice, experiment: Experiment, *, seats: bool) -> None:
    """Raise `FedsimError` if a plugin is not there, or refuses its settings.

    `seats` says whether it is known who the victims are, beside whom adversaries have their seats.
    """
    name, settings = choice.name, choice.settings
    try:
        plugin = plugins.resolve(group, name)
    except FedsimError as error:
        raise type(error)(f"{_WHERE.get(group, '')}{error}") from error
    parameters = plugins.settings_schema(plugin, ()).model_fields
    arguments = plugins.GROUPS[group].arguments
    if group == "strategies":
        own = {k: v for k, v in settings.items() if k != _INNER or _INNER not in parameters}
        plugins.checked(plugin, name, own, provided=(_INNER,))
    elif group == "partitioners":
        plugins.checked(plugin, name, settings, provided=_GIVEN, arguments=arguments)
    elif group == "adversaries" and seats:
        victims, participants = experiment.audit.victims, experiment.partition.participants
        plugins.build(group, name, settings, victims=victims, participants=participants)
    elif _is_built(group, plugin) and not {*arguments} & parameters.keys():
        plugins.build(group, name, settings)
    else:
        plugins.check(group, name, settings)


def _is_built(group: str, plugin: object) -> bool:
    """Return whether a plugin is cheap to build; a function of records would return them."""
    return group in _BUILT or (group == "datasets" and inspect.isclass(plugin))
