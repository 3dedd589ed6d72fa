"""Whether the figures of version 1 are still computed bit for bit.

Runs the quickstart and a cut CIFAR-100 federation (six attackers, every attack of version 1) and
compares a digest of every snapshot, every file of scores, every history and every figure of the
results with those that commit e9d5dbd computed (``reference/*.json``)::

    python benchmarks/reference_figures.py --cifar DIR      # DIR has the parquet files of CIFAR-100
    python benchmarks/reference_figures.py --run RUN --of cifar-cut   # a finished run

The digests hold for the versions in constraints.txt on x86-64 with AVX-512: other kernels round
otherwise.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from safetensors import safe_open

HERE = Path(__file__).parent
CONFIGS = {
    "quickstart": HERE.parent / "configs" / "quickstart.yaml",
    "cifar-cut": HERE / "reference" / "cifar-cut.yaml",
}

HISTORY = (
    *("round", "local_loss", "local_accuracy", "train_loss", "train_accuracy"),
    *("test_loss", "test_accuracy"),
)
"""What version 1 kept of a round."""


def digests(run: Path) -> dict[str, str]:
    """Return a digest of each file of a run that holds figures, by what it is."""
    return {
        **{
            f"scores/{_name(p, run / 'scores')}": _scores(p) for p in _in(run / "scores", "parquet")
        },
        **{
            f"snapshots/{_name(p, run / 'snapshots')}": _snapshot(p)
            for p in _in(run / "snapshots", "safetensors")
        },
        **{
            f"history/{p.parent.name}": _history(p)
            for p in _in(run / "federations", "json", "hist")
        },
    }


def _in(folder: Path, ending: str, start: str = "") -> list[Path]:
    return sorted(folder.rglob(f"{start}*.{ending}"))


def _name(path: Path, folder: Path) -> str:
    return "/".join(path.relative_to(folder).with_suffix("").parts)


def _scores(path: Path) -> str:
    found = hashlib.sha256()
    table = pq.read_table(path)
    for name in table.column_names:
        values = table[name].combine_chunks().to_numpy(zero_copy_only=False)
        values = np.stack(values) if values.dtype == object else values
        found.update(np.ascontiguousarray(values).tobytes())
    return found.hexdigest()[:24]


def _snapshot(path: Path) -> str:
    found = hashlib.sha256()
    with safe_open(path, "numpy") as file:
        for name in sorted(file.keys()):
            found.update(name.encode())
            found.update(np.ascontiguousarray(file.get_tensor(name)).tobytes())
    return found.hexdigest()[:24]


def _history(path: Path) -> str:
    rounds = [{k: one[k] for k in HISTORY} for one in json.loads(path.read_text())["rounds"]]
    return hashlib.sha256(json.dumps(rounds, sort_keys=True).encode()).hexdigest()[:24]


def differences(found: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    """Return the names of what differs, is missing, or is new."""
    return sorted(n for n in found.keys() | expected.keys() if found.get(n) != expected.get(n))


def main() -> int:
    """Compare, and say what differs; 0 if nothing does."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cifar", type=Path, help="the folder of CIFAR-100's parquet files")
    parser.add_argument("--run", type=Path, help="a finished run, instead of running")
    parser.add_argument("--of", choices=sorted(CONFIGS), default="quickstart")
    options = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as temporary:
        names = (
            [options.of] if options.run else ["quickstart", *["cifar-cut"] * bool(options.cifar)]
        )
        for name in names:
            run = options.run or Path(temporary) / name
            if not options.run:
                data = ["--data-dir", str(options.cifar)] if name == "cifar-cut" else []
                command = ["fedsim", "run", str(CONFIGS[name]), "--quiet", "--out", str(run)]
                subprocess.run([*command, *data], check=True)
            expected = json.loads((HERE / "reference" / f"{name}.json").read_text())
            differ = differences(digests(run), expected)
            print(f"{name}: {len(expected)} digests, {len(differ)} differ")
            for one in differ:
                print(f"  {one}")
            wrong += len(differ)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
