"""Sizes of the audit that do not fit are told for every victim and side at once, each once."""

import re
from typing import Any

import numpy as np
import pytest
import toys

from fedsim import Arrays
from fedsim.errors import DataError, FedsimError
from fedsim.progress import SILENCE
from fedsim.stages.preparation.setup_building import build_setup

LARGE = {"known_members": 35, "known_nonmembers": 200}
SERVER = {"adversaries": ["curious-server"]}


def of_users(records: int = 240) -> Arrays:
    """Records of the toy data, three of each user."""
    found = toys.blobs(records)
    return Arrays(found.features, found.labels, num_classes=4, groups=np.arange(records) // 3)


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        (
            {"audit": {"victims": [0, 1], **LARGE}},
            [f"audit of {who}" for who in ("participant-0", "participant-1") for _ in range(2)]
            + ["audit of all-but-2"],
        ),
        (
            {
                "data": {"name": f"{__name__}:of_users"},
                "audit": {"victims": [0, 1, 2], "unit": "user", **LARGE},
            }
            | SERVER,
            [f"audit of users, participant-{who}" for who in range(3) for _ in range(2)],
        ),
        (
            {"audit": {"victims": [1, 2], "canaries": ["random"], **LARGE}} | SERVER,
            ["participant 1 has 40", "participant 2 has 40"],
        ),
    ],
    ids=["several victims", "users", "canaries"],
)
def test_all_that_does_not_fit_is_told(sections: dict[str, Any], expected: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        build_setup(toys.experiment(**sections), None, SILENCE)
    told = str(caught.value)
    assert told.startswith(f"{len(expected)} faults: (1) ")
    assert told.count(" faults: ") == 1  # no list in a list
    numbered = re.split(r"(?:^|; |: )\(\d+\) ", told)[1:]
    assert [one.startswith(start) for one, start in zip(numbered, expected, strict=True)] == [
        True
    ] * len(expected)


def test_what_one_plugin_refuses_is_in_one_list_with_all_else() -> None:
    tree = toys.tree(seed=-1, attacks=[{"name": "supervised", "inputs": "purple", "epoch": 1}])
    with pytest.raises(FedsimError, match=r"^the toy: 3 faults") as caught:
        toys.experiment_of_tree(tree, "the toy")
    assert str(caught.value).count("faults: ") == 1
    assert str(caught.value).count(") supervised: ") == 2
