"""What ``snapshots.keep: features`` saves: disk and time, against keeping parameters.

Twenty participants are all victims and all observed in thirty rounds: a curious server has 1,200
snapshots. Run with one thread, ``OMP_NUM_THREADS=1 python benchmarks/observation.py``. It prints a
line a setting, and whether the scores are the same bytes. A short run goes before them, so that
what Python imports is in neither time.
"""

import argparse
import hashlib
import shutil
import tempfile
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from paired import interleaved, processor_seconds, ratios

import fedsim


def experiment(
    keep: str, participants: int, width: int, attacks: list[str], rounds: int
) -> dict[str, Any]:
    """Return the experiment as plain data."""
    victims = list(range(participants))
    return {
        "data": {"name": "synthetic-purchase100", "records": 400 * participants},
        "partition": {"participants": participants, "records": 200},
        "model": {"name": "fully-connected", "widths": [width, 256]},
        "federation": {
            "rounds": rounds,
            "local": {"batch_size": 50, "optimizer": "adam", "learning_rate": 0.001},
            "evaluation": {"every": rounds, "records": 100},
        },
        "snapshots": {"rounds": {"every": 1}, "participants": "all", "keep": keep},
        "audit": {
            "victims": victims,
            "known_members": 50,
            "known_nonmembers": 50,
            "tested_members": 50,
            "tested_nonmembers": 50,
        },
        "adversaries": ["curious-server"],
        "attacks": attacks,
    }


def size(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def scores(folder: Path) -> str:
    """Return a digest of all scores of a run."""
    content = hashlib.sha256()
    for path in sorted((folder / "scores").rglob("*.parquet")):
        content.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return content.hexdigest()[:16]


def main() -> None:
    """Run both settings in turn and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--participants", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--attacks", default="loss,scalar-logistic,gradient-norm,uncertainty")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    attacks, numbers = given.attacks.split(","), count()
    kept: dict[str, int] = {}
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="fedsim-observation-") as place:

        def run(keep: str) -> None:
            out = Path(place) / f"{keep}-{next(numbers)}"
            toy = experiment(keep, given.participants, given.width, attacks, given.rounds)
            fedsim.run(toy, out)
            kept[keep], found[keep] = size(out / "snapshots") + size(out / "features"), scores(out)
            shutil.rmtree(out)

        fedsim.run(experiment("features", 2, given.width, attacks, 1), Path(place) / "warm")
        settings = {keep: partial(run, keep) for keep in ("parameters", "features")}
        taken = interleaved(settings, given.repeats, clock=processor_seconds, warm_ups=0)
    for keep, seconds in taken.items():
        print(f"{keep:10} {kept[keep] / 1e6:9.1f} MB  {median(seconds):7.1f} processor seconds")
    time = ratios(taken, "features", "parameters")
    print(
        f"disk {kept['features'] / kept['parameters']:.3f}, processor time {time['median']:.3f} "
        f"({time['min']:.3f} to {time['max']:.3f}), "
        f"the same scores: {found['features'] == found['parameters']}"
    )


if __name__ == "__main__":
    main()
