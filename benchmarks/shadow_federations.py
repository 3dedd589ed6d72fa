"""Sixteen shadow federations in step against one: time, as paired ratios.

    OMP_NUM_THREADS=1 python benchmarks/shadow_federations.py --workers 2

Of the quickstart's size, four participants with 2,500 records and a network of 1.3 million
parameters, and of a small one, ten participants with 100 records and 600-32-100. `in step` trains
the participants of all sixteen in common stacks, the federations shared out among the workers;
`one after the other` runs them as they were before (`engine.stacked_shadows: false`). Simulation
alone: data and models are there, and nothing is scored. With one worker the seconds are processor
time, with several those of the clock.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from paired import interleaved, processor_seconds, ratios

from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.experiment_faults import parse_experiment
from fedsim.stages.preparation.setup import Setup
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.shadow_federations import shadows_of

SIZES: dict[str, dict[str, Any]] = {
    "quickstart": {"participants": 4, "records": 2500, "widths": [1024, 512, 256, 128]},
    "small": {"participants": 10, "records": 100, "widths": [32]},
}


def setup_of(size: str, rounds: int, federations: int, workers: int, in_step: bool) -> Setup:
    """Return an experiment whose attack asks for so many shadow federations."""
    chosen = SIZES[size]
    known = min(1000, chosen["records"] // 4)
    plain = {
        "data": "synthetic-purchase100",
        "partition": {k: chosen[k] for k in ("participants", "records")},
        "model": {"name": "fully-connected", "widths": chosen["widths"]},
        "federation": {
            "rounds": rounds,
            "local": {"batch_size": 100, "optimizer": "adam", "learning_rate": 0.001},
            "evaluation": {"every": 5, "records": 2500},
        },
        "snapshots": {"rounds": {"every": max(1, rounds // 3)}},
        "audit": {
            "victims": [0],
            "known_members": known,
            "known_nonmembers": known,
            "tested_members": known,
            "tested_nonmembers": known,
        },
        "adversaries": ["curious-server"],
        "attacks": [{"name": "shadow", "federations": federations}],
        "engine": {"workers": workers, "stacked_shadows": in_step},
    }
    return build_setup(parse_experiment(plain, ""), None, SILENCE)


def main() -> None:
    """Run them in turn and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="quickstart")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--federations", type=int, default=16)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    numbers = count()
    with tempfile.TemporaryDirectory(prefix="fedsim-shadows-") as place:

        def simulated(setup: Setup) -> None:
            out = Path(place) / str(next(numbers))
            shadows_of(setup, RunDirectory(out), SILENCE)
            shutil.rmtree(out)

        make = partial(setup_of, given.size, given.rounds)
        contenders: dict[str, Callable[[], object]] = {
            "one": partial(simulated, make(1, given.workers, False)),
            "in step": partial(simulated, make(given.federations, given.workers, True)),
            "one after the other": partial(
                simulated, make(given.federations, given.workers, False)
            ),
        }
        clock = processor_seconds if given.workers == 1 else time.perf_counter
        taken = interleaved(contenders, given.repeats, clock=clock, warm_ups=0)
    for name, against in (
        ("in step", "one"),
        ("one after the other", "one"),
        ("in step", "one after the other"),
    ):
        found = ratios(taken, name, against)
        print(
            f"{given.size}, {given.workers} workers: {given.federations} {name} "
            f"({median(taken[name]):.1f} s) / {against} ({median(taken[against]):.1f} s) = "
            f"{found['median']:.2f} ({found['min']:.2f} to {found['max']:.2f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
