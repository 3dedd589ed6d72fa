"""The defences of an experiment put together: built, checked, and around what they protect."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial, reduce

from flwr.app import ArrayRecord
from flwr.clientapp.typing import Mod
from flwr.serverapp.strategy import Strategy

from fedsim import plugins
from fedsim.config.choice import LabelledChoice
from fedsim.defences.base import Defence, Half
from fedsim.errors import ConfigError, FedsimError, PluginError
from fedsim.observation.keys import SnapshotKey
from fedsim.privacy import FederationFacts, Position
from fedsim.training.trainer import LocalTrainer
from fedsim.transport.lazy_arrays import record_byte_count


def build_defences(choices: Iterable[LabelledChoice], facts: FederationFacts) -> dict[str, Defence]:
    """Return the defences that an experiment names, by label, in their order.

    Raises
    ------
    PluginError
        If a plugin cannot be built, is no `Defence`, or one of its halves is missing.
    """
    defences = {choice.label: _built(choice, facts) for choice in choices}
    for place, defence in enumerate(defences.values()):
        defence.facts = _at(place, defences, facts)
    return defences


def _at(place: int, defences: Mapping[str, Defence], facts: FederationFacts) -> FederationFacts:
    """Return the facts as they are at a place in the list: what comes before and after matters."""
    altering = [(one.alters_updates and _acts(one), label) for label, one in defences.items()]
    before = [one for one in list(defences.values())[:place] if one.alters_updates]
    return replace(
        facts,
        later=tuple(label for alters, label in altering[place + 1 :] if alters),
        averages=facts.averages and not any(map(_wraps_strategy, before)),
    )


def _acts(defence: Defence) -> bool:
    return bool(defence.client_mods()) or _wraps_strategy(defence)


def _wraps_strategy(defence: Defence) -> bool:
    return type(defence).wrap_strategy is not Defence.wrap_strategy


def bare_defence(choice: LabelledChoice) -> Defence:
    """Return a defence that knows nothing of the federation yet.

    Raises
    ------
    PluginError
        If the plugin cannot be built, or is no `Defence`.
    """
    defence = plugins.build_member("defences", choice.name, choice.settings, Defence)
    defence.label = choice.label
    return defence


def _built(choice: LabelledChoice, facts: FederationFacts) -> Defence:
    defence = bare_defence(choice)
    defence.facts = facts
    _require_halves(choice.label, defence)
    return defence


def _require_halves(label: str, defence: Defence) -> None:
    """Raise unless every side that a defence names does something, and any side does."""
    wraps_trainer = type(defence).wrap_trainer is not Defence.wrap_trainer
    found: dict[Half, bool] = {
        "participants": wraps_trainer or bool(defence.client_mods()),
        "server": _wraps_strategy(defence),
    }
    needed: tuple[Half, ...] = ("participants", "server")
    missing = [half for half in needed if half in defence.halves and not found[half]]
    if missing:
        part = "client mod or trainer" if missing[0] == "participants" else "strategy"
        raise PluginError(
            f"defence {label} is a half: it says that the {missing[0]} must act, and has no {part} "
            "for that; a half alone protects nobody"
        )
    if not any(found.values()):
        raise PluginError(
            f"defence {label} does nothing: it has no client mods, and wraps neither strategy nor "
            "trainer"
        )


def wrapped_strategy(defences: Iterable[Defence], strategy: Strategy) -> Strategy:
    """Return a strategy with the server's halves around it, the last defence outermost.

    Raises
    ------
    FedsimError
        If one cannot be built around it.
    """
    return reduce(_wrap_strategy, defences, strategy)


def _wrap_strategy(strategy: Strategy, defence: Defence) -> Strategy:
    try:
        wrapped = defence.wrap_strategy(strategy)
    except FedsimError:
        raise
    except Exception as error:  # a third party's defence may raise anything
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"{type(defence).__name__} cannot wrap the strategy {type(strategy).__name__} "
            f"({type(error).__name__}: {reason})"
        ) from error
    if not isinstance(wrapped, Strategy):
        raise PluginError(
            f"{type(defence).__name__}.wrap_strategy returned a {type(wrapped).__name__}, not a "
            "Strategy of Flower's"
        )
    return wrapped


def wrapped_trainer(defences: Sequence[Defence], trainer: LocalTrainer) -> LocalTrainer:
    """Return a trainer with the defences around it, the last one outermost."""
    return reduce(lambda inner, defence: defence.wrap_trainer(inner), defences, trainer)


def wraps_training(defences: Iterable[Defence]) -> bool:
    """Return whether any of them changes the local training itself."""
    return any(type(one).wrap_trainer is not Defence.wrap_trainer for one in defences)


def mods_of(defences: Sequence[Defence]) -> list[Mod]:
    """Return the participants' mods in Flower's order, the last defence outermost."""
    return [mod for defence in reversed(defences) for mod in defence.client_mods()]


def encoding(defences: Sequence[Defence]) -> Callable[[ArrayRecord], int] | None:
    """Return what says how many bytes an encoded upload takes; None where uploads are not encoded.

    What comes out of the last defence that alters uploads is what is sent.
    """
    altering = [one for one in defences if one.alters_updates and one.client_mods()]
    if not altering or type(altering[-1]).upload_bytes is Defence.upload_bytes:
        return None
    return partial(_encoded, altering[-1])


def _encoded(defence: Defence, upload: ArrayRecord) -> int:
    found = defence.upload_bytes(upload)
    return record_byte_count(upload) if found is None else found


def require_seen(
    defences: Mapping[str, Defence], who: str, position: Position, needed: Iterable[SnapshotKey]
) -> None:
    """Raise `ConfigError` if a position needs what a defence hides from it.

    Parameters
    ----------
    defences
        By label.
    who, position
        The attacker's label, and where it sits.
    needed
        What its attacks are given.
    """
    kinds = {key.kind: key for key in sorted(needed)}
    for label, defence in defences.items():
        for hidden in defence.hides():
            lost = [key for kind, key in kinds.items() if kind in hidden.kinds]
            if hidden.position == position and lost:
                raise ConfigError(
                    f"{who} needs {lost[0].in_words}, which the defence {label} hides from it: "
                    f"{hidden.why}; take another adversary, or leave the defence out"
                )
