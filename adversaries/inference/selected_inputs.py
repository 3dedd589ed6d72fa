"""The features that an attack reads, by the names of one model's layers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn

from adversaries.inference.feature_spec import FeatureSpec
from adversaries.inference.features import SCALARS
from adversaries.inference.last_layer import LAST_LAYER_SCALARS
from adversaries.inference.model_layers import WEIGHTED, ModelLayers
from adversaries.inference.needed_features import needed_features
from fedsim.errors import ConfigError, listed
from fedsim.observation.needs import Needs


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
        The names of the columns of `SnapshotFeatures.scalars`.
    norms
        Layers whose gradient norms are scalars too; None for all.
    """

    last_output: bool = True
    outputs: tuple[str, ...] = ()
    last_gradient: bool = True
    gradients: tuple[str, ...] = ()
    loss: bool = True
    label: bool = True
    scalars: tuple[str, ...] = SCALARS
    norms: tuple[str, ...] | None = None

    @property
    def needs(self) -> Needs:
        """What must be extracted for it, by the names of the layers."""
        return Needs(
            outputs=self.last_output,
            scalars=self.loss or bool(self.scalars),
            last_layer_norms=any(name in LAST_LAYER_SCALARS for name in self.scalars),
            last_layer=self.last_gradient,
            layer_outputs=self.outputs,
            gradient_norms="all" if self.norms is None else self.norms,
            gradients=self.gradients,
        )

    @property
    def summed_up(self) -> "SelectedInputs":
        """The same without the vectors that scalars of the choice follow from."""
        of_layer = any(name in LAST_LAYER_SCALARS for name in self.scalars)
        of_output = any(name not in LAST_LAYER_SCALARS for name in self.scalars)
        return replace(
            self,
            last_output=self.last_output and not of_output,
            loss=self.loss and not of_output,
            last_gradient=self.last_gradient and not of_layer,
        )

    def spec(self, last_layer: str | None) -> FeatureSpec:
        """Return what must be extracted, and nothing else."""
        return needed_features(self.needs, last_layer)


def layer_order(
    model: nn.Module, last_layer: str | None = None, examples: Tensor | None = None
) -> tuple[tuple[str, ...], str | None]:
    """Return the names of a model's linear and convolutional layers, and which gives its output.

    By execution, if there are examples; by definition, if not, when the last linear one is taken
    to give the output. The one that gives it is the last. A model that is one layer itself has the
    name "".
    """
    defined = tuple(n for n, m in model.named_modules() if isinstance(m, WEIGHTED))
    if examples is None:
        linear = [n for n in defined if isinstance(model.get_submodule(n), nn.Linear)]
        head = last_layer or (linear[-1] if linear else None)
        found = defined
    else:
        layers = ModelLayers.of(model, examples, last_layer)
        head, found = layers.head, layers.executed
    last = () if head is None else (head,)
    return (*(name for name in found if name not in last), *last), head


def layer_name(layer: str | int, names: tuple[str, ...], modules: Mapping[str, nn.Module]) -> str:
    """Return the name of a layer that is given by name, or by its place from the end of `names`.

    Raises
    ------
    ConfigError
        If the model has no such layer.
    """
    if isinstance(layer, str):
        if layer not in modules or not layer:
            raise ConfigError(
                f"inputs name layer {layer!r}, which the model does not have; it has "
                f"{listed(filter(None, modules))}"
            )
        return layer
    if not names:
        raise ConfigError(
            f"inputs name layer {layer}, but the model has no Linear or convolutional layer"
        )
    if not -len(names) <= layer < 0:
        raise ConfigError(
            f"inputs name layer {layer}; valid for this model: -{len(names)} ({names[0]}) to -1 "
            f"({names[-1]}), or a name"
        )
    return names[layer]
