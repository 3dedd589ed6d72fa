"""The strategy of an experiment without its defences; needs no data."""

from flwr.serverapp.strategy import FedXgbCyclic, Strategy

from fedsim.config.experiment import Experiment
from fedsim.federation.strategies import INNER, build_strategy


def chosen_strategy(experiment: Experiment) -> Strategy:
    """Return a new instance of the strategy."""
    federation, participants = experiment.federation, experiment.partition.participants
    chosen, present = federation.strategy, federation.fewest_present(participants)
    return build_strategy(chosen.name, chosen.settings, present)


def some_are_away(experiment: Experiment) -> bool:
    """Return whether some participants miss rounds: not sampled, not attending, or without data."""
    return experiment.federation.some_are_away or samples_participants(chosen_strategy(experiment))


def samples_participants(strategy: Strategy) -> bool:
    """Return whether a strategy, or one that it wraps, samples the participants of a round."""
    inner = getattr(strategy, INNER, None)
    return (
        isinstance(strategy, FedXgbCyclic)  # one participant a round, whatever its fraction is
        or getattr(strategy, "fraction_train", 1.0) < 1.0
        or (inner is not None and samples_participants(inner))
    )
