"""The inputs of an attack: the settings that make it black-box or white-box.

A preset, or a list of layers. Features that are not chosen are not available to the network, and
neither are the scalars that depend on them:

- the output of the model gives the objective's scalars, for a classification log-odds, margin, true
  logit and the others' log-sum-exp;
- the gradient of a linear last layer gives the norm of its input and its own log norm;
- the gradient of any layer gives its log norm.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from torch import Tensor, nn

from adversaries.inference.last_layer import LAST_LAYER_SCALARS, scalar_names
from adversaries.inference.presets import BY_NAME, NAME, SETTINGS
from adversaries.inference.selected_inputs import SelectedInputs, layer_name, layer_order
from fedsim.errors import ConfigError
from fedsim.objectives import Classification, Objective
from fedsim.observation.needs import Layers, Needs

Preset = Literal["black-box", "white-box-outputs", "white-box-gradients"]


@dataclass(frozen=True)
class InputSettings:
    """Which features of a record an attack reads, on every snapshot.

    A layer is named as the model names it (``conv5``), or by its place from the end: -1 is the last
    layer, -2 the one before. Places count layers of type Linear and convolutions in the order in
    which the model runs them. The output of -1 is the model's output, whatever gives it.

    Attributes
    ----------
    outputs
        Layers whose outputs are read, singly or together. By name it may be any module; a linear or
        convolutional layer's output is taken before the activation behind it.
    gradients
        Layers (Linear, convolutions, Embedding) whose weight gradients are read, singly or
        together.
    loss
        Whether the loss is read.
    label
        Whether the label is read.
    scalars
        Whether well-scaled numbers that follow from the choices above are read, too.
    gradient_norms
        Among those scalars, the gradient norms of the ``chosen`` layers, of ``all`` or
        of ``none``.
    memory_limit_gb
        The most memory that the features of all snapshots may take. Training needs two to three
        times as much.
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
            last_layer_norms=self.scalars and -1 in self.gradients,
            last_layer=-1 in self.gradients,
            layer_outputs=tuple(layer for layer in self.outputs if layer != -1),
            gradient_norms=norms[self.gradient_norms] if self.scalars else (),
            gradients=tuple(layer for layer in self.gradients if layer != -1),
        )

    def resolved(
        self,
        model: nn.Module,
        last_layer: str | None = None,
        examples: Tensor | None = None,
        objective: Objective | None = None,
    ) -> "SelectedInputs":
        """Return the choice by the names of a model's layers.

        Parameters
        ----------
        model
            Whose layers are chosen.
        last_layer
            The Linear layer that gives its output; None finds it.
        examples
            A few records as the model takes them. Without any, its layers are taken to run in the
            order of their definition.
        objective
            The training objective; classification by default.

        Raises
        ------
        ConfigError
            If the model has no such layer, or one is chosen twice.
        FedsimError
            If `last_layer` does not give the model's output.
        """
        names, head = layer_order(model, last_layer, examples)
        modules = dict(model.named_modules())
        gradients = tuple(layer_name(layer, names, modules) for layer in self.gradients)
        last_output = -1 in self.outputs
        outputs = tuple(
            layer_name(layer, names, modules) for layer in self.outputs if layer != -1 or head
        )
        for chosen in (outputs, gradients):
            if len(set(chosen)) < len(chosen):
                raise ConfigError(f"inputs choose a layer twice: {', '.join(chosen)}")
        last_output = last_output or (head is not None and head in outputs)
        last_gradient = head is not None and head in gradients
        available = scalar_names((objective or Classification()).scalars, head is not None)
        follow = [last_gradient if n in LAST_LAYER_SCALARS else last_output for n in available]
        norms = {"all": None, "chosen": gradients, "none": ()}
        return SelectedInputs(
            last_output=last_output,
            outputs=tuple(name for name in outputs if name != head),
            last_gradient=last_gradient,
            gradients=tuple(name for name in gradients if name != head),
            loss=self.loss,
            label=self.label,
            scalars=tuple(
                n for n, does in zip(available, follow, strict=True) if self.scalars and does
            ),
            norms=norms[self.gradient_norms] if self.scalars else (),
        )


class SummedInputs(InputSettings):
    """The same choice without the vectors that scalars summarise.

    These are the last layer's output and gradient, and the loss, if scalars summarise them. Inputs
    without such scalars, as the output of an inner layer, are kept.
    """

    @classmethod
    def of(cls, settings: InputSettings) -> "SummedInputs":
        """Return settings without these vectors."""
        return cls(**vars(settings))

    @property
    def needs(self) -> Needs:
        """What must be extracted for it: vectors only if no scalars summarise them."""
        needs = super().needs
        return replace(needs, outputs=False, last_layer=False) if self.scalars else needs

    def resolved(
        self,
        model: nn.Module,
        last_layer: str | None = None,
        examples: Tensor | None = None,
        objective: Objective | None = None,
    ) -> "SelectedInputs":
        """Return the choice by the names of a model's layers, without these vectors."""
        return super().resolved(model, last_layer, examples, objective).summed_up


PRESETS: Mapping[Preset, InputSettings] = {
    # An attacker that can query the model: its last output, and the loss that follows from it.
    "black-box": InputSettings(outputs=(-1,), loss=True),
    # An attacker that holds the model and reads the outputs of its last three layers.
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
