"""Values at and beyond the bounds of settings: refused in a sentence that names the setting."""

from typing import Any

import pytest
import toys

from fedsim import plugins
from fedsim.config.loading import experiment_of_tree
from fedsim.defences.adaptive_clipping import update_noise
from fedsim.errors import FedsimError


@pytest.mark.parametrize(
    ("group", "name", "settings", "sentence"),
    [
        ("attacks", "lira", {"federations": 10**12}, "federations is 1000000000000; valid: 0, "),
        ("attacks", "shadow", {"federations": 10**12}, "federations must be from 1 to 10,000"),
        (
            "defences",
            "server-adaptive-clipping",
            {"noise_multiplier": 1e308},
            "'noise_multiplier' is 1e+308: Input should be less than or equal to 1000000",
        ),
        ("defences", "fixed-clipping", {"noise_multiplier": 5e-324}, "0, or at least 1e-06"),
        ("trainers", "dp-sgd", {"noise_multiplier": 1e-320}, "0, or at least 1e-06"),
        ("models", "mean-embedding", {"num_classes": 2, "width": -1}, "'width' is -1"),
        ("models", "mean-embedding", {"num_classes": 2, "vocabulary": 21}, "vocabulary of 21: 0"),
        ("models", "densenet", {"num_classes": 2, "growth": 1000}, "'growth' is 1000"),
        ("models", "resnet", {"num_classes": 2, "depth": 2000}, "'depth' is 2000"),
    ],
)
def test_a_value_beyond_its_bounds_is_named(
    group: str, name: str, settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(FedsimError, match=sentence.replace("+", r"\+")):
        plugins.build(group, name, settings)


@pytest.mark.parametrize(
    ("key", "place"),
    [("strategy", "strategy"), ("local", "local.optimizer"), ("local", "local.trainer")],
)
def test_where_a_plugin_of_the_federation_is_named_is_told(key: str, place: str) -> None:
    tree = toys.tree()
    federation = {**tree["federation"]}
    inner = place.partition(".")[2]
    federation[key] = {**federation.get("local", {}), inner: ""} if inner else ""
    with pytest.raises(FedsimError, match=rf"federation\.{place}: there is no '' among"):
        experiment_of_tree({**tree, "federation": federation}, "x")


@pytest.mark.parametrize(("noise", "bits"), [(1.0, 1.0), (0.3, 2.0), (5.0, 2.6)])
def test_noise_of_updates_and_bits_is_worth_the_whole(noise: float, bits: float) -> None:
    updates = update_noise(noise, bits)
    assert (updates**-2 + (2 * bits) ** -2) ** -0.5 == pytest.approx(noise, rel=1e-12)
