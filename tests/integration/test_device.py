"""The whole pipeline on another device than the CPU, as far as a machine without a GPU shows it.

See `stand_in_device` for what that cannot see. As the stand-in computes with the CPU, snapshots and
scores must be the CPU's, bit for bit; a tensor left on the CPU ends the run.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from forked import finished
from safetensors.numpy import load_file

TESTS = Path(__file__).parents[1]
EXPERIMENT = """
seed: 0
data: {data}
partition: {{name: disjoint, participants: {participants}, records: 120}}
model: {model}
federation:
  rounds: 3
  local: {local}
  evaluation: {{every: 2, records: 100}}
snapshots: {{rounds: [1, 2, 3]}}
audit:
  {{victims: [0], known_members: 40, known_nonmembers: 40, tested_members: 40,
    tested_nonmembers: 40, attack_seeds: 1}}
adversaries: {adversaries}
attacks: {attacks}
defences: {defences}
engine: {{device: {device}, stacked: {stacked}, small_convolutions: [], channels_last: false}}
"""
DEFAULTS = {
    "data": "synthetic-purchase100",
    "participants": 4,
    "model": "{name: fully-connected, widths: [16]}",
    "local": "{epochs: 1, batch_size: 32, optimizer: sgd, learning_rate: 0.05}",
    "adversaries": "[curious-server]",
    "attacks": "[loss]",
    "defences": "[]",
    "stacked": "false",
}
ACTIVE = """
  - {name: gradient-ascent-server, first: 2}
  - {name: isolating-server, first: 2}
  - {name: gradient-ascent-participant, participant: 3, first: 2, last: 2}
"""
PICTURES = """
import numpy as np
from fedsim.data import Arrays

def random():
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (1000, 3, 16, 16), dtype=np.uint8)
    return Arrays(images, draw.integers(0, 5, 1000), mean=(0.5,) * 3, std=(0.25,) * 3)
"""
CASES = {
    "attacks": {
        "attacks": "[ensemble, supervised, scalar-logistic, unsupervised, gradient-evolution, "
        "gradient-alignment, fedmia, lira, rmia, base, leave-one-out, projres]"
    },
    "stacked participants and active adversaries": {
        "participants": 10,
        "stacked": "true",
        "local": "{epochs: 2, batch_size: 32, optimizer: adam, learning_rate: 0.001}",
        "adversaries": ACTIVE,
        "attacks": "[gradient-norm, label]",
    },
    "private training": {
        "local": "{epochs: 1, batch_size: 32, learning_rate: 0.05, "
        "trainer: {name: dp-sgd, clip_norm: 1.0, noise_multiplier: 0.5}}",
        "defences": "[{name: top-k, share: 0.1}]",
    },
}
IMAGES = {
    "data": "pictures:random",
    "model": "{name: resnet, depth: 8}",
    "local": "{epochs: 1, batch_size: 32, learning_rate: 0.02, "
    "trainer: {name: sgd, augmentation: [flip, crop]}}",
    "attacks": "[gradient-norm]",
}


def _run(folder: Path, device: str, settings: Mapping[str, object]) -> Path:
    """Run an experiment in a process that has the stand-in, and return the folder of the run."""
    written, run = folder / f"{device}.yaml", folder / device
    (folder / "pictures.py").write_text(PICTURES)
    written.write_text(EXPERIMENT.format(**{**DEFAULTS, **settings, "device": device}))
    done = _on_stand_in(folder, ["run", str(written), "--out", str(run), "--quiet"])
    assert done.returncode == 0, done.stderr
    return run


def _on_stand_in(folder: Path, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return finished("stand_in_device", command, folder, PYTHONPATH=str(TESTS))


def _figures(run: Path) -> dict[str, bytes]:
    """Return snapshots, features and scores by their path in a run."""
    kinds = (".safetensors", ".parquet")
    found = {p.relative_to(run).as_posix(): p for p in run.rglob("*") if p.suffix in kinds}
    return {name: path.read_bytes() for name, path in found.items()}


@pytest.mark.parametrize("case", CASES)
def test_figures_are_those_of_the_cpu(case: str, tmp_path: Path) -> None:
    on_cpu, on_device = (_figures(_run(tmp_path, d, CASES[case])) for d in ("cpu", "standin"))
    assert on_cpu.keys() == on_device.keys()
    assert [name for name in on_cpu if on_cpu[name] != on_device[name]] == []


def test_convolutions_agree_with_those_of_the_cpu(tmp_path: Path) -> None:
    # Not bit for bit: for the stand-in PyTorch chooses other kernels of the CPU. After one round
    # only: batch normalisation makes rounding a thousand times larger in the next.
    name = "snapshots/curious-server/round-00001.participant-0.safetensors"
    one, other = (load_file(_run(tmp_path, d, IMAGES) / name) for d in ("cpu", "standin"))
    assert one.keys() == other.keys()
    apart = [n for n in one if not np.allclose(one[n], other[n], rtol=1e-4, atol=1e-6)]
    assert apart == []


STOPPED = """
import sys
from fedsim.cli.main import main
from fedsim.observation import snapshots
from fedsim.stages.simulation import checkpointing

checkpointing.CHECKPOINT_SECONDS, written, save = 0.0, [], snapshots.save_file

def stopping(*arguments, **more):
    written.append(arguments)
    if len(written) > 6:  # two of the trial before round 1, and four of two rounds
        raise KeyboardInterrupt
    save(*arguments, **more)

snapshots.save_file = stopping
sys.exit(main())
"""


def test_run_goes_on_on_another_device(tmp_path: Path) -> None:
    whole = _figures(_run(tmp_path, "cpu", {}))
    written, run = tmp_path / "cpu.yaml", tmp_path / "resumed"
    command = ["run", str(written), "--out", str(run), "--quiet"]
    stopped = subprocess.run([sys.executable, "-c", STOPPED, *command], check=False)
    assert stopped.returncode == 130
    assert len([name for name in _figures(run) if "snapshots/" in name]) == 4
    done = _on_stand_in(tmp_path, [*command, "--set", "engine.device=standin"])
    assert done.returncode == 0, done.stderr
    assert _figures(run) == whole


def test_device_that_is_not_here_is_refused(tmp_path: Path) -> None:
    written = tmp_path / "missing.yaml"
    written.write_text(EXPERIMENT.format(**{**DEFAULTS, "device": "cuda:7"}))
    done = _on_stand_in(tmp_path, ["run", str(written), "--out", str(tmp_path / "run"), "--quiet"])
    assert done.returncode == 2
    assert "engine.device is 'cuda:7', but PyTorch" in done.stderr
    assert "valid: auto, cpu, standin:0" in done.stderr
    assert not (tmp_path / "run").exists()


def test_tensor_left_on_the_cpu_is_found() -> None:
    meets = (
        "import torch, stand_in_device; stand_in_device.register(); "
        "torch.ones(2, device='standin:0') + torch.ones(2)"
    )
    done = subprocess.run(
        [sys.executable, "-c", meets], cwd=TESTS, capture_output=True, text=True, check=False
    )
    assert "a tensor of shape (2,) is on the CPU, others on standin:0" in done.stderr
