"""Building a strategy, Flower's or a plugin's, from its name and its settings."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from flwr.serverapp.strategy import Bulyan, FedAvg, QFedAvg, Strategy
from pydantic import ValidationError
from torch import Tensor

from fedsim import plugins
from fedsim.config.choice import Choice
from fedsim.errors import ConfigError, PluginError
from fedsim.federation.log_filters import no_warnings_of_flower
from fedsim.transport.fast_fedavg import QUICK, FastFedAvg
from fedsim.transport.messages import EXAMPLES

GROUP = "strategies"
INNER = "strategy"
_HALVES = {
    "DifferentialPrivacyClientSideAdaptiveClipping": (
        "defences: [{name: adaptive-clipping, noise_multiplier: ...}]"
    ),
    "DifferentialPrivacyClientSideFixedClipping": (
        "defences: [{name: fixed-clipping, clipping_norm: ..., noise_multiplier: ...}]"
    ),
}
"""Flower's strategies that rely on a mod in the participants' app, and what to use instead."""
_OF_TREES = frozenset({"FedXgbBagging"})
_AT_LEAST = re.compile(r"min_\w+_nodes")
_WEIGHTS = (EXAMPLES, "loss")
"""Metrics that are above zero in every reply: a strategy may weight participants by them."""


def build_strategy(name: str, settings: Mapping[str, Any], participants: int) -> Strategy:
    """Return a strategy for a federation of `participants` participants.

    Parameters
    ----------
    name
        A plugin of the group ``strategies``: the name of a class in `flwr.serverapp.strategy`, or
        a class of the user's own as ``module:Class``.
    settings
        Its arguments. A strategy that wraps another one, as those for differential privacy do,
        takes that one as ``strategy: {name: ...}``.
    participants
        The number of participants in the round with the fewest. The strategy waits for that number
        unless the settings say otherwise.

    Raises
    ------
    PluginError
        If there is no such strategy, or a setting is unknown or not valid.
    ConfigError
        If the settings do not fit the federation.
    """
    plugin = plugins.resolve(GROUP, name)
    if plugin.__name__ in _OF_TREES and plugin.__module__.startswith("flwr."):
        raise ConfigError(
            f"federation.strategy: {name} aggregates gradient-boosted trees, and no parameters of "
            "a network; take another strategy"
        )
    if plugin.__name__ in _HALVES and plugin.__module__.startswith("flwr."):
        raise ConfigError(
            f"federation.strategy: {name} is the server's half of a defence: without the other "
            f"half no participant clips, and nothing is protected; take {_HALVES[plugin.__name__]}"
        )
    ours: dict[str, Any] = {
        "min_available_nodes": participants,
        "min_train_nodes": 1,
        "min_evaluate_nodes": 1,
        "train_loss_key": "loss",
    }
    parameters = plugins.settings_schema(plugin, ()).model_fields
    wraps = INNER in parameters
    own = {key: value for key, value in settings.items() if not (wraps and key == INNER)}
    filled = {key: value for key, value in ours.items() if key in parameters}
    filled |= plugins.checked(plugin, name, own, provided=(INNER,))
    if wraps:
        inner = _worn_over(name, settings)
        filled[INNER] = build_strategy(inner.name, inner.settings, participants)
    _require_fractions(name, filled)
    try:
        with no_warnings_of_flower():
            built = QUICK.get(plugin, plugin)(**filled)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"federation.strategy: {name}: {error}") from error
    except Exception as error:  # some settings have types that only Flower's own code can make
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"federation.strategy: {name} cannot be built with these settings "
            f"({type(error).__name__}: {reason}); leave out those that are no numbers or text"
        ) from error
    if not isinstance(built, Strategy):
        raise PluginError(
            f"strategy {name!r} gave a {type(built).__name__}; a plugin of group strategies must "
            "derive from flwr.serverapp.strategy.Strategy"
        )
    weights = getattr(built, "weighted_by_key", EXAMPLES)
    if weights not in _WEIGHTS:
        raise ConfigError(
            f"federation.strategy: {name} would weight participants by weighted_by_key = "
            f"{weights!r}, which they do not all send; it must be {_WEIGHTS[0]} or {_WEIGHTS[1]}"
        )
    # Read from the built strategy: some have minima of their own, which are not settings.
    patient = [k for k, v in vars(built).items() if _AT_LEAST.fullmatch(k) and v > participants]
    if patient:
        raise ConfigError(
            f"federation.strategy: {name} would wait forever for {patient[0]} = "
            f"{getattr(built, patient[0])}; in some round only {participants} take part"
        )
    if isinstance(built, Bulyan) and participants < (least := 4 * built.num_malicious_nodes + 3):
        raise ConfigError(
            f"federation.strategy: {name} with num_malicious_nodes = {built.num_malicious_nodes} "
            f"aggregates no fewer than {least} uploads; in some round only {participants} take part"
        )
    return built


def is_weighted_mean(strategy: Strategy) -> bool:
    """Return whether the aggregate is the mean of uploads weighted by numbers of records."""
    return (
        isinstance(strategy, FedAvg)
        and type(strategy).aggregate_train in (FedAvg.aggregate_train, FastFedAvg.aggregate_train)
        and strategy.weighted_by_key == EXAMPLES
    )


def require_aggregable(strategy: Strategy, parameters: Mapping[str, Tensor]) -> None:
    """Raise `ConfigError` if a strategy of Flower's cannot aggregate a model's buffers.

    Some strategies compute in place in the parameters' own types, in which the difference of two
    bools, or the product of an integer and a fraction, is not defined. `parameters` is the model's
    state.
    """
    name = type(strategy).__name__
    kinds = {key: value.dtype for key, value in parameters.items()}
    unfit = [key for key, kind in kinds.items() if kind == torch.bool]
    if isinstance(strategy, QFedAvg):
        unfit = [key for key, kind in kinds.items() if not kind.is_floating_point]
    elif not name.startswith("DifferentialPrivacy"):
        unfit = []
    if unfit:
        raise ConfigError(
            f"federation.strategy: {name} cannot aggregate {unfit[0]!r} of type "
            f"{str(kinds[unfit[0]]).removeprefix('torch.')}; take another strategy, a model "
            "without such buffers, or register them with persistent=False"
        )
    inner = getattr(strategy, INNER, None)
    if isinstance(inner, Strategy):
        require_aggregable(inner, parameters)


def _require_fractions(name: str, settings: Mapping[str, Any]) -> None:
    """Raise unless fractions lie between 0 and 1: beyond 1 a strategy would wait for ever."""
    for key, value in settings.items():
        if not key.startswith("fraction_") or not isinstance(value, int | float):
            continue
        if not 0 <= value <= 1:
            raise ConfigError(
                f"federation.strategy: {name} would wait forever for {key} = {value}; it must be "
                "a fraction between 0 and 1 of those who take part"
            )
        if key == "fraction_train" and value == 0:
            raise ConfigError(
                f"federation.strategy: {name} would train nobody with {key} = {value}; it must be "
                "above 0, and at most 1"
            )


def _worn_over(name: str, settings: Mapping[str, Any]) -> Choice:
    try:
        return Choice.model_validate(settings.get(INNER))
    except ValidationError as error:
        raise ConfigError(
            f"federation.strategy: {name} wraps another strategy and needs it as "
            f"{INNER}: {{name: FedAvg}}"
        ) from error
