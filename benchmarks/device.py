"""A GPU against the CPU: correctness first, then speed. For a machine with one GPU and no network.

Takes at most 8 minutes; ends with exit code 1 if a check failed. Checks, for several models: final
parameters and AUCs agree with the CPU's within a tolerance, and a rerun has the same bits. Then
speed:

- rounds a second of 500 participants with 20 records, 50 a round, against two CPU workers, in turn
  (aim: 5);
- a round of the paper's federation (AlexNet, CIFAR-100, 4 x 30,000), from which all rounds of its
  six attackers are estimated (aim: 30 minutes with the attacks).

    python benchmarks/device.py --json figures.json
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from pace import Simulator
from safetensors.numpy import load_file

BENCHMARKS = Path(__file__).parent
PARAMETERS, AUC = 1e-2, 0.02
"""Tolerances: of parameters after some rounds, as a share of their change; of an attack's AUC."""
EXPERIMENT = """
seed: 0
data: {data}
partition: {{name: disjoint, participants: 4, records: 400}}
model: {model}
federation:
  rounds: 4
  local: {{epochs: 1, batch_size: 50, optimizer: sgd, learning_rate: 0.02}}
snapshots: {{rounds: [1, 2, 3, 4]}}
audit: {{victims: [0], known_members: 100, known_nonmembers: 100, tested_members: 150,
  tested_nonmembers: 150, attack_seeds: 1}}
adversaries: [curious-server]
attacks: [supervised, gradient-alignment, gradient-norm, loss]
engine: {{device: {device}, small_convolutions: [], channels_last: false}}
"""
MODELS = {
    "fully connected": ("synthetic-purchase100", "fully-connected"),
    "AlexNet": ("synthetic-cifar100", "alexnet"),
    "ResNet": ("synthetic-cifar100", "{name: resnet, depth: 20}"),
}


def main() -> None:
    """Run all checks and measurements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument("--device", default="cuda", help="the device (default: cuda)")
    parser.add_argument("--seconds", type=float, default=450.0, help="start nothing after this")
    given = parser.parse_args()
    ends = time.monotonic() + given.seconds
    figures: dict[str, Any] = {}
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (data, model) in MODELS.items():
            if time.monotonic() > ends:
                break
            found = _checked(Path(folder) / name.replace(" ", "-"), data, model, given.device)
            figures[name] = found
            failed += [f"{name}: {what}" for what in found["failed"]]
            print(f"{name}: {json.dumps(found)}", flush=True)
        for name, measure in (("500 x 20", _many_small), ("4 x 30,000 AlexNet", _paper)):
            if time.monotonic() < ends:
                figures[name] = measure(given.device, Path(folder) / name)
                print(f"{name}: {json.dumps(figures[name])}", flush=True)
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=1))
    if failed:
        sys.exit("; ".join(failed))


def _checked(folder: Path, data: str, model: str, device: str) -> dict[str, Any]:
    """Return how far the device is from the CPU, and what is not as it must be."""
    folder.mkdir(parents=True)
    runs = {
        name: _run(folder / name, EXPERIMENT.format(data=data, model=model, device=where))
        for name, where in (("cpu", "cpu"), ("device", device), ("again", device))
    }
    one, other, again = (_parameters(run) for run in runs.values())
    distance, failed = _distance(one, other), []
    if distance > PARAMETERS:
        failed.append(f"parameters differ by {distance:.2e} of their change")
    if any(not np.array_equal(other[name], again[name]) for name in other):
        failed.append("a rerun has other bits")
    aucs = {name: _aucs(run) for name, run in runs.items()}
    apart = max(abs(aucs["cpu"][name] - aucs["device"][name]) for name in aucs["cpu"])
    if apart > AUC:
        failed.append(f"an AUC differs by {apart:.3f}")
    return {"parameters": distance, "auc": apart, "failed": failed}


def _run(folder: Path, experiment: str) -> Path:
    written = folder.with_suffix(".yaml")
    written.write_text(experiment)
    command = [sys.executable, "-m", "fedsim", "run", str(written), "--out", str(folder), "--quiet"]
    subprocess.run(command, check=True)
    return folder


def _parameters(run: Path) -> dict[str, np.ndarray]:
    """Return the victim's parameters, as sent in the first round and uploaded in the last one."""
    snapshots = run / "snapshots" / "curious-server"
    first = load_file(snapshots / "round-00001.sent-0.safetensors")
    last = load_file(snapshots / "round-00004.participant-0.safetensors")
    begun = {f"begun {name}": values for name, values in first.items()}
    return begun | last


def _distance(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """Return the distance of two ends as a share of the distance from the beginning."""
    names = [n for n in one if f"begun {n}" in one and one[n].dtype.kind == "f"]
    apart = sum(float(np.square(one[n] - other[n], dtype=float).sum()) for n in names)
    moved = sum(float(np.square(one[n] - one[f"begun {n}"], dtype=float).sum()) for n in names)
    return float(np.sqrt(apart / moved))


def _aucs(run: Path) -> dict[str, float]:
    results = json.loads((run / "results.json").read_text())
    return {row["attack"]: row["figures"]["auc"]["value"] for row in results["results"]}


def _many_small(device: str, folder: Path) -> dict[str, float]:
    """Return how much faster rounds of many small participants are than with two workers."""
    work = "500 x 20 records, 50 a round, MLP 600-128-100"
    ways = {"two workers": ("2", "auto", "cpu"), "device": ("1", "true", device)}
    simulators = {name: _simulator(work, way, folder / name) for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    try:
        for simulator in simulators.values():
            simulator.start()
        for _ in range(5):
            for name, simulator in simulators.items():
                seconds[name].append(simulator.block(50))
    finally:
        for simulator in simulators.values():
            simulator.kill()
    pairs = zip(seconds["two workers"], seconds["device"], strict=True)
    ratios = [slow / fast for slow, fast in pairs]
    return {
        "device, ms a round": 1e3 * statistics.median(seconds["device"]),
        "times two workers": statistics.median(ratios),
        "least": min(ratios),
        "most": max(ratios),
    }


def _paper(device: str, folder: Path) -> dict[str, float]:
    """Return the seconds of a round of the paper's federation, and the estimate of all of it."""
    simulator = _simulator("4 x 30,000 images, AlexNet", ("1", "false", device), folder)
    try:
        simulator.start()
        a_round = simulator.block(3)
    finally:
        simulator.kill()
    # Four federations branch at round 151: 300 + 4 x 150 rounds.
    return {"s a round": a_round, "minutes of 900 rounds": 900 * a_round / 60}


def _simulator(work: str, way: tuple[str, ...], folder: Path) -> Simulator:
    return Simulator([sys.executable, str(BENCHMARKS / "run_fedsim.py"), work, *way], folder)


if __name__ == "__main__":
    main()
