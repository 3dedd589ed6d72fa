"""The strategy that an experiment names, without its defences: asked before there are any data."""

from flwr.serverapp.strategy import Strategy

from fedsim.config.experiment import Experiment
from fedsim.federation.strategies import INNER, build_strategy


def chosen_strategy(experiment: Experiment) -> Strategy:
    """Return the strategy, as new."""
    federation, participants = experiment.federation, experiment.partition.participants
    chosen, present = federation.strategy, federation.fewest_present(participants)
    return build_strategy(chosen.name, chosen.settings, present)


def some_are_away(experiment: Experiment) -> bool:
    """Return whether some participants are away in some rounds: drawn, set, or without data."""
    return experiment.federation.some_are_away or samples_participants(chosen_strategy(experiment))


def samples_participants(strategy: Strategy) -> bool:
    """Return whether a strategy, or one that it wraps, trains only some who are there."""
    inner = getattr(strategy, INNER, None)
    return getattr(strategy, "fraction_train", 1.0) < 1.0 or (
        inner is not None and samples_participants(inner)
    )
