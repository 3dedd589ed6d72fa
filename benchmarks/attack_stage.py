"""What the attack stage of a finished run costs: `fedsim attack RUN`, in processor time.

Of this checkout, and of an earlier one that is named with ``--against DIR``; each attacks a copy of
the run of its own, in turn, and the ratios are those of neighbouring runs. The AUC of every row of
the results is compared, too. Features that the run has not extracted yet are extracted in the
warm-up, which does not count: what is left is to read them, to train, to judge and to report.

    fedsim run configs/quickstart.yaml --out runs/quickstart
    python benchmarks/attack_stage.py runs/quickstart --against ../fedsim-before

A checkout that cannot read the run attacks one that it has made of the same experiment, which
``--earlier-run`` names.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from paired import interleaved, processor_seconds, publish, ratios

from fedsim.report.results import Results
from fedsim.report.results_file import read_results

HERE = Path(__file__).parents[1]


def attacked(checkout: Path, run: Path, arguments: list[str]) -> None:
    """Attack a run with the code of a checkout, on one thread, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "fedsim", "attack", str(run), "--quiet", *arguments]
    # Modules are looked for in the working directory first.
    subprocess.run(command, cwd=checkout, env=environment, check=True)


def aucs(results: Results) -> dict[str, float]:
    """Return the AUC of each row that an attack has given."""
    return {" ".join(map(str, row.key)): row.auc.value for row in results.results}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a finished run")
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout")
    parser.add_argument("--earlier-run", type=Path, metavar="RUN", help="what it attacks")
    parser.add_argument("--data-dir", metavar="DIR", help="where the files of the data set are")
    parser.add_argument("--attack", action="append", default=[], help="one of its attacks only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    further = [part for name in options.attack for part in ("--attack", name)]
    if options.data_dir:
        further += ["--data-dir", str(Path(options.data_dir).resolve())]
    checkouts = {"this": HERE}
    if options.against:
        checkouts["earlier"] = options.against.resolve()
    with tempfile.TemporaryDirectory() as folder:
        copies = {name: Path(folder) / name for name in checkouts}
        attacks = {"this": options.run, "earlier": options.earlier_run or options.run}
        for name, copy in copies.items():
            shutil.copytree(attacks[name], copy)
        seconds = interleaved(
            {
                name: partial(attacked, checkout, copies[name], further)
                for name, checkout in checkouts.items()
            },
            options.repetitions,
            clock=processor_seconds,
        )
        found = {name: aucs(read_results(copy / "results.json")) for name, copy in copies.items()}
    figures: dict[str, object] = {"processor seconds": seconds, "auc": found["this"]}
    if options.against:
        figures["this / earlier"] = ratios(seconds, "this", "earlier")
        figures["auc, this - earlier"] = {
            row: round(value - found["earlier"][row], 4)
            for row, value in found["this"].items()
            if row in found["earlier"]
        }
    publish(figures, options.json)


if __name__ == "__main__":
    main()
