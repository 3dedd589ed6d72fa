"""Regularisation by settings: each is reachable from an experiment, and changes what is learned."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
import toys
from torch import nn

from fedsim.models import alexnet
from fedsim.models.fully_connected import fully_connected

LOCAL = {"batch_size": 10, "learning_rate": 0.1, "schedule": {}}
SETTINGS: dict[str, dict[str, Any]] = {
    "dropout": {"model": {"name": "fully-connected", "widths": [16], "dropout": 0.5}},
    "weight decay": {"local": {"optimizer": {"name": "sgd", "weight_decay": 0.1}}},
    "label smoothing": {"local": {"trainer": {"name": "sgd", "label_smoothing": 0.2}}},
    "clipping": {"local": {"trainer": {"name": "sgd", "clip_norm": 0.01}}},
}


def uploads(path: Path, *, model: Any = None, local: Any = None) -> dict[str, str]:
    run = toys.simulated(
        path,
        model=model or {"name": "fully-connected", "widths": [16]},
        federation={"rounds": 1, "local": LOCAL | (local or {})},
        snapshots={"rounds": [1]},
    )
    return {k: v for k, v in toys.content_of(run).items() if k.startswith("snapshots")}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return uploads(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_changes_every_upload_and_none_twice(
    name: str, plain: dict[str, str], tmp_path: Path
) -> None:
    one = uploads(tmp_path / "one", **SETTINGS[name])
    assert all(one[key] != plain[key] for key in plain if "participant-" in key)
    assert uploads(tmp_path / "two", **SETTINGS[name]) == one


@lru_cache
def models(name: str) -> tuple[nn.Module, nn.Module]:
    shape, make = ((12,), fully_connected) if name == "dense" else ((3, 32, 32), alexnet)
    torch.manual_seed(0)
    bare = make(4, shape)
    torch.manual_seed(0)
    return bare, make(4, shape, dropout=0.5)


@pytest.mark.parametrize("name", ["dense", "convolutional"])
def test_dropout_is_of_training_and_adds_no_parameter(name: str) -> None:
    bare, dropping = models(name)
    inputs = torch.randn(5, *((12,) if name == "dense" else (3, 32, 32)))
    assert list(bare.state_dict()) == list(dropping.state_dict())
    for model in (bare, dropping):
        model.eval()
    assert torch.equal(bare(inputs), dropping(inputs))
    for model in (bare, dropping):
        model.train()
    assert not torch.equal(bare(inputs), dropping(inputs))
