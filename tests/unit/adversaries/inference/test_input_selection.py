"""An attack reads what is chosen, and nothing that would give away the rest."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from adversaries.inference.extraction import extract
from adversaries.inference.feature_spec import FeatureSpec
from adversaries.inference.features import SCALARS, SnapshotFeatures
from adversaries.inference.input_selection import PRESETS, InputSettings, SummedInputs
from adversaries.inference.inputs import LAST_LAYER, Inputs, stack
from adversaries.inference.network import NetworkSettings
from adversaries.inference.network_training import fit_and_score
from adversaries.inference.selected_inputs import SelectedInputs, layer_order
from adversaries.inference.training_settings import SupervisedSettings
from fedsim import plugins, seeds
from fedsim.errors import ConfigError, PluginError

COUNT = 60
MEMBER = np.arange(COUNT) % 2 == 0
QUICK = SupervisedSettings(folds=2, epochs=2, batch_size=16)
SECRET = ("hidden", "deltas", "gradient_norms")


def model() -> nn.Sequential:
    with seeds.global_draws(5, "model"):
        return nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(1, 4, 3),
                relu=nn.ReLU(),
                flatten=nn.Flatten(),
                middle=nn.Linear(16, 8),
                tanh=nn.Tanh(),
                classifier=nn.Linear(8, 3),
            )
        )


def batch(records: np.ndarray) -> tuple[Tensor, Tensor]:
    inputs = torch.randn(COUNT, 1, 4, 4, generator=seeds.torch_generator(1, "inputs"))
    chosen = torch.from_numpy(records)
    return inputs[chosen], chosen % 3


def features() -> SnapshotFeatures:
    spec = FeatureSpec(outputs=("conv", "middle", "tanh"), gradients=("conv", "middle"))
    return extract(model(), batch, np.arange(COUNT), spec)


def scores(found: SnapshotFeatures, chosen: SelectedInputs) -> np.ndarray:
    inputs = stack([found, found], chosen)
    return fit_and_score(inputs, MEMBER, inputs, QUICK, [0])[1][0]


def spoilt(found: SnapshotFeatures, columns: list[int]) -> SnapshotFeatures:
    """Return features of which a black-box attack must see the same: the rest is changed."""
    noise = {name: 7 - 3 * getattr(found, name)[::-1] for name in SECRET}
    scalars = found.scalars.copy()
    scalars[:, columns] = 11 - scalars[::-1, columns]
    outputs = {name: values[::-1] for name, values in found.outputs.items()}
    return replace(found, scalars=scalars, outputs=outputs, gradients={}, **noise)


def test_black_box_sees_nothing_but_the_last_output_and_the_label() -> None:
    chosen, found = PRESETS["black-box"].resolved(model()), features()
    hidden = [SCALARS.index("hidden norm"), SCALARS.index("log gradient norm")]
    other = spoilt(found, hidden)
    np.testing.assert_array_equal(scores(found, chosen), scores(other, chosen))
    default = (
        scores(found, SelectedInputs()),
        scores(replace(other, gradients=found.gradients), SelectedInputs()),
    )
    assert not np.array_equal(*default)


def test_outputs_of_hidden_layers_see_no_gradient_and_no_last_output() -> None:
    chosen, found = InputSettings(outputs=(-2,)).resolved(model()), features()
    blind = replace(
        spoilt(found, list(range(6))),
        outputs=found.outputs,
        logits=-found.logits,
        losses=found.losses[::-1].copy(),
    )
    np.testing.assert_array_equal(scores(found, chosen), scores(blind, chosen))


def read(inputs: Inputs) -> dict[str, object]:
    return {
        "scalars": inputs.scalars.shape[-1],
        "loss": inputs.losses.shape[-1],
        "label": inputs.labels.shape[-1],
        "outputs": list(inputs.outputs),
        "gradients": list(inputs.gradients),
    }


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (PRESETS["black-box"], (4, 1, 3, [LAST_LAYER], [])),
        (PRESETS["white-box-outputs"], (4, 1, 3, [LAST_LAYER, "middle", "conv"], [])),
        (PRESETS["white-box-gradients"], (9, 1, 3, [LAST_LAYER], [LAST_LAYER])),
        (InputSettings(outputs=("tanh",), label=False), (0, 0, 0, ["tanh"], [])),
        (InputSettings(outputs=("classifier",)), (4, 0, 3, [LAST_LAYER], [])),
        (InputSettings(gradients=(-1,)), (3, 0, 3, [], [LAST_LAYER])),
        (InputSettings(gradients=(-2,)), (1, 0, 3, [], ["middle"])),
        (InputSettings(gradients=(-3, "middle")), (2, 0, 3, [], ["conv", "middle"])),
        (InputSettings(gradients=("conv",), scalars=False), (0, 0, 3, [], ["conv"])),
        (InputSettings(loss=True, gradient_norms="all"), (3, 1, 3, [], [])),
    ],
)
def test_what_is_chosen_is_read(
    settings: InputSettings, expected: tuple[int, int, int, list[str], list[str]]
) -> None:
    inputs = stack([features()], settings.resolved(model()))
    assert tuple(read(inputs).values()) == expected
    network = NetworkSettings().build(inputs).eval()  # also of no scalar at all
    assert network(inputs).shape == (COUNT,)


def test_the_default_reads_what_is_always_extracted() -> None:
    assert PRESETS["white-box-gradients"].resolved(model()) == SelectedInputs()
    assert SelectedInputs().spec(None) == FeatureSpec()


def test_only_what_is_read_is_extracted() -> None:
    forward = FeatureSpec(last_layer_gradient=False, gradient_norms=())
    assert PRESETS["black-box"].resolved(model()).spec(None) == forward
    one = InputSettings(gradients=(-2,)).resolved(model()).spec(None)
    assert one == replace(forward, output=False, gradients=("middle",), gradient_norms=("middle",))


def test_places_count_from_the_last_layer() -> None:
    assert layer_order(model()) == (("conv", "middle", "classifier"), "classifier")
    assert layer_order(model(), "middle")[0] == ("conv", "classifier", "middle")
    inputs = batch(np.arange(2))[0]
    assert layer_order(model(), None, inputs) == layer_order(model())


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: InputSettings(), "choose nothing that depends on the model"),
        (lambda: InputSettings(loss=True, memory_limit_gb=0.0), "memory_limit_gb is above 0"),
        (
            lambda: InputSettings(outputs=(-4,)).resolved(model()),
            r"name layer -4; valid for this model: -3 \(conv\) to -1 \(classifier\), or a name",
        ),
        (lambda: InputSettings(outputs=(0,)).resolved(model()), "name layer 0; valid"),
        (
            lambda: InputSettings(gradients=("conv9",)).resolved(model()),
            "name layer 'conv9', which the model does not have; it has classifier, conv, flatten",
        ),
        (
            lambda: InputSettings(gradients=(-1, "classifier")).resolved(model()),
            "choose a layer twice: classifier, classifier",
        ),
    ],
)
def test_choices_that_cannot_be_are_refused(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        make()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (PRESETS["black-box"], (4, 0, 3, [], [])),
        (PRESETS["white-box-outputs"], (4, 0, 3, ["middle", "conv"], [])),
        (PRESETS["white-box-gradients"], (9, 0, 3, [], [])),
        (InputSettings(gradients=(-1, "conv")), (4, 0, 3, [], ["conv"])),
        (InputSettings(loss=True, gradient_norms="all"), (3, 1, 3, [], [])),
        (InputSettings(outputs=(-1,), loss=True, scalars=False), (0, 1, 3, [LAST_LAYER], [])),
    ],
)
def test_vectors_that_scalars_sum_up_are_left_out(
    settings: InputSettings, expected: tuple[int, int, int, list[str], list[str]]
) -> None:
    summed = SummedInputs.of(settings)
    inputs = stack([features()], summed.resolved(model()))
    assert tuple(read(inputs).values()) == expected
    assert NetworkSettings().build(inputs).eval()(inputs).shape == (COUNT,)
    assert summed.needs.scalars == settings.needs.scalars
    assert summed.needs.outputs == (LAST_LAYER in inputs.outputs)
    assert not summed.needs.last_layer


def test_networks_that_are_chosen_for_their_components_read_vectors() -> None:
    whole = PRESETS["white-box-gradients"]
    assert inputs_of(network="paper") == inputs_of(network={"kernels": 8}) == whole
    assert inputs_of(network={"kernels": 8}, vectors=False) == SummedInputs.of(whole)
    with pytest.raises(ConfigError, match="paper-shared reads nothing but vectors"):
        inputs_of(network="paper-shared", vectors=False)


def inputs_of(**settings: object) -> InputSettings:
    found = built(**settings).inputs  # type: ignore[attr-defined]
    assert isinstance(found, InputSettings)
    return found


def built(**settings: object) -> object:
    return plugins.build("attacks", "supervised", settings)


def test_an_experiment_names_a_preset_or_layers() -> None:
    assert inputs_of(vectors=True) == PRESETS["white-box-gradients"]
    assert inputs_of() == SummedInputs.of(PRESETS["white-box-gradients"])
    assert inputs_of(inputs="black-box") == SummedInputs.of(PRESETS["black-box"])
    given = inputs_of(inputs={"outputs": [-1, "tanh"], "label": False})
    assert given == SummedInputs.of(InputSettings(outputs=(-1, "tanh"), label=False))
    with pytest.raises(PluginError, match="'black-box', 'white-box-outputs' or 'white-box-grad"):
        built(inputs="blackbox")
    with pytest.raises(PluginError, match=r"unknown setting .*gradient'; valid: gradient_norms"):
        built(inputs={"gradient": [-1]})
