"""Checks of single parts of an experiment: each is built once, without any data."""

import torch
from torch import nn
from torch.optim import Optimizer

from fedsim import plugins
from fedsim.config.experiment import Experiment
from fedsim.data.partition import require_partitioner
from fedsim.errors import ConfigError
from fedsim.federation.strategy_state import strategy_state
from fedsim.stages.preparation.strategy_choice import chosen_strategy
from fedsim.training.optimizers import GROUP, optimizer_factory


def require_partitioner_settings(experiment: Experiment) -> None:
    """Raise `FedsimError` if the partitioner refuses its settings."""
    chosen = experiment.partition
    require_partitioner(chosen.name, chosen.participants, chosen.records, chosen.settings)


def require_strategy(experiment: Experiment) -> None:
    """Raise `FedsimError` if the strategy refuses its settings, or cannot be checkpointed."""
    strategy_state(chosen_strategy(experiment))


def require_optimizer(experiment: Experiment) -> None:
    """Build the optimiser of `federation.local`; ours are checked with their settings.

    The first optimiser makes torch load its compiler, which stacked training never needs.
    """
    chosen, rate = experiment.federation.local.optimizer, experiment.federation.local.learning_rate
    factory = optimizer_factory(chosen.name, chosen.settings)
    plugin = plugins.resolve(GROUP, chosen.name)
    if isinstance(plugin, type) and issubclass(plugin, Optimizer):
        try:
            factory([nn.Parameter(torch.zeros(1))], rate)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"federation.local.optimizer: {chosen.name}: {plugins.one_line(error)}"
            ) from error
