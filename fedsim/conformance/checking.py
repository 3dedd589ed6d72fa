"""From a plugin's name to the results of the checks of its group."""

import inspect
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from inspect import isclass
from pathlib import Path
from typing import Any

from flwr.serverapp.strategy import Strategy
from torch import nn
from torch.optim import Optimizer

from fedsim import plugins
from fedsim.adversary.participant_position import ParticipantAdversary
from fedsim.adversary.server_position import ServerAdversary
from fedsim.attacks import Attack
from fedsim.canaries import CanaryKind
from fedsim.config.engine import Engine
from fedsim.conformance import toy
from fedsim.conformance.adversary_checks import adversary_checks
from fedsim.conformance.adversary_trial import AdversaryTrial
from fedsim.conformance.attack_checks import attack_checks
from fedsim.conformance.attack_trial import AttackTrial
from fedsim.conformance.canary_checks import canary_checks
from fedsim.conformance.checklist import Check, Checklist, CheckResult, Failed, findings_of
from fedsim.conformance.dataset_checks import dataset_checks
from fedsim.conformance.defence_checks import defence_checks
from fedsim.conformance.engine_checks import engine_checks
from fedsim.conformance.metric_checks import metric_checks
from fedsim.conformance.model_checks import model_checks
from fedsim.conformance.objective_checks import objective_checks
from fedsim.conformance.optimizer_checks import optimizer_checks
from fedsim.conformance.partitioner_checks import partitioner_checks
from fedsim.conformance.strategy_checks import strategy_checks
from fedsim.conformance.trainer_checks import trainer_checks
from fedsim.data.partitioners.flower import is_of_flower
from fedsim.defences import Defence
from fedsim.errors import PluginError, listed
from fedsim.evaluation.metric import Metric
from fedsim.objectives import Objective
from fedsim.training.trainer import LocalTrainer

Settings = Mapping[str, Any]

_CHECKS: Mapping[str, Callable[[str, Settings, Path], Sequence[Check]]] = {
    "adversaries": lambda name, settings, folder: adversary_checks(
        AdversaryTrial(name, settings, folder)
    ),
    "attacks": lambda name, settings, folder: attack_checks(AttackTrial(name, settings, folder)),
    "canaries": lambda name, settings, folder: canary_checks(name, settings),
    "datasets": dataset_checks,
    "defences": defence_checks,
    "engines": engine_checks,
    "metrics": lambda name, settings, folder: metric_checks(name, settings),
    "models": lambda name, settings, folder: model_checks(name, settings),
    "objectives": lambda name, settings, folder: objective_checks(name, settings),
    "optimizers": lambda name, settings, folder: optimizer_checks(name, settings),
    "partitioners": lambda name, settings, folder: partitioner_checks(name, settings),
    "strategies": strategy_checks,
    "trainers": lambda name, settings, folder: trainer_checks(name, settings),
}
_CONTRACTS: Mapping[str, tuple[type, ...]] = {
    "adversaries": (ServerAdversary, ParticipantAdversary),
    "attacks": (Attack,),
    "canaries": (CanaryKind,),
    "defences": (Defence,),
    "engines": (Engine,),
    "metrics": (Metric,),
    "models": (nn.Module,),
    "objectives": (Objective,),
    "optimizers": (Optimizer,),
    "strategies": (Strategy,),
    "trainers": (LocalTrainer,),
}
"""The classes that plugins of a group derive from; the others are known by their parameters."""


def check_plugin(group: str, plugin: Callable[..., Any] | str, **settings: Any) -> Checklist:
    """Check a plugin against the contract of its group on tiny input; takes seconds.

    Parameters
    ----------
    group
        Its group, as in `fedsim list`.
    plugin
        The class or function, ``module:attribute``, or its name if it is installed.
    settings
        Its settings.

    Raises
    ------
    PluginError
        If there is no such plugin, it is of another group, or its settings are not valid.

    Examples
    --------
    >>> check_plugin("partitioners", "disjoint").require()
    """
    return _checked(group, _name_of(plugin), settings)


def check_adversary(plugin: type | str, **settings: Any) -> Checklist:
    """Check an adversary against its contract, in tiny federations; it takes seconds.

    Parameters
    ----------
    plugin
        Its class, ``module:Class``, or its name if it is installed.
    settings
        Its settings. A required `participant` is chosen if none is given.

    Raises
    ------
    PluginError
        If there is no such plugin, it is no adversary, or its settings are not valid.
    """
    return _checked("adversaries", _name_of(plugin), settings)


def check_attack(plugin: type | str, **settings: Any) -> Checklist:
    """Check an attack against its contract on a tiny federation, like `check_adversary`.

    Raises
    ------
    PluginError
        If there is no such plugin, it is no attack, or its settings are not valid.
    """
    return _checked("attacks", _name_of(plugin), settings)


def identified(name: str) -> str:
    """Return the group of a plugin.

    Raises
    ------
    PluginError
        If there is none of that name, there are two of different groups, or its group is unclear.
    """
    if ":" not in name:
        groups = [group for group in plugins.GROUPS if name in plugins.available(group)]
        if len(groups) != 1:
            raise PluginError(
                f"{name!r} is one of the {' and of the '.join(groups)}; say which with --kind"
                if groups
                else f"there is no plugin {name!r}; valid: a name of `fedsim list GROUP`, or your "
                "own as module:attribute"
            )
        return groups[0]
    plugin = plugins.resolve("datasets", name)
    for group, contracts in _CONTRACTS.items():
        if isclass(plugin) and issubclass(plugin, contracts):
            return group
    parameters = _parameters(plugin)
    if is_of_flower(plugin) or "task" in parameters or hasattr(plugin, "partition"):
        return "partitioners"
    if parameters & {"num_classes", "input_shape"}:
        return "models"
    if isclass(plugin) and hasattr(plugin, "arrays"):
        return "datasets"
    raise PluginError(
        f"{name!r} does not say what it is: it derives from no class of fedsim's; say which with "
        f"--kind, one of: {listed(_CHECKS)}"
    )


def findings(group: str, name: str, settings: Settings) -> Iterator[CheckResult]:
    """Yield the result of each check of a plugin.

    Raises
    ------
    PluginError
        Before the first, if the plugin is of another group or its settings are not valid.
    """
    if group not in _CHECKS:
        raise PluginError(f"there are no checks of the {group!r}; valid: {listed(_CHECKS)}")
    _require_of(group, name)
    settings = _completed(group, name, settings)
    # Before any check, to report its errors: settings that it refuses are no broken promise.
    if group in ("adversaries", "attacks"):
        plugins.build(group, name, settings, victims=(0,), participants=toy.PARTICIPANTS)
    elif not is_of_flower(plugins.resolve(group, name)):
        plugins.check(group, name, settings)
    with tempfile.TemporaryDirectory(prefix="fedsim-check-") as folder:
        checks = list(_CHECKS[group](name, settings, Path(folder)))
        if group not in ("adversaries", "attacks"):  # theirs have it already
            described = partial(_is_described, group, name)
            checks.insert(0, Check("says in one line what it is", described))
        yield from findings_of(checks)


def _require_of(group: str, name: str) -> None:
    """Raise `PluginError` if a plugin belongs to another group than the given one."""
    if ":" not in name:
        plugins.resolve(group, name)
        if name not in plugins.available(group):
            raise PluginError(f"{name!r} is none of the {group}")
        return
    plugin = plugins.resolve(group, name)
    for other, contracts in _CONTRACTS.items():
        if other != group and isclass(plugin) and issubclass(plugin, contracts):
            raise PluginError(f"{name!r} is one of the {other}, not of the {group}")


def _is_described(group: str, name: str) -> None:
    """`fedsim list` shows the first line of its documentation."""
    plugin = plugins.resolve(group, name)
    if not getattr(plugin, "__doc__", None):
        raise Failed("it has no docstring; its first line is what `fedsim list` shows")


def _parameters(plugin: Callable[..., Any]) -> set[str]:
    try:
        return {*inspect.signature(plugin).parameters}
    except (TypeError, ValueError):  # of something built in
        return set()


def _checked(kind: str, name: str, settings: Settings) -> Checklist:
    return Checklist(name, kind, tuple(findings(kind, name, settings)))


def _completed(kind: str, name: str, settings: Settings) -> Settings:
    """Return settings with a participant for an adversary that sits in a participant's position."""
    if kind != "adversaries":
        return settings
    plugin = plugins.resolve(kind, name)
    fields = plugins.settings_schema(plugin, plugins.GROUPS[kind].provided).model_fields
    if "participant" in fields and fields["participant"].is_required():
        return {"participant": toy.DISHONEST_PARTICIPANT, **settings}
    return settings


def _name_of(plugin: Callable[..., Any] | str) -> str:
    if isinstance(plugin, str):
        return plugin
    if "<locals>" in plugin.__qualname__:
        raise PluginError(
            f"{plugin.__qualname__} is made inside a function; a plugin must be importable as "
            "module:Class"
        )
    return f"{plugin.__module__}:{plugin.__qualname__}"
