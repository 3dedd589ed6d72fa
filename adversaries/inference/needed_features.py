"""The map from an attack's declared needs to the features that are extracted.

============================  =====================================================================
`Needs`                       What is extracted of each record
============================  =====================================================================
``scalars``                   losses and the objective's scalars: one forward pass
``outputs``                   the model's output, in the same pass
``last_layer_norms``          two further scalars of a linear last layer, in the same pass
``last_layer``                these, the layer's input and the gradient of its output
``layer_outputs``             outputs of the layers, in the same pass
``gradient_norms``            gradient norms of the layers: one backward pass
``gradients``                 weight gradients of the layers, in the same backward pass
``update_alignment``          nothing of one snapshot: see `alignment_cache`, which takes two
============================  =====================================================================
"""

from dataclasses import replace

from adversaries.inference.feature_spec import FeatureSpec
from fedsim.errors import PluginError
from fedsim.observation.needs import Layers, Needs


def needed_features(needs: Needs, last_layer: str | None = None) -> FeatureSpec:
    """Return the specification of exactly the features that these needs require.

    Parameters
    ----------
    needs
        The declared needs, with layers by name: places from the end are resolved before (see
        `InputSettings.resolved`).
    last_layer
        Name of the Linear layer whose output is the model's; None finds it.

    Raises
    ------
    PluginError
        If a layer is given by its place.

    Examples
    --------
    >>> spec = needed_features(Needs(outputs=True))
    >>> spec.output, spec.needs_layers
    (True, False)
    """
    return FeatureSpec(
        last_layer=last_layer,
        output=needs.outputs,
        outputs=_names(needs.layer_outputs),
        last_layer_gradient=needs.last_layer,
        last_layer_scalars=needs.last_layer_norms and not needs.last_layer,
        gradient_norms="all" if needs.gradient_norms == "all" else _names(needs.gradient_norms),
        gradients=_names(needs.gradients),
    )


def shared_features(spec: FeatureSpec, needs: Needs, trained: bool) -> FeatureSpec:
    """Return a spec that holds what an attack needs, too, but for layers that it names.

    The additional features need no second forward pass and change no value. In half precision
    nothing is added, because values depend on what is computed. Parameters that were not trained
    (`trained` is false) have no gradient norms.
    """
    if spec.precision != "fp32":
        return spec
    norms = trained and needs.gradient_norms == "all"
    unnamed = replace(needs, layer_outputs=(), gradients=(), gradient_norms="all" if norms else ())
    return spec.joined(needed_features(unnamed))


def _names(layers: Layers) -> tuple[str, ...]:
    if places := [layer for layer in layers if not isinstance(layer, str)]:
        raise PluginError(
            f"needs name layer {places[0]}, a place; features are extracted of layers by name"
        )
    return tuple(str(layer) for layer in layers)


FIT = needed_features(Needs(scalars=True))
"""Losses and the objective's scalars: how well a record is fitted."""
