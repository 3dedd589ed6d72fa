"""Records that take the place of others: Flower warns of another class, nothing of ours does."""

import logging
from collections.abc import Iterator

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, RecordDict

from fedsim.adversary.base import Adversary
from fedsim.federation.strategies import build_strategy
from fedsim.plugins import build
from fedsim.transport.flower_records import FastArrays
from fedsim.transport.messages import replace_records, with_arrays

PLAIN = ArrayRecord({"w": Array(np.ones(3, dtype=np.float32))})
QUICK = FastArrays({"w": Array(np.zeros(3, dtype=np.float32))})


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """Return what Flower's logger says."""
    told: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("flwr")
    logger.addHandler(handler)
    yield told
    logger.removeHandler(handler)


@pytest.mark.parametrize(("first", "second"), [(PLAIN, QUICK), (QUICK, PLAIN)])
def test_arrays_of_any_class_replace_others_in_silence(
    first: ArrayRecord, second: ArrayRecord, warnings: list[str]
) -> None:
    content = RecordDict({"arrays": first, "config": ConfigRecord({"server-round": 1})})
    changed = with_arrays(content, second)
    assert changed["arrays"] is second
    assert list(changed) == ["arrays", "config"]
    assert content["arrays"] is first
    replace_records(content, {"arrays": second})
    assert content["arrays"] is second
    assert warnings == []


def test_what_an_adversary_remembers_may_change_its_class(warnings: list[str]) -> None:
    adversary: Adversary = build("adversaries", "curious-server", {}, victims=(0,), participants=2)
    for arrays in (QUICK, PLAIN, QUICK):
        adversary.memory["last"] = arrays
    assert adversary.memory["last"] is QUICK
    participant = build(
        "adversaries", "curious-participant", {"participant": 1}, victims=(0,), participants=2
    )
    context = Context(1, 1, {}, RecordDict(), {})
    for arrays in (QUICK, PLAIN, QUICK):
        participant.memory["last"] = arrays
        participant.memorise(context.state)
        participant.recall(context.state)
    assert participant.memory["last"] is QUICK
    assert warnings == []


@pytest.mark.parametrize(
    ("name", "settings"),
    [("FedAvg", {"fraction_evaluate": 0.0}), ("FedProx", {"proximal_mu": 0.0})],
)
def test_a_setting_that_the_user_has_chosen_is_nothing_to_warn_of(
    name: str, settings: dict[str, float], warnings: list[str]
) -> None:
    strategy = build_strategy(name, settings, 3)
    assert {key: getattr(strategy, key) for key in settings} == settings
    assert warnings == []
