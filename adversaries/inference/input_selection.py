"""What an attack may read of a record: the settings that make it black-box or white-box.

A preset, or a list of layers. What is not chosen is not there for the network at all, and neither
are the scalars that would give it away:

- the output of the last layer gives log-odds, margin, true logit and the others' log-sum-exp;
- the gradient of the last layer gives the norm of its input and its own log norm;
- the gradient of any layer gives its log norm.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from torch import nn

from adversaries.inference.features import SCALARS, FeatureSpec
from adversaries.inference.presets import BY_NAME, NAME, SETTINGS
from fedsim.errors import ConfigError, listed
from fedsim.observation.needs import Layers, Needs

OF_THE_OUTPUT = ("log-odds of the label", "margin", "true logit", "others' log-sum-exp")
"""The scalars that follow from the last layer's output and the label."""

Preset = Literal["black-box", "white-box-outputs", "white-box-gradients"]


@dataclass(frozen=True)
class InputSettings:
    """Which features of a record an attack reads, on every snapshot.

    A layer is named as the model names it (``conv5``), or by its place from the end: -1 is the last
    layer, which gives the logits, -2 the one before. Places count layers of type Linear and Conv2d.

    Attributes
    ----------
    outputs
        Layers whose outputs are read, singly or together. By name it may be any module; a linear or
        convolutional layer's output is taken before the activation behind it.
    gradients
        Layers (Linear, Conv2d) whose weight gradients are read, singly or together.
    loss
        Whether the loss is read.
    label
        Whether the label is read.
    scalars
        Whether the well-scaled numbers that follow from the choices above are read beside them.
    gradient_norms
        Among those scalars, the gradient norms of the ``chosen`` layers, of ``all`` or
        of ``none``.
    memory_limit_gb
        Most that the features of all snapshots may take. Training needs two to three times as much.
    """

    outputs: tuple[str | int, ...] = ()
    gradients: tuple[str | int, ...] = ()
    loss: bool = False
    label: bool = True
    scalars: bool = True
    gradient_norms: Literal["chosen", "all", "none"] = "chosen"
    memory_limit_gb: float = 3.0

    def __post_init__(self) -> None:
        if not (self.outputs or self.gradients or self.loss or self.gradient_norms == "all"):
            raise ConfigError(
                "inputs choose nothing that depends on the model; name outputs or gradients of "
                "layers, as in {outputs: [-1]}, or set loss: true"
            )
        if not self.memory_limit_gb > 0:
            raise ConfigError(f"memory_limit_gb is above 0, not {self.memory_limit_gb}")

    @property
    def needs(self) -> Needs:
        """What must be extracted for it, by the names and places that are chosen."""
        norms: Mapping[str, Layers | Literal["all"]] = {
            "all": "all",
            "chosen": self.gradients,
            "none": (),
        }
        return Needs(
            outputs=-1 in self.outputs,
            scalars=self.scalars or self.loss,
            last_layer=-1 in self.gradients,
            layer_outputs=tuple(layer for layer in self.outputs if layer != -1),
            gradient_norms=norms[self.gradient_norms] if self.scalars else (),
            gradients=tuple(layer for layer in self.gradients if layer != -1),
        )

    def resolved(self, model: nn.Module, last_layer: str | None = None) -> "SelectedInputs":
        """Return the choice by the names of a model's layers.

        Raises
        ------
        ConfigError
            If the model has no such layer, or one is chosen twice.
        """
        names = layer_names(model, last_layer)
        modules = dict(model.named_modules())
        outputs, gradients = (
            tuple(_name(layer, names, modules) for layer in layers)
            for layers in (self.outputs, self.gradients)
        )
        for chosen in (outputs, gradients):
            if len(set(chosen)) < len(chosen):
                raise ConfigError(f"inputs choose a layer twice: {', '.join(chosen)}")
        last_output, last_gradient = names[-1] in outputs, names[-1] in gradients
        follow = [last_output if s in OF_THE_OUTPUT else last_gradient for s in SCALARS]
        norms = {"all": None, "chosen": gradients, "none": ()}
        return SelectedInputs(
            last_output=last_output,
            outputs=tuple(name for name in outputs if name != names[-1]),
            last_gradient=last_gradient,
            gradients=tuple(name for name in gradients if name != names[-1]),
            loss=self.loss,
            label=self.label,
            scalars=tuple(place for place, does in enumerate(follow) if self.scalars and does),
            norms=norms[self.gradient_norms] if self.scalars else (),
        )


PRESETS: Mapping[Preset, InputSettings] = {
    # Whoever can query the model: its last output, and the loss that follows from it.
    "black-box": InputSettings(outputs=(-1,), loss=True),
    # Whoever holds the model and reads the outputs of its last three layers.
    "white-box-outputs": InputSettings(outputs=(-1, -2, -3), loss=True),
    # The default: the gradient of the last layer, every layer's gradient norm, the last output.
    "white-box-gradients": InputSettings(
        outputs=(-1,), gradients=(-1,), loss=True, gradient_norms="all"
    ),
}
"""The three rows of Nasr et al. 2019, table VIII, by name."""


InputChoice = Annotated[Annotated[Preset, NAME] | Annotated[InputSettings, SETTINGS], BY_NAME]
"""What is read: a preset's name, or settings."""


def input_settings(inputs: Preset | InputSettings) -> InputSettings:
    """Return the settings that a preset stands for, or the settings themselves."""
    return inputs if isinstance(inputs, InputSettings) else PRESETS[inputs]


@dataclass(frozen=True)
class SelectedInputs:
    """Which features are read, by the names of a model's layers; everything that is always kept.

    Attributes
    ----------
    last_output, last_gradient, loss, label
        Whether they are read.
    outputs, gradients
        The other layers whose outputs and gradients are.
    scalars
        Which columns of `SnapshotFeatures.scalars`.
    norms
        Layers whose gradient norms are scalars too; None for all.
    """

    last_output: bool = True
    outputs: tuple[str, ...] = ()
    last_gradient: bool = True
    gradients: tuple[str, ...] = ()
    loss: bool = True
    label: bool = True
    scalars: tuple[int, ...] = tuple(range(len(SCALARS)))
    norms: tuple[str, ...] | None = None

    def spec(self, last_layer: str | None) -> FeatureSpec:
        """Return what must be extracted: these layers, and what is extracted for every attack."""
        return FeatureSpec(last_layer=last_layer, outputs=self.outputs, gradients=self.gradients)


def layer_names(model: nn.Module, last_layer: str | None = None) -> tuple[str, ...]:
    """Return the names of a model's linear and convolutional layers, the last layer last.

    A model that is one layer itself has the name "".
    """
    found = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    linear = [name for name, module in found.items() if isinstance(module, nn.Linear)]
    last = [last_layer] if last_layer else linear[-1:]
    return (*(name for name in found if name not in last), *last)


def _name(layer: str | int, names: tuple[str, ...], modules: Mapping[str, nn.Module]) -> str:
    if isinstance(layer, str):
        if layer not in modules or not layer:
            raise ConfigError(
                f"inputs name layer {layer!r}, which the model does not have; it has "
                f"{listed(filter(None, modules))}"
            )
        return layer
    if not names:
        raise ConfigError(f"inputs name layer {layer}, but the model has no Linear or Conv2d layer")
    if not -len(names) <= layer < 0:
        raise ConfigError(
            f"inputs name layer {layer}; valid for this model: -{len(names)} ({names[0]}) to -1 "
            f"({names[-1]}), or a name"
        )
    return names[layer]
