"""Sound input to start from: the run directory of a tiny experiment with every kind of file."""

from dataclasses import dataclass
from pathlib import Path

import toys

from fedsim import api
from fedsim.data import SourceLocation
from fedsim.data.cache import load_or_decode

NETWORK = {"folds": 2, "repeats": 1, "epochs": 2}
ATTACKS = ["random", "loss", "gradient-norm", "label", {"name": "supervised", "training": NETWORK}]
PARTIES = [
    "curious-server",
    {"name": "curious-participant", "participant": 2},
    {"name": "isolating-server", "first": 3},
]


@dataclass(frozen=True)
class Corpus:
    """A finished run, and a folder for what the subjects write."""

    run: Path
    folder: Path

    def first(self, pattern: str) -> Path:
        """Return the first file of the run that fits a pattern."""
        return min(self.run.glob(pattern))


def make_corpus(folder: Path) -> Corpus:
    """Run the tiny experiment, unless an earlier call has."""
    run, cache = folder / "run", folder / "cache"
    if not (run / "report.html").is_file():
        api.run(toys.experiment(attacks=ATTACKS, adversaries=PARTIES), run)
    load_or_decode(SourceLocation(cache), "toy", decoder=1, source="toy", decode=toys.blobs)
    work = folder / "work"
    work.mkdir(exist_ok=True)
    return Corpus(run, work)
