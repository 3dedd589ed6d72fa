"""Attack networks by name, each with the training that suits it, and a user's changes to that."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from adversaries.inference.input_selection import (
    InputChoice,
    InputSettings,
    SummedInputs,
    input_settings,
)
from adversaries.inference.network import NetworkSettings
from adversaries.inference.paper_network import PaperNetworkSettings
from adversaries.inference.presets import BY_NAME, NAME, SETTINGS
from adversaries.inference.training_settings import SupervisedSettings
from fedsim.errors import ConfigError

NetworkName = Literal["default", "paper", "paper-shared"]

_PAPER = SupervisedSettings(
    network=PaperNetworkSettings(),
    epochs=100,
    patience=100,
    batch_size=64,
    learning_rate=1e-4,
    component_learning_rate=1e-4,
    weight_decay=0.0,
    schedule="constant",
    loss="squared-error",
)

PLANS: Mapping[NetworkName, SupervisedSettings] = {
    "default": SupervisedSettings(),
    "paper": _PAPER,
    "paper-shared": replace(_PAPER, network=PaperNetworkSettings(shared=True)),
}
"""The sources of the paper's figures are listed, with how sure they are, in `paper_network`."""

NetworkChoice = Annotated[
    Annotated[NetworkName, NAME] | Annotated[NetworkSettings, SETTINGS], BY_NAME
]
"""The attack network: by its name, or ours with other sizes."""


@dataclass(frozen=True)
class TrainingChanges:
    """Changes to the network's default training; settings that are not given keep their values.

    Attributes
    ----------
    folds, repeats, epochs, patience, batch_size, learning_rate, component_learning_rate, \
weight_decay, schedule, loss
        As in `training_settings.SupervisedSettings`.
    """

    folds: int | None = None
    repeats: int | None = None
    epochs: int | None = None
    patience: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    component_learning_rate: float | None = None
    weight_decay: float | None = None
    schedule: Literal["cosine", "constant"] | None = None
    loss: Literal["squared-error", "cross-entropy"] | None = None


def network_inputs(
    inputs: InputChoice, network: NetworkName | NetworkSettings, vectors: bool | None
) -> InputSettings:
    """Return what a network reads: vectors that scalars sum up only if wanted.

    The default network does by scalars as well; others are chosen for their components, and the
    paper's read nothing else.
    """
    settings = input_settings(inputs)
    read = network != "default" if vectors is None else vectors
    if isinstance(network, str) and network.startswith("paper"):
        if not read:
            raise ConfigError(
                f"network: {network} reads nothing but vectors, so vectors: false leaves it nothing"
            )
        return settings
    return settings if read else SummedInputs.of(settings)


def plan(
    network: NetworkName | NetworkSettings, training: TrainingChanges | None
) -> SupervisedSettings:
    """Return how a network is made and trained.

    Raises
    ------
    ConfigError
        If a change is impossible.
    """
    suits = (
        replace(PLANS["default"], network=network)
        if isinstance(network, NetworkSettings)
        else PLANS[network]
    )
    changes = vars(training) if training else {}
    return replace(suits, **{name: value for name, value in changes.items() if value is not None})
