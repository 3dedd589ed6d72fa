"""Which device an experiment computes on, and which it is refused."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from fedsim import devices
from fedsim.config.engine import LocalEngine, RayEngine
from fedsim.errors import ConfigError
from fedsim.stages.preparation.engine_choice import _device_settings


def chosen(engine: Any) -> tuple[dict[str, object], list[str]]:
    said: list[str] = []
    return _device_settings(engine, said.append), said


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:3", "mps", "xpu:0"])
def test_names_of_devices_are_taken(name: str) -> None:
    assert LocalEngine(device=name).device == name


@pytest.mark.parametrize("name", ["", "GPU", "cpu:0", "auto:1", "cuda:", "cuda:x", "cuda:1234"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="auto, cpu, cuda, cuda:N, mps"):
        LocalEngine(device=name)


def test_auto_is_the_cpu_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen(LocalEngine(workers=3)) == ({"device": "cpu"}, [])


def test_one_process_computes_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    settings, said = chosen(LocalEngine(workers=3))
    assert settings == {"device": "cuda:0", "workers": 1}
    assert said == [
        "engine.workers is 3, but one process computes on cuda:0; with engine: {name: ray, gpus: "
        "0.5} two would share it"
    ]
    with pytest.raises(ConfigError, match="has participants run in forked processes"):
        chosen(LocalEngine(timeout=3.0))


def test_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "devices_there", lambda: ["cuda:0", "cuda:1"])
    assert devices.chosen_device("cuda") == torch.device("cuda", 0)
    assert devices.chosen_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ConfigError, match="sees no such device here; valid: auto, cpu, cuda:0"):
        devices.chosen_device("cuda:2")


@pytest.mark.parametrize(
    ("engine", "device"),
    [
        (RayEngine(), "cpu"),
        (RayEngine(gpus=0.5), "cuda"),
        (RayEngine(gpus=0.5, device="cpu"), "cpu"),
        (RayEngine(gpus=1, device="xpu"), "xpu"),
    ],
)
def test_processes_of_ray_compute_on_the_gpus_that_they_take(
    engine: RayEngine, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(devices, "devices_there", lambda: ["cuda:0", "xpu:0"])
    assert chosen(engine) == ({"device": device}, [])


@pytest.mark.parametrize(
    ("engine", "reason"),
    [
        (RayEngine(device="cuda"), "Ray hides GPUs from processes that take none"),
        (RayEngine(device="cuda:1", gpus=1), "Ray chooses which GPU a process takes"),
    ],
)
def test_device_that_ray_does_not_give_is_refused(engine: RayEngine, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        chosen(engine)


def test_leader_of_a_cluster_without_a_gpu_computes_on_its_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "devices_there", list)
    assert chosen(RayEngine(gpus=1)) == ({"device": "cpu"}, [])
    with pytest.raises(ConfigError, match="sees no such device here; valid: auto, cpu"):
        chosen(RayEngine(gpus=1, device="cuda"))
