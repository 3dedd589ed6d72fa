"""The parts of an experiment that need no data, each built once before the data are decoded.

What only a constructor of Flower's or PyTorch's refuses, and what attackers cannot do together, is
told here, and all of it in one error.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import nn
from torch.optim import Optimizer

from fedsim import plugins
from fedsim.config.experiment import Experiment
from fedsim.data.partition import require_partitioner
from fedsim.errors import ConfigError, FedsimError, joined_faults
from fedsim.federation.strategy_state import strategy_state
from fedsim.stages.attackers import Attacker, attacker_of
from fedsim.stages.chosen_strategy import chosen_strategy
from fedsim.training.optimizers import GROUP, optimizer_factory
from fedsim.training.trainer import build_trainer


def require_parts(experiment: Experiment) -> None:
    """Raise `FedsimError` unless every part of an experiment that needs no data can be built.

    Raises
    ------
    FedsimError
        With all that is wrong; of its own kind where it is one thing only.
    """
    faults = list(_faults(experiment))
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise ConfigError(joined_faults([str(fault) for fault in faults]))


def _faults(experiment: Experiment) -> Iterator[FedsimError]:
    for build in _parts(experiment):
        try:
            build()
        except FedsimError as fault:
            yield fault


def _parts(experiment: Experiment) -> Iterator[Callable[[], object]]:
    yield from (
        partial(_attacker, experiment, place) for place in range(len(experiment.adversaries))
    )
    if experiment.given is None:
        yield partial(_partitioner, experiment)
    yield partial(_strategy, experiment)
    yield partial(_optimizer, experiment)
    yield partial(build_trainer, experiment.federation.local)


def _attacker(experiment: Experiment, place: int) -> Attacker:
    attacker = attacker_of(experiment.adversaries[place], experiment)
    start, rounds = attacker.acts_from(), experiment.federation.rounds
    if start is not None and start > rounds and experiment.given is None:
        raise ConfigError(
            f"{attacker.label} acts from round {start} on, but federation.rounds is {rounds}; let "
            "it act earlier, or run for longer"
        )
    return attacker


def _partitioner(experiment: Experiment) -> None:
    chosen = experiment.partition
    require_partitioner(chosen.name, chosen.participants, chosen.records, chosen.settings)


def _strategy(experiment: Experiment) -> None:
    strategy_state(chosen_strategy(experiment))


def _optimizer(experiment: Experiment) -> None:
    """Build the optimiser of `federation.local`; ours are checked with their settings.

    The first optimiser makes torch load its compiler, which stacked training never needs.
    """
    chosen, rate = experiment.federation.local.optimizer, experiment.federation.local.learning_rate
    factory, plugin = (
        optimizer_factory(chosen.name, chosen.settings),
        plugins.resolve(GROUP, chosen.name),
    )
    if isinstance(plugin, type) and issubclass(plugin, Optimizer):
        try:
            factory([nn.Parameter(torch.zeros(1))], rate)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"federation.local.optimizer: {chosen.name}: {plugins.one_line(error)}"
            ) from error
