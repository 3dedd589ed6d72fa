"""Compressed and perturbed updates: closed forms, error feedback, every engine, and a resume."""

import math
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from scipy import stats

from fedsim.config.federation import LocalTraining
from fedsim.defences import FederationFacts
from fedsim.defences.perturbed_updates import PerturbedUpdates
from fedsim.defences.quantized_updates import QuantizedUpdates
from fedsim.defences.random_k import RandomK
from fedsim.defences.top_k import TopK
from fedsim.defences.transformed_updates import TransformedUpdates, joined, split_like
from fedsim.seeds import generator
from fedsim.transport.messages import CONFIG, ROUND

FACTS = FederationFacts(4, 3, 3, (40, 30, 20), frozenset({"w", "b"}), LocalTraining(), 3)


def update(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"w": rng.normal(size=(40, 5)), "b": rng.normal(size=7)}


def test_entries_are_joined_and_split_in_order() -> None:
    made = update()
    again = split_like(joined(made), made)
    assert list(again) == ["w", "b"]
    assert all(np.array_equal(again[name], made[name]) for name in made)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 1.0])
def test_top_k_keeps_the_largest_entries_as_they_are(share: float) -> None:
    entries = joined(update())
    found = joined(TopK(share).transform(update(), generator(0)))
    kept = max(1, round(share * 207))
    assert np.count_nonzero(found) == kept
    np.testing.assert_array_equal(found[found != 0], entries[found != 0])
    left_out = np.abs(entries[found == 0])
    assert left_out.max(initial=0.0) <= np.abs(found[found != 0]).min()


def test_random_k_is_right_on_average_without_feedback_only() -> None:
    entries = joined(update())
    draws = [joined(RandomK(0.2).transform(update(), generator(0, n))) for n in range(4000)]
    assert {np.count_nonzero(one) for one in draws} == {41}
    # Each entry is there with probability 41/207, and then 207/41 times as large.
    error = np.abs(entries) * math.sqrt((207 / 41 - 1) / len(draws))
    assert (np.abs(np.mean(draws, 0) - entries) < 4.5 * error).all()
    fed_back = joined(RandomK(0.2, error_feedback=True).transform(update(), generator(0)))
    np.testing.assert_array_equal(fed_back[fed_back != 0], entries[fed_back != 0])


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_quantised_entries_are_on_levels_and_right_on_average(bits: int) -> None:
    defence, made = QuantizedUpdates(bits), update()
    draws = [defence.transform(made, generator(0, n)) for n in range(500)]
    for name, values in made.items():
        step = np.abs(values).max() / (2 ** (bits - 1) - 1)
        stacked = np.stack([one[name] for one in draws])
        np.testing.assert_allclose(stacked / step, np.round(stacked / step), atol=1e-9)
        assert np.abs(stacked - values).max() <= step * (1 + 1e-9)
        assert np.abs(stacked).max() <= np.abs(values).max() * (1 + 1e-9)
        part = values / step - np.floor(values / step)
        error = step * np.sqrt(part * (1 - part) / len(draws))
        assert (np.abs(stacked.mean(0) - values) < 4.5 * error + 1e-12).all()


def test_one_bit_is_the_sign_times_the_mean_magnitude() -> None:
    found = QuantizedUpdates(1).transform(update(), generator(0))
    for name, values in update().items():
        np.testing.assert_allclose(found[name], np.sign(values) * np.abs(values).mean())


def test_nothing_learned_stays_nothing() -> None:
    still = {"w": np.zeros((3, 2)), "empty": np.zeros((0, 4))}
    for defence in (TopK(0.5), RandomK(0.5), QuantizedUpdates(1), QuantizedUpdates(8)):
        found = defence.transform(still, generator(0))
        assert all(np.array_equal(found[name], still[name]) for name in still)


class Node:
    """A participant whose training adds given amounts, behind a defence."""

    def __init__(self, defence: TransformedUpdates) -> None:
        defence.facts = FACTS
        self.mod = defence.client_mods()[0]
        self.context = Context(1, 5, {"partition-id": 2}, RecordDict(), {})

    def upload(self, sent: dict[str, Any], trained: dict[str, Any], round_: int) -> ArrayRecord:
        def content(arrays: dict[str, Any]) -> RecordDict:
            record = ArrayRecord({name: Array(value) for name, value in arrays.items()})
            return RecordDict({"arrays": record, CONFIG: ConfigRecord({ROUND: round_})})

        message = Message(content(sent), dst_node_id=5, message_type="train")
        reply = self.mod(message, self.context, lambda m, c: Message(content(trained), reply_to=m))
        return reply.content["arrays"]  # type: ignore[no-any-return]


def sent_and_trained(round_: int) -> tuple[dict[str, Any], dict[str, Any]]:
    rng = np.random.default_rng(round_)
    sent = {"w": rng.normal(size=(40, 5)), "b": rng.normal(size=7), "seen": np.asarray(9.0)}
    trained = {
        "w": (sent["w"] + rng.normal(size=(40, 5))).astype(np.float32),
        "b": (sent["b"] + rng.normal(size=7)).astype(np.float32),
        "seen": np.asarray(12),
    }
    return sent, trained


@pytest.mark.usefixtures("flower")
@pytest.mark.parametrize(
    "defence", [TopK(0.1), QuantizedUpdates(1), QuantizedUpdates(4), RandomK(0.1, True)]
)
def test_what_is_left_out_is_sent_later(defence: TransformedUpdates) -> None:
    node, missing = Node(defence), {"w": np.zeros((40, 5)), "b": np.zeros(7)}
    for round_ in range(1, 6):
        sent, trained = sent_and_trained(round_)
        upload = node.upload(sent, trained, round_)
        assert (upload["w"].dtype, int(upload["seen"].numpy())) == ("float32", 12)
        for name in missing:
            missing[name] += trained[name].astype(np.float64) - upload[name].numpy()
    (memory,) = node.context.state.values()
    for name, value in missing.items():
        np.testing.assert_allclose(memory[name].numpy(), value, atol=2e-6)


@pytest.mark.usefixtures("flower")
def test_without_feedback_nothing_is_kept() -> None:
    node = Node(RandomK(0.5))
    node.upload(*sent_and_trained(1), 1)
    assert not node.context.state


@pytest.mark.usefixtures("flower")
def test_noise_has_its_standard_deviation_and_is_anothers_in_each_round() -> None:
    node, found = Node(PerturbedUpdates(0.3)), []
    for round_ in range(1, 31):
        sent, trained = sent_and_trained(1)
        upload = node.upload(sent, trained, round_)
        found.append((upload["w"].numpy() - trained["w"]).ravel())
    noise = np.concatenate(found)
    low, high = stats.chi2.ppf([0.0005, 0.9995], noise.size) / noise.size
    assert low < np.square(noise).mean() / 0.3**2 < high
    assert np.abs(np.corrcoef(found)[~np.eye(30, dtype=bool)]).max() < 0.4
    again = Node(PerturbedUpdates(0.3)).upload(*sent_and_trained(1), 1)
    np.testing.assert_array_equal((again["w"].numpy() - trained["w"]).ravel(), found[0])


@pytest.mark.parametrize(
    ("make", "settings", "sentence"),
    [
        (TopK, {"share": 0}, "share must be above 0"),
        (RandomK, {"share": 1.5}, "share must be above 0"),
        (QuantizedUpdates, {"bits": 0}, "bits must be between 1 and 16"),
        (PerturbedUpdates, {"standard_deviation": math.inf}, "must be a positive number"),
    ],
)
def test_settings_that_are_none_are_refused(make: Any, settings: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make(**settings)
