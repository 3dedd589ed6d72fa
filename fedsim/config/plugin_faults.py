"""What is wrong with the plugins that an experiment names: every fault, each in a sentence.

A plugin is found and its settings are checked; one that needs no data is built as well, as many a
value is refused by its constructor only. So all that a file says is judged when it is read.
"""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from fedsim import plugins
from fedsim.config.choice import Choice
from fedsim.config.metrics import metric_faults
from fedsim.errors import FedsimError

JUDGED = (
    *("data", "partition", "model", "objective", "federation", "defences"),
    *("audit", "adversaries", "attacks", "metrics"),
)
"""The sections of an experiment that name plugins, or that plugins are given something of."""
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


def plugin_faults(sections: Mapping[str, Any], *, simulated: bool = True) -> Iterator[str]:
    """Yield what is wrong with the plugins that sections name.

    Parameters
    ----------
    sections
        Those sections of an experiment that are valid in themselves, by name.
    simulated
        Whether there is a federation; of a model that was trained elsewhere, nobody drew who holds
        what.
    """
    for section, part in sections.items():
        if section == "metrics":
            yield from metric_faults(part)
        if section == "partition" and not simulated:
            continue
        for group, choice in _choices_in(section, part):
            try:
                _check(group, choice, sections)
            except FedsimError as error:
                yield str(error)


def _choices_in(section: str, part: Any) -> Iterator[tuple[str, Choice]]:
    """Yield each plugin that a section names: its group, and which it is."""
    if section == "data":
        yield "datasets", part
    elif section == "partition":
        yield "partitioners", part
    elif section == "model":
        yield "models", part
    elif section == "objective":
        if part is not None:
            yield "objectives", part
    elif section == "federation":
        yield from (("strategies", one) for one in _worn_over(part.strategy))
        yield "optimizers", part.local.optimizer
        yield "trainers", part.local.trainer
    elif section == "audit":
        yield from (("canaries", one) for one in part.canaries)
    elif section == "adversaries":
        yield from (("adversaries", one) for attacker in part for one in attacker.together)
    elif section in ("attacks", "defences"):
        yield from ((section, one) for one in part)


def _worn_over(strategy: Choice) -> Iterator[Choice]:
    """Yield a strategy, and those that it wraps as far as they are well named."""
    while True:
        yield strategy
        try:
            strategy = Choice.model_validate(strategy.settings.get(_INNER))
        except ValueError:  # it wraps none, or what it wraps is told when it is built
            return


def _check(group: str, choice: Choice, sections: Mapping[str, Any]) -> None:
    """Raise `FedsimError` if a plugin is not there, or refuses its settings."""
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
    elif group == "adversaries" and {"audit", "partition"} <= sections.keys():
        victims, participants = sections["audit"].victims, sections["partition"].participants
        plugins.build(group, name, settings, victims=victims, participants=participants)
    elif _is_built(group, plugin) and not {*arguments} & parameters.keys():
        plugins.build(group, name, settings)
    else:
        plugins.check(group, name, settings)


def _is_built(group: str, plugin: object) -> bool:
    """Return whether a plugin is cheap to build; a function of records would return them."""
    return group in _BUILT or (group == "datasets" and inspect.isclass(plugin))
