"""How cost grows with the participants: a round's seconds and the memory, on every engine.

- ``everybody``: all participants train in each round.
- ``sampled``: a hundred of ever more train, so what grows is what those cost who do not.

Each federation lives in processes of its own, one after the other, the engines in turn; in a second
pass they come in the opposite order. Of a federation count the medians over its rounds; memory is
the peak of the proportional set size of all its processes, in rounds that are not timed.

To each engine's medians a law ``a + b n`` is fitted so that the squares of the *relative* residuals
are least: each size counts the same, where plain squares would look at the largest one only.

``growth_plot.py`` draws what this writes with ``--json``.
"""

import hashlib
import os
import statistics
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from pace import Simulator
from paired import arguments, publish
from run_growth import ENGINES, ROUNDS

PASSES = ((10, 100, 1_000, 10_000), (10, 100, 1_000))
COHORT, SAMPLED_FROM = 100, (1_000, 10_000, 100_000)
SAMPLED_ON = ("stacked", "ray")
TIMED = 1_000  # trainings of participants in a timed block, and in one that is watched
MOST_ROUNDS = 60

Point = dict[str, Any]


class Growth:
    """Federations that are run one after the other, each in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()

    def point(self, engine: str, participants: int, cohort: int, watched: bool) -> Point:
        """Run a federation, and return what its rounds took; see `run_growth.Round`."""
        command = [sys.executable, str(Path(__file__).parent / "run_growth.py")]
        command += [engine, str(participants), str(cohort)]
        simulator = Simulator(command, self._folder / str(next(self._numbers)))
        rounds = max(2, min(MOST_ROUNDS, TIMED // cohort))
        load = os.getloadavg()[0]
        try:
            simulator.start()
            simulator.block(rounds)
            if watched:
                simulator.watched_rounds(max(1, rounds // 2))
            ended = simulator.end()
        finally:
            simulator.kill()
        of_rounds = {k.removeprefix(ROUNDS): v for k, v in ended.items() if k.startswith(ROUNDS)}
        point: Point = {
            "engine": engine,
            "participants": participants,
            "cohort": cohort,
            "load before": load,
            "start-up and first round": simulator.start_up,
            "asking who is there": float(of_rounds["wall"][0]),
            "megabytes": simulator.peak_bytes / 1e6 if watched else None,
            "parameters": hashlib.sha256(
                b"".join(v.tobytes() for k, v in ended.items() if not k.startswith(ROUNDS))
            ).hexdigest(),
        }
        timed = slice(2, 2 + rounds)  # after the asking, and a first round that warms up
        point |= {what: taken[timed].tolist() for what, taken in of_rounds.items()}
        print(engine, participants, statistics.median(point["wall"]), file=sys.stderr)
        return point


def law(participants: Sequence[int], measured: Sequence[float]) -> dict[str, float]:
    """Return a and b of ``a + b n``, and the largest relative residual."""
    n, y = np.array(participants, float), np.array(measured)
    design = np.stack([np.ones_like(n), n], 1)
    found = np.linalg.lstsq(design / y[:, None], np.ones_like(y), rcond=None)[0]
    residuals = design @ found / y - 1
    return {"a": found[0], "b": found[1], "largest residual": float(np.abs(residuals).max())}


def laws(points: Iterable[Point]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the laws of every engine: of a round's seconds, in all and in part, and of memory."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    by_engine: dict[str, list[Point]] = {}
    for point in points:
        by_engine.setdefault(point["engine"], []).append(point)
    for engine, own in by_engine.items():
        merged = medians(own)
        watched = [point for point in own if point["megabytes"]]
        found[engine] = {
            what: law(list(merged), [figures[what] for figures in merged.values()])
            for what in ("wall", "driver", "processors", "asking_wall", "asking_driver")
        }
        found[engine]["megabytes"] = law(
            [point["participants"] for point in watched], [p["megabytes"] for p in watched]
        )
    return found


def medians(points: Sequence[Point]) -> Mapping[int, dict[str, float]]:
    """Return the medians over all rounds of one engine, by the number of participants.

    Of the processors the means: Linux counts them in ticks, which may be longer than a round.
    """
    found: dict[int, dict[str, float]] = {}
    for participants in sorted({point["participants"] for point in points}):
        same = [point for point in points if point["participants"] == participants]
        found[participants] = {
            what: middle([taken for point in same for taken in point[what]])
            for what, value in same[0].items()
            if isinstance(value, list)
            for middle in [statistics.fmean if what == "processors" else statistics.median]
        }
    return found


def main() -> None:
    """Measure and print."""
    chosen = arguments(__doc__ or "")
    passes = ((10, 30),) if chosen.quick else PASSES
    everybody: list[Point] = []
    with tempfile.TemporaryDirectory() as folder:
        growth = Growth(Path(folder))
        for number, sizes in enumerate(passes):
            for size in sizes:
                engines = list(ENGINES)[:: -1 if number % 2 else 1]
                everybody += [growth.point(e, size, size, watched=not number) for e in engines]
        sampled = [
            growth.point(engine, participants, min(COHORT, participants), watched=True)
            for participants in (passes[0] if chosen.quick else SAMPLED_FROM)
            for engine in SAMPLED_ON
        ]
    figures = {
        "laws, everybody": laws(everybody),
        "laws, sampled": laws(sampled),
        "everybody": everybody,
        "sampled": sampled,
    }
    publish(figures, chosen.json)


if __name__ == "__main__":
    main()
