"""Experiments that cannot work are refused before anything is written."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from flwr.serverapp.strategy import Strategy
from torch import nn

from fedsim.config.experiment import Experiment
from fedsim.data import Dataset
from fedsim.defences.base import Defence
from fedsim.defences.composition import bare_defence, require_seen
from fedsim.defences.secure_aggregation import with_protocol
from fedsim.errors import ConfigError, FedsimError
from fedsim.federation.strategies import require_aggregable
from fedsim.federation.strategy_state import strategy_state
from fedsim.models import exchanged_state
from fedsim.observation.keys import SnapshotKind
from fedsim.privacy import Position
from fedsim.stages.preparation.attackers import Attacker


@contextmanager
def naming_what_is_given(experiment: Experiment, data: Dataset) -> Iterator[None]:
    """Add to an error in the context the model settings that the data already determine."""
    settings = experiment.model.settings
    said = {"input_shape": list(data.input_shape), "num_classes": data.num_classes}
    try:
        yield
    except FedsimError as error:
        given = [
            f"model.{key} is given as {settings[key]}, and is {value} by the data"
            for key, value in said.items()
            if key in settings and settings[key] != value
        ]
        if not given:
            raise
        raise type(error)(f"{error}; {' and '.join(given)}: leave it out") from error


def require_aggregation(strategy: Strategy, new_model: Callable[[], nn.Module]) -> None:
    """Raise `FedsimError` if a strategy cannot be checkpointed, or cannot aggregate the model."""
    strategy_state(strategy)  # what it cannot keep is reported now, and not after a round
    require_aggregable(strategy, exchanged_state(new_model()))


def require_simulated(experiment: Experiment) -> None:
    """Raise if an experiment's defences run on Flower's own runtimes only.

    Raises
    ------
    ConfigError
        In one sentence; no data are needed to find out.
    """
    if with_protocol(bare_defence(one) for one in experiment.defences):
        raise ConfigError(
            "secure-aggregation with protocol secagg+ is Flower's own, and needs one of its "
            "runtimes (fedsim new flower-app); leave protocol out for the exact stand-in"
        )


def require_undefended(
    experiment: Experiment, attackers: Iterable[Attacker], defences: Mapping[str, Defence]
) -> None:
    """Raise if a defence hides what an attacker needs."""
    for attacker in attackers:
        position: Position = "server" if attacker.participant is None else "participant"
        if attacker.threat().outside:
            position = "outside"
        keys = attacker.keys_throughout(experiment)
        if position == "server" and attacker.threat().active and not attacker.acts_on_sums:
            keys |= {SnapshotKind.UPLOAD.of(v) for q in attacker.queries for v in q.victims}
        require_seen(defences, attacker.label, position, keys)
