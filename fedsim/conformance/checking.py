"""From a plugin's name to its findings: what kind it is, and the checks of that kind."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import isclass
from pathlib import Path
from typing import Any, Literal

from fedsim import plugins
from fedsim.adversary.participant_position import ParticipantAdversary
from fedsim.adversary.server_position import ServerAdversary
from fedsim.attacks import Attack
from fedsim.conformance import toy
from fedsim.conformance.adversary_checks import adversary_checks
from fedsim.conformance.attack_checks import attack_checks
from fedsim.conformance.attempt import Attempt
from fedsim.conformance.checklist import Check, Checklist, CheckResult, findings_of
from fedsim.conformance.trial import Trial
from fedsim.errors import PluginError, listed

Kind = Literal["adversaries", "attacks"]
Settings = Mapping[str, Any]

_CHECKS: Mapping[Kind, Callable[[str, Settings, Path], Sequence[Check]]] = {
    "adversaries": lambda name, settings, folder: adversary_checks(Trial(name, settings, folder)),
    "attacks": lambda name, settings, folder: attack_checks(Attempt(name, settings, folder)),
}
_CONTRACTS: Mapping[Kind, tuple[type, ...]] = {
    "adversaries": (ServerAdversary, ParticipantAdversary),
    "attacks": (Attack,),
}


def check_adversary(plugin: type | str, **settings: Any) -> Checklist:
    """Check an adversary against its contract, in tiny federations; it takes seconds.

    Parameters
    ----------
    plugin
        Its class, ``module:Class``, or its name if it is installed.
    settings
        Its settings. A `participant` that it cannot do without is chosen where none is given.

    Raises
    ------
    PluginError
        If there is no such plugin, it is no adversary, or its settings are not valid.
    """
    return _checked("adversaries", _name_of(plugin), settings)


def check_attack(plugin: type | str, **settings: Any) -> Checklist:
    """Check an attack against its contract, on what a tiny federation shows; as `check_adversary`.

    Raises
    ------
    PluginError
        If there is no such plugin, it is no attack, or its settings are not valid.
    """
    return _checked("attacks", _name_of(plugin), settings)


def identified(name: str) -> Kind:
    """Return what kind of plugin a name stands for.

    Raises
    ------
    PluginError
        If there is none of that name, two of different kinds, or it is of neither kind.
    """
    if ":" not in name:
        offered = {kind: plugins.available(kind) for kind in _CHECKS}
        kinds = [kind for kind, points in offered.items() if name in points]
        if len(kinds) != 1:
            known = {point for points in offered.values() for point in points}
            raise PluginError(
                f"{name!r} is both an adversary and an attack; name it as module:Class"
                if kinds
                else f"there is no adversary and no attack {name!r}; valid: {listed(known)}, or "
                "your own as module:Class"
            )
        return kinds[0]
    plugin = plugins.resolve("adversaries", name)
    for kind, contracts in _CONTRACTS.items():
        if isclass(plugin) and issubclass(plugin, contracts):
            return kind
    raise PluginError(
        f"{name!r} is neither an adversary nor an attack: it must be a class that derives from "
        "fedsim.ServerAdversary, fedsim.ParticipantAdversary or fedsim.Attack"
    )


def findings(kind: Kind, name: str, settings: Settings) -> Iterator[CheckResult]:
    """Yield what comes of each check of a plugin, one after the other.

    Raises
    ------
    PluginError
        Before the first, if the plugin is of another kind or its settings are not valid.
    """
    actual = identified(name)
    if actual != kind:
        raise PluginError(f"{name!r} is one of the {actual}, not of the {kind}")
    settings = _completed(kind, name, settings)
    # Built once for the sake of its errors: settings that it refuses are no broken promise.
    plugins.build(kind, name, settings, victims=(0,), participants=toy.PARTICIPANTS)
    with tempfile.TemporaryDirectory(prefix="fedsim-check-") as folder:
        yield from findings_of(_CHECKS[kind](name, settings, Path(folder)))


def _checked(kind: Kind, name: str, settings: Settings) -> Checklist:
    return Checklist(name, kind, tuple(findings(kind, name, settings)))


def _completed(kind: Kind, name: str, settings: Settings) -> Settings:
    """Return settings with a participant for an adversary that sits in a participant's position."""
    plugin = plugins.resolve(kind, name)
    fields = plugins.settings_schema(plugin, plugins.GROUPS[kind].provided).model_fields
    if kind == "adversaries" and "participant" in fields and fields["participant"].is_required():
        return {"participant": toy.DISHONEST_PARTICIPANT, **settings}
    return settings


def _name_of(plugin: type | str) -> str:
    if isinstance(plugin, str):
        return plugin
    if "<locals>" in plugin.__qualname__:
        raise PluginError(
            f"{plugin.__qualname__} is made inside a function; a plugin must be importable as "
            "module:Class"
        )
    return f"{plugin.__module__}:{plugin.__qualname__}"
