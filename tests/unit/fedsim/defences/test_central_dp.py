"""Central DP, four pairs: clipping and noise measured on messages, buffers, and Flower's own."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import DifferentialPrivacyServerSideFixedClipping, FedAvg, Strategy
from numpy.typing import NDArray
from scipy.stats import chi2
from torch import nn

from fedsim import seeds
from fedsim.config.choice import LabelledChoice
from fedsim.config.federation import LocalTraining
from fedsim.defences import Defence, Guarantee, NoGuarantee
from fedsim.defences.adaptive_clipping import FollowingNoise, NormCourse
from fedsim.defences.composition import build_defences, mods_of
from fedsim.engines.base import NodesGrid
from fedsim.privacy import FederationFacts, Release, total_epsilon

NAMES = ("w", "mean", "count")
SENT = {
    "w": np.zeros((300, 10), np.float32),
    "mean": np.zeros(5, np.float32),
    "count": np.asarray(0),
}
FACTS = FederationFacts(
    *(4, 4, 4, (10, 10, 10, 10), frozenset({"w"}), LocalTraining(), 3),
)


def record(arrays: dict[str, NDArray[Any]]) -> ArrayRecord:
    return ArrayRecord({name: Array(value) for name, value in arrays.items()})


def built(name: str, facts: FederationFacts = FACTS, **settings: Any) -> Defence:
    return build_defences([LabelledChoice(name=name, **settings)], facts)[name]


class Silent(NodesGrid):
    """A grid on which nothing is sent."""

    def __init__(self) -> None:
        super().__init__(4)

    def states(self) -> dict[int, RecordDict]:
        return {}

    def restore(self, states: Any) -> None:
        return

    def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
        return []


def uploads(lengths: list[float]) -> list[dict[str, NDArray[Any]]]:
    """Return uploads that lie so far from what was sent, with counters that moved by 100."""
    random = np.random.default_rng(5)
    found = []
    for length in lengths:
        update = random.normal(size=SENT["w"].shape)
        update *= length / max(np.linalg.norm(update), 1e-30)
        found.append(
            {
                "w": update.astype(np.float32),
                "mean": np.full(5, 2.0, np.float32),
                "count": np.asarray(100),
            }
        )
    return found


def one_round(
    strategy: Strategy,
    parts: list[dict[str, NDArray[Any]]],
    sent: dict[str, NDArray[Any]] = SENT,
    **figures: float,
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the aggregate of a round, and the configuration that it sent."""
    with seeds.global_draws(3, "strategy", 1):
        asked = list(strategy.configure_train(1, record(sent), ConfigRecord(), Silent()))
        asked.sort(key=lambda m: m.metadata.dst_node_id)
        replies = []
        for message, arrays in zip(asked, parts, strict=True):
            metrics = MetricRecord({"num-examples": 10, "loss": 1.0, **figures})
            content = RecordDict({"arrays": record(arrays), "metrics": metrics})
            replies.append(Message(content, reply_to=message))
        aggregate, _ = strategy.aggregate_train(1, replies)
    assert aggregate is not None
    config = dict(next(iter(asked[0].content.config_records.values())).items())
    return {n: a.numpy() for n, a in aggregate.items()}, config


def fedavg() -> FedAvg:
    return FedAvg(min_available_nodes=4)


@pytest.mark.usefixtures("flower")
@pytest.mark.parametrize("name", ["fixed-clipping", "server-fixed-clipping"])
def test_the_noise_on_the_aggregate_is_of_its_size(name: str) -> None:
    """Its variance lies in the 99.9 % interval of chi-square, and buffers have none."""
    clip, z = 0.5, 1.2
    noisy = built(name, clipping_norm=clip, noise_multiplier=z).wrap_strategy(fedavg())
    quiet = built(name, clipping_norm=clip, noise_multiplier=0.0).wrap_strategy(fedavg())
    parts = uploads([0.1, 0.2, 0.3, 0.4])
    (loud, _), (still, _) = one_round(noisy, parts), one_round(quiet, parts)
    noise = (loud["w"] - still["w"]).ravel()
    expected = z * clip / 4
    low, high = chi2.ppf([0.0005, 0.9995], len(noise)) * expected**2
    assert low < float(np.square(noise).sum()) < high
    np.testing.assert_allclose(still["w"], np.mean([p["w"] for p in parts], axis=0), atol=1e-7)
    for found in (loud, still):
        assert list(found) == list(NAMES)
        np.testing.assert_array_equal(found["mean"], 2.0)
        assert float(found["count"]) == 100.0


@pytest.mark.usefixtures("flower")
def test_a_server_clips_every_update_and_takes_one_of_zero() -> None:
    strategy = built("server-fixed-clipping", clipping_norm=0.5, noise_multiplier=0.0)
    parts = uploads([0.0, 0.25, 5.0, 50.0])
    found, _ = one_round(strategy.wrap_strategy(fedavg()), parts)
    clipped = [p["w"] * min(1.0, 0.5 / max(np.linalg.norm(p["w"]), 1e-30)) for p in parts]
    np.testing.assert_allclose(found["w"], np.mean(clipped, axis=0), rtol=1e-5, atol=1e-7)


@pytest.mark.usefixtures("flower")
def test_without_buffers_it_is_flowers_own_server_side_clipping() -> None:
    sent = {"w": SENT["w"]}
    parts = [{"w": part["w"]} for part in uploads([0.25, 0.4, 5.0, 50.0])]
    ours = built("server-fixed-clipping", clipping_norm=0.5, noise_multiplier=1.2)
    found, _ = one_round(ours.wrap_strategy(fedavg()), parts, sent)
    flowers = DifferentialPrivacyServerSideFixedClipping(fedavg(), 1.2, 0.5, 4)
    expected, _ = one_round(flowers, parts, sent)
    np.testing.assert_allclose(found["w"], expected["w"], rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("flower")
def test_the_norm_follows_the_quantile() -> None:
    """Andrew et al., algorithm 1: C exp(-rate (b - quantile)); here b is one in four."""
    settings = {"noise_multiplier": 0.0, "clipping_norm": 0.5, "rate": 0.2, "quantile": 0.5}
    strategy = built("server-adaptive-clipping", **settings).wrap_strategy(fedavg())
    assert isinstance(strategy, FollowingNoise)
    norms = []
    for _ in range(60):
        one_round(strategy, uploads([0.25, 3.0, 5.0, 50.0]))
        norms.append(strategy.norm)
    assert norms[0] == pytest.approx(0.5 * math.exp(-0.2 * (0.25 - 0.5)))
    # It ends where half of the updates are within it.
    assert 2.8 < norms[-1] < 5.3


@pytest.mark.usefixtures("flower")
@pytest.mark.parametrize("name", ["adaptive-clipping", "server-adaptive-clipping"])
def test_the_noise_of_the_updates_makes_up_for_the_bits(name: str) -> None:
    clip, z, bits = 0.5, 1.0, 0.8
    ours = built(name, clipping_norm=clip, noise_multiplier=z, bit_noise=bits)
    parts = uploads([0.1, 0.2, 0.3, 0.4])
    loud, config = one_round(ours.wrap_strategy(fedavg()), parts, norm_bit=1)
    noise = (loud["w"] - np.mean([p["w"] for p in parts], axis=0)).ravel()
    # Of the norm that these updates were clipped to, not of the next.
    expected = (z**-2 - (2 * bits) ** -2) ** -0.5 * clip / 4
    low, high = chi2.ppf([0.0005, 0.9995], len(noise)) * expected**2
    assert low < float(np.square(noise).sum()) < high
    assert config["clipping_norm"] == clip


def test_noise_on_the_bits_moves_the_norm_by_its_size() -> None:
    norms = [NormCourse(0.5, 1.0, 2.0, 3).following(1.0, (1, 0, 1, 0), r) for r in range(1, 2001)]
    low, high = chi2.ppf([0.0005, 0.9995], 2000) * (2.0 / 4) ** 2
    assert low < float(np.square(np.log(norms)).sum()) < high


@pytest.mark.usefixtures("flower")
@pytest.mark.parametrize("bits", [(0.05, 0), (100.0, 1)])
def test_participants_clip_to_the_norm_that_was_sent_and_say_so(bits: tuple[float, int]) -> None:
    norm, bit = bits
    defence = built("adaptive-clipping", noise_multiplier=0.0, clipping_norm=norm)
    federation = toys.Federation(mods=[sends(norm), *mods_of((with_names(defence),))], rounds=1)
    federation.run()
    start = federation.initial.arrays.to_torch_state_dict()
    for content in [c for _, kind, c in federation.grid.returned if kind == "train"][:3]:
        distance = _distance(content, start)
        assert distance == pytest.approx(norm, rel=1e-4) if bit == 0 else distance < norm


def with_names(defence: Defence) -> Defence:
    defence.facts = None
    return defence


def sends(norm: float) -> Any:
    def mod(message: Message, context: Any, call_next: Any) -> Message:
        for config in message.content.config_records.values():
            config["clipping_norm"] = norm
        return call_next(message, context)  # type: ignore[no-any-return]

    return mod


def _distance(content: dict[str, bytes], start: dict[str, torch.Tensor]) -> float:
    total = 0.0
    for name, value in start.items():
        found = np.frombuffer(content[f"arrays/{name}"][-4 * value.numel() :], np.float32)
        total += float(np.square(found - value.numpy().ravel()).sum())
    return math.sqrt(total)


def test_the_guarantee_is_that_of_the_noise() -> None:
    found = built("fixed-clipping", clipping_norm=1.0, noise_multiplier=2.0).guarantee(FACTS)
    assert isinstance(found, Guarantee)
    assert found.epsilon == pytest.approx(total_epsilon((Release(2.0, count=4),), 1e-5))
    assert found.changed[0] == pytest.approx(total_epsilon((Release(1.0, count=4),), 1e-5))
    assert (found.unit, found.against) == ("participant", ("participant", "outside"))
    adaptive = built("adaptive-clipping", noise_multiplier=2.0).guarantee(FACTS)
    assert isinstance(adaptive, Guarantee)
    assert adaptive.epsilon == pytest.approx(found.epsilon)


@pytest.mark.parametrize(
    ("name", "changes", "why"),
    [
        ("fixed-clipping", {"buffers": frozenset({"bn.running_mean"})}, "running statistics"),
        ("fixed-clipping", {"averages": False}, "is not the mean of the updates"),
        ("fixed-clipping", {"later": ("rounded",)}, "rounded acts on updates after they are"),
        ("server-adaptive-clipping", {"averages": False}, "is not the mean of the updates"),
    ],
)
def test_where_no_accountant_covers_a_case_the_sentence_says_why(
    name: str, changes: dict[str, Any], why: str
) -> None:
    settings = {"clipping_norm": 1.0, "noise_multiplier": 1.0}
    found = built(name, **settings).guarantee(replace(FACTS, **changes))
    assert isinstance(found, NoGuarantee)
    assert why in found.why


def test_a_clipping_before_another_defence_guarantees_nothing() -> None:
    fixed = LabelledChoice(name="fixed-clipping", clipping_norm=1.0, noise_multiplier=1.0)
    clip = LabelledChoice(name="clipped-updates", max_norm=2.0)
    first = build_defences([fixed, clip], FACTS)["fixed-clipping"]
    last = build_defences([clip, fixed], FACTS)["fixed-clipping"]
    assert first.facts
    assert last.facts
    assert isinstance(first.guarantee(first.facts), NoGuarantee)
    assert isinstance(last.guarantee(last.facts), Guarantee)


def normalised(widths: int, *, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(*input_shape, widths), nn.BatchNorm1d(widths), nn.Linear(widths, num_classes)
    )


@pytest.mark.parametrize("name", ["fixed-clipping", "server-fixed-clipping"])
def test_a_model_with_batch_normalisation_still_learns(name: str, tmp_path: Path) -> None:
    """Flower's own wrapper clips the counter of batches, and leaves nothing of an update."""
    defence = {"name": name, "clipping_norm": 1.0, "noise_multiplier": 0.0}
    sections: dict[str, Any] = {
        "model": {"name": "test_central_dp:normalised", "widths": 16},
        "federation": {"rounds": 6, "evaluation": {"every": 6}},
        "snapshots": {"rounds": [6]},
        "adversaries": ["released-model"],
    }
    run = toys.simulated(tmp_path / "run", defences=[defence], **sections)
    last = json.loads(run.history("honest").read_text())["rounds"][-1]
    assert last["test_accuracy"] > 0.5
