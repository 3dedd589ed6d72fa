"""Whether the figures of version 1 are still computed bit for bit.

Runs the quickstart and a cut CIFAR-100 federation (six attackers, every attack of version 1) and
compares a digest of every snapshot, every file of scores, every history and every figure of the
results with those that commit e9d5dbd computed (``reference/*.json``)::

    python benchmarks/reference_figures.py --cifar DIR      # DIR has the parquet files of CIFAR-100
    python benchmarks/reference_figures.py --run RUN --of cifar-cut   # a finished run

Three later changes alter scores on purpose (see reference/README.md): an attack gets the records in
an order of the run's, and under other ids; `loss` and `gradient-norm` score by logarithms; and so
does `uncertainty`. ``--as-version-1`` takes these three back, for this comparison only, and then
every digest is to be the same, but for those of attacks whose networks are trained together since
(`OTHERWISE`). Convolutions are computed as PyTorch does. It scores a finished run again, too, in a
copy::

    python benchmarks/reference_figures.py --as-version-1 --run RUN

The digests hold for the versions in constraints.txt (PyTorch's CPU build) on x86-64 with AVX-512:
other kernels round otherwise. On another machine or build, compare with runs of version 1 there::

    python benchmarks/reference_figures.py --as-version-1 --cifar DIR --against RUNS

where ``RUNS/quickstart`` and ``RUNS/cifar-cut`` are what version 1's ``fedsim run`` wrote.
"""

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors import safe_open

import fedsim
from adversaries.inference.feature_cache import last_features, positions
from adversaries.inference.feature_spec import FeatureSpec
from adversaries.inference.features import SnapshotFeatures
from adversaries.inference.log_scalars import normalised_entropy
from adversaries.signals.gradient_norm import GradientNorm
from adversaries.signals.loss import Loss
from adversaries.signals.uncertainty import Uncertainty
from fedsim.attacks import Attack, View
from fedsim.data import MembershipQuery
from fedsim.progress import SILENCE
from fedsim.stages.preparation import setup, views

HERE = Path(__file__).parent
CONFIGS = {
    "quickstart": HERE.parent / "configs" / "quickstart.yaml",
    "cifar-cut": HERE / "reference" / "cifar-cut.yaml",
}

OTHERWISE = ("supervised", "shadow", "unsupervised")
"""Attacks that are trained otherwise since then, together and by other draws: not compared."""

AS_TORCH = ("engine.small_convolutions=[]", "engine.channels_last=false")
"""Convolutions as version 1 computed them; by rows the last digits are others."""

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


@contextmanager
def version_1() -> Iterator[None]:
    """Take back, in one block, the three changes that alter scores on purpose."""

    def in_order(seed: int, query: MembershipQuery, count: int) -> NDArray[np.intp]:
        return np.arange(count)

    with ExitStack() as stack:
        for module in (setup, views):
            stack.enter_context(mock.patch.object(module, "shuffled_records", in_order))
        for attack, read in (
            (Loss, lambda view: last_features(view, SILENCE, _LOSSES).losses),
            (GradientNorm, lambda view: _norms(last_features(view, SILENCE, _NORMS))),
            (
                Uncertainty,
                lambda view: normalised_entropy(last_features(view, SILENCE, _PREDICTION)),
            ),
        ):
            stack.enter_context(mock.patch.object(attack, "score", _minus(read)))
        yield


_LOSSES = FeatureSpec(output=False, last_layer_gradient=False, gradient_norms=())
_NORMS = FeatureSpec(output=False, last_layer_gradient=False)
_PREDICTION = FeatureSpec(last_layer_gradient=False, gradient_norms=())


def _minus(read: Callable[[View], NDArray[Any]]) -> Callable[..., NDArray[np.float64]]:
    """Return the `score` of an attack that says minus what is read of the last snapshot."""

    def score(
        self: Attack, view: View, known: object, candidates: NDArray[np.int64], *rest: object
    ) -> NDArray[np.float64]:
        return -read(view).astype(np.float64)[positions(view, candidates)]

    return score


def _norms(features: SnapshotFeatures) -> NDArray[np.float64]:
    norms: NDArray[np.float64] = np.linalg.norm(features.gradient_norms.astype(np.float64), axis=1)
    return norms


def scored_again(run: Path, copy: Path) -> Path:
    """Copy a run without what its attacks made."""
    made = ("features", "scores", "traces", "results.json", "report.html")
    shutil.copytree(run, copy, ignore=lambda folder, names: [n for n in names if n in made])
    return copy


def differences(found: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    """Return the names of what differs, is missing, or is new, but for what differs on purpose."""
    names = {n for n in found.keys() | expected.keys() if n.rpartition("/")[2] not in OTHERWISE}
    return sorted(n for n in names if found.get(n) != expected.get(n))


def expected_digests(name: str, runs: Path | None) -> dict[str, str]:
    """Return the digests of version 1: of its run in a folder, or those that are stored."""
    if runs is not None:
        return digests(runs / name)
    stored: dict[str, str] = json.loads((HERE / "reference" / f"{name}.json").read_text())
    return stored


def main() -> int:
    """Compare, and print what differs; 0 if nothing does."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cifar", type=Path, help="the folder of CIFAR-100's parquet files")
    parser.add_argument("--run", type=Path, help="a finished run, instead of running")
    parser.add_argument(
        "--as-version-1", action="store_true", help="without the changes that alter scores"
    )
    parser.add_argument(
        "--against", type=Path, metavar="RUNS", help="runs of version 1, instead of stored digests"
    )
    parser.add_argument("--keep", type=Path, metavar="RUNS", help="keep the runs in this folder")
    parser.add_argument("--of", choices=sorted(CONFIGS), default="quickstart")
    options = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as temporary:
        names = (
            [options.of] if options.run else ["quickstart", *["cifar-cut"] * bool(options.cifar)]
        )
        for name in names:
            run = options.run or (options.keep or Path(temporary)) / name
            if options.run and options.as_version_1:
                run = scored_again(run, Path(temporary) / name)
            if not options.run or options.as_version_1:
                data = options.cifar if name == "cifar-cut" else None
                with version_1() if options.as_version_1 else nullcontext():
                    fedsim.run(CONFIGS[name], run, settings=AS_TORCH, data_dir=data)
            expected = expected_digests(name, options.against)
            differ = differences(digests(run), expected)
            print(f"{name}: {len(expected)} digests, {len(differ)} differ")
            for one in differ:
                print(f"  {one}")
            wrong += len(differ)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
