"""Timing things against each other on a noisy machine: in turn, in one process, as ratios.

Absolute seconds on a shared machine say little. Here every contender runs once per repetition, in
an order that alternates, and the figure is the median over the repetitions of the ratio of two
times that were measured next to each other.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path


def arguments(description: str) -> argparse.Namespace:
    """Read the options that every benchmark takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all?")
    return parser.parse_args()


def processor_seconds() -> float:
    """Return what this process has computed, and those that it has waited for."""
    return sum(os.times()[:4])


def interleaved(
    contenders: Mapping[str, Callable[[], object]],
    repetitions: int,
    *,
    clock: Callable[[], float] = time.perf_counter,
    warm_ups: int = 1,
) -> dict[str, list[float]]:
    """Return the seconds of each contender's runs, taken in turn.

    Parameters
    ----------
    contenders
        What to time, by name.
    repetitions
        Runs of each that count.
    clock
        What tells the seconds.
    warm_ups
        Runs of each that go before them and do not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for repetition in range(-warm_ups, repetitions):
        for name in reversed(names) if repetition % 2 else names:
            began = clock()
            contenders[name]()
            if repetition >= 0:
                seconds[name].append(clock() - began)
    return seconds


def ratios(seconds: Mapping[str, list[float]], name: str, reference: str) -> dict[str, float]:
    """Return median, smallest and largest of the ratios of two contenders, pair by pair."""
    pairs = [a / b for a, b in zip(seconds[name], seconds[reference], strict=True)]
    return {"median": statistics.median(pairs), "min": min(pairs), "max": max(pairs)}


def publish(figures: Mapping[str, object], file: Path | None) -> None:
    """Print the figures with the machine they come from, and write them to `file` if given."""
    import torch  # not before: what is measured in child processes starts from a small one

    machine = {
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    text = json.dumps({"machine": machine, **figures}, indent=2)
    print(text)
    if file:
        file.write_text(text + "\n", encoding="utf-8")
