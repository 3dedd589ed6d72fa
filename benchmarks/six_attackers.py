"""What six attackers cost beside one honest federation: what branching saves.

The CIFAR-100 run of the README (4 participants x 5,000 records, AlexNet, 40 rounds) against two
victims. Everybody who acts begins half-way, in round 21, and goes on to the end. Simulated are five
federations; the four attacked ones branch from the honest one, so 120 of 200 rounds are left, and
the climbs come on top. With fewer rounds it is the same share. Records are random images of the
same shape, so no data set is needed. Both run in one process, and processor time is what counts: 40
rounds take 45 minutes of a core. That time grows with whatever else the machine does, so it needs
to be left alone.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from paired import interleaved, processor_seconds, publish, ratios

from fedsim import seeds
from fedsim.config.experiment import Experiment
from fedsim.config.loading import read_experiment
from fedsim.data import Arrays
from fedsim.federation.log_filters import only_warnings_of_flower
from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.simulate import simulate

CONFIG = Path(__file__).parents[1] / "configs" / "cifar100-alexnet-small.yaml"


def images(records: int) -> Arrays:
    """Return random images with random labels."""
    random = seeds.generator(0, "benchmark")
    pixels = random.normal(size=(records, 3, 32, 32)).astype(np.float32)
    return Arrays(pixels, random.integers(100, size=records), num_classes=100)


def simulated(experiment: Experiment) -> None:
    """Run the federations of an experiment, with snapshots, states and checkpoints."""
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory.create(Path(folder) / "run", experiment.resolved())
        simulate(build_setup(experiment, None, SILENCE), run, SILENCE)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all?")
    parser.add_argument("--records", type=int, default=5000, help="a participant")
    parser.add_argument("--rounds", type=int, default=40, help="even; half of them are honest")
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    records = 50 if options.quick else options.records
    audited, half = records // 5, options.rounds // 2
    changed = [
        f"data={{name: 'six_attackers:images', records: {6 * records}, test_records: {records}}}",
        f"partition.records={records}",
        f"federation.rounds={options.rounds}",
        "federation.local.schedule={}",
        f"snapshots.rounds={[half, *range(half + 1, options.rounds + 1, 2)]}",
        "engine.workers=1",
        "audit.victims=[0, 1]",
        *(f"audit.{side}={audited}" for side in ("known_members", "known_nonmembers")),
        *(f"audit.{side}={audited}" for side in ("tested_members", "tested_nonmembers")),
    ]
    acting = f"first: {half + 1}"
    ascent = f"{acting}, targets: {audited}"
    six = [
        "curious-server",
        f"{{name: isolating-server, {acting}}}",
        f"{{name: gradient-ascent-server, {ascent}}}",
        f"{{label: both, together: [{{name: isolating-server, {acting}}}, "
        f"{{name: gradient-ascent-server, {ascent}}}]}}",
        "{name: curious-participant, participant: 3}",
        f"{{name: gradient-ascent-participant, participant: 3, {ascent}}}",
    ]
    contenders = {
        name: partial(
            simulated,
            read_experiment(CONFIG, [*changed, f"adversaries=[{', '.join(adversaries)}]"]),
        )
        for name, adversaries in (("six attackers", six), ("honest", [six[0], six[4]]))
    }
    with only_warnings_of_flower():
        seconds = interleaved(
            contenders,
            1 if options.quick else options.repetitions,
            clock=processor_seconds,
            warm_ups=0,
        )
    publish(
        {
            "records a participant": records,
            "processor seconds": seconds,
            "six attackers / honest": ratios(seconds, "six attackers", "honest"),
        },
        options.json,
    )


if __name__ == "__main__":
    main()
