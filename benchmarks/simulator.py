"""What simulating costs: fedsim, a plain PyTorch loop, Flower's own runtime, and pfl-research.

Three federations (see `federations`), the same arithmetic in each simulator, each in processes of
its own that live throughout; blocks of rounds are timed in turn, so that the ratio of two blocks
next to each other says something on a busy machine, too. Start-up and first round are given apart.
Final parameters may differ from the loop's by 1e-3. The peak of the memory of all of a simulator's
processes (proportional set size) is looked at in a pass of its own, from the start on, one
simulator at a time: libraries that several have loaded would count in shares.

pfl-research is no dependency: name a Python that has it and fedsim with ``--pfl``.
"""

import argparse
import math
import statistics
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from federations import WORKLOADS
from pace import Simulator
from paired import publish, ratios

HERE = Path(__file__).parent
LOOP, OURS = "plain loop", "fedsim, 2 workers"
APART, LARGEST_DIFFERENCE = "largest difference of a parameter", 1e-3
WATCHED_SECONDS = 2.0  # of the loop's rounds, while the memory is looked at


def commands(name: str, pfl: str | None, peers: bool) -> dict[str, list[str]]:
    """Return what starts each simulator on a workload."""

    def script(file: str, *arguments: str, python: str = sys.executable) -> list[str]:
        return [python, str(HERE / file), name, *arguments]

    found = {
        LOOP: script("run_plain.py"),
        "fedsim": script("run_fedsim.py", "1", "auto"),
        "fedsim, one by one": script("run_fedsim.py", "1", "false"),
        OURS: script("run_fedsim.py", "2", "auto"),
    }
    if peers and find_spec("ray"):
        found["Flower, 2 actors"] = script("run_flower.py")
    elif peers:
        print("Flower's simulation runtime is not installed (flwr[simulation])", file=sys.stderr)
    if pfl:
        found["pfl-research"] = script("run_pfl.py", python=pfl)
        torchrun = [pfl, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        found["pfl-research, 2 processes"] = [*torchrun, str(HERE / "run_pfl.py"), name]
    else:
        print("pfl-research is left out; see --pfl", file=sys.stderr)
    return found


def compare(
    name: str, commands: Mapping[str, list[str]], folder: Path, repetitions: int
) -> dict[str, dict[str, Any]]:
    """Return the figures of every simulator on one workload."""
    rounds = WORKLOADS[name].rounds
    simulators = {
        one: Simulator(command, folder / f"timed-{place}")
        for place, (one, command) in enumerate(commands.items())
    }
    try:
        for simulator in simulators.values():
            simulator.start()
        names = list(simulators)
        for repetition in range(repetitions + 1):
            for one in names if repetition % 2 else reversed(names):
                seconds = simulators[one].block(rounds)
                if repetition:  # the first block warms up
                    simulators[one].blocks.append(seconds)
        ends = {one: simulator.end() for one, simulator in simulators.items()}
    finally:
        for simulator in simulators.values():
            simulator.kill()
    blocks = {one: simulator.blocks for one, simulator in simulators.items()}
    watched = math.ceil(WATCHED_SECONDS / statistics.median(blocks[LOOP]))
    peaks = {
        one: peak(Simulator(command, folder / f"watched-{place}"), watched)
        for place, (one, command) in enumerate(commands.items())
    }
    apart = {
        one: max(float(np.abs(v - ends[LOOP][key]).max()) for key, v in end.items())
        for one, end in ends.items()
    }
    return {
        one: {
            "seconds a round": statistics.median(simulator.blocks),
            f"times the {LOOP}": ratios(blocks, one, LOOP),
            f"times {OURS}": ratios(blocks, one, OURS),
            "start-up and first round, seconds": simulator.start_up,
            "peak memory, MB": peaks[one] / 1e6,
            APART: apart[one],
        }
        for one, simulator in simulators.items()
    }


def peak(simulator: Simulator, rounds: int) -> int:
    """Return the most memory, in bytes, that a simulator takes while it is alone."""
    try:
        simulator.start()
        simulator.watched_rounds(rounds)
        simulator.end()
    finally:
        simulator.kill()
    return simulator.peak_bytes


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument("--quick", action="store_true", help="one repetition: does it run at all?")
    parser.add_argument("--no-peers", action="store_true", help="fedsim and the loop only")
    parser.add_argument("--pfl", metavar="PYTHON", help="a Python with pfl-research and fedsim")
    parser.add_argument("--only", type=int, metavar="N", help="one of the federations, from 1")
    parser.add_argument("--repetitions", type=int, default=8, help="beside the first")
    options = parser.parse_args()
    names = list(WORKLOADS) if options.only is None else [list(WORKLOADS)[options.only - 1]]
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(names):
            chosen = commands(name, options.pfl, not options.no_peers)
            repetitions = 1 if options.quick else options.repetitions
            figures[name] = compare(name, chosen, Path(folder) / str(number), repetitions)
    publish(figures, options.json)
    apart = {
        f"{one}, {name}": f[APART] for name, each in figures.items() for one, f in each.items()
    }
    if max(apart.values()) > LARGEST_DIFFERENCE:
        # Rounding grows from round to round: with fewer repetitions it stays smaller.
        raise SystemExit(f"not the same arithmetic: final parameters differ by {apart}")


if __name__ == "__main__":
    main()
