"""What a test of the documentation does otherwise than a reader would, each with its reason.

Everything that is not named here is executed word for word.
"""

from typing import NamedTuple


class Instead(NamedTuple):
    """What is executed in place of a command (nothing where it is empty), and why."""

    command: str
    why: str


class OptionsOnly(NamedTuple):
    """A program that is asked only whether it has the options that a page gives it, and why."""

    program: str
    why: str


class Smaller(NamedTuple):
    """Changes of an experiment that a command names, and why."""

    settings: tuple[str, ...]
    why: str


MINUTES = "it would take minutes: the same adversaries and attacks on fewer records or rounds"

SMALLER_EXPERIMENTS = {
    "configs/quickstart.yaml": Smaller(
        (
            "data={name: synthetic-purchase100, records: 1200, test_records: 200}",
            "partition.records=100",
            "model={name: fully-connected, widths: [32]}",
            "federation.rounds=4",
            "federation.local.learning_rate=0.01",
            "snapshots.rounds=[2, 3, 4]",
            "audit={known_members: 40, known_nonmembers: 40, tested_members: 50, "
            "tested_nonmembers: 50}",
            "adversaries.1.first=2",
            "adversaries.2={name: gradient-ascent-server, first: 3}",
            "adversaries.3.together=[{name: isolating-server, first: 2}, "
            "{name: gradient-ascent-server, first: 3}]",
            "adversaries.5={name: gradient-ascent-participant, participant: 3, first: 3}",
            "attacks.0={name: ensemble, supervised: false, folds: 2}",
            "attacks.1={name: supervised, training: {epochs: 2, folds: 2}}",
            "engine.workers=1",
        ),
        MINUTES,
    ),
    "configs/cifar100-alexnet-small.yaml": Smaller(
        (
            "partition.records=40",
            "federation.rounds=3",
            "federation.local.schedule={}",
            "federation.local.batch_size=20",
            "snapshots.rounds=[2, 3]",
            "audit={known_members: 10, known_nonmembers: 10, tested_members: 10, "
            "tested_nonmembers: 10}",
            "adversaries=[curious-server, {name: curious-participant, participant: 3}]",
            "attacks=[{name: scalar-logistic, folds: 2}, gradient-norm, loss, random]",
            "engine.workers=1",
        ),
        MINUTES + "; DIR holds noise in place of the images",
    ),
}

OF_THE_NETWORK = "it downloads"
OF_HOURS = "it runs for hours; the plan reads the same files and expands the same cells"

ON_TWO_MACHINES = (
    "these are folders of two machines; tests/integration/test_flower_runtime.py does it with two "
    "folders of one"
)

FLOWER_SIMULATION = (
    'flwr run . --stream --federation-config "num-supernodes=4 client-resources-num-cpus=1"'
)

INSTEAD = {
    "make quickstart": Instead(
        "fedsim run configs/quickstart.yaml --out runs/quickstart",
        "it installs everything first; the command is the last one of the target",
    ),
    "fedsim --install-completion": Instead(
        "fedsim --help", "it asks which shell runs it, and there may be none that it knows"
    ),
    "make test": Instead("", "this is a part of it"),
    "pip install .": Instead("", "it is installed, from this folder"),
    "fedsim data fetch location30": Instead("fedsim data fetch --help", OF_THE_NETWORK),
    "fedsim study configs/studies/table-10-six-attackers.yaml": Instead(
        "fedsim study configs/studies/table-10-six-attackers.yaml --plan", OF_HOURS
    ),
    FLOWER_SIMULATION: Instead(
        "fedsim run experiment.yaml --out ../runs/audit",
        "Flower's runtime takes a minute; tests/integration/test_flower_runtime.py shows that it "
        "leaves the same files",
    ),
    "fedsim study strengths.yaml": Instead("fedsim study strengths.yaml --rounds 3", MINUTES),
    "cp -r /home/mallory/audit/. /srv/runs/audit/": Instead("", ON_TWO_MACHINES),
    "fedsim attack /srv/runs/audit": Instead("", ON_TWO_MACHINES),
    "fedsim attack --snapshots /home/me/audit/server --victim 1 --attack fedmia --attack "
    "gradient-norm --model clouds.task:Net --data clouds.task:all_records --ledger "
    "/home/me/audit/who.csv --out runs/server": Instead(
        "", "what a third party's server keeps; stages/test_external_model.py attacks such"
    ),
    "fedsim attack --snapshots /home/me/audit/participant --owner aggregate --model "
    "clouds.task:Net --data clouds.task:all_records --ledger /home/me/audit/who.csv --out "
    "runs/audit": Instead(
        "",
        "what a third party's app keeps; integration/test_third_party_app.py gives the command",
    ),
    "pip install 'fedsim[tensorboard]'": Instead("", OF_THE_NETWORK),
    "fedsim run configs/quickstart.yaml --tensorboard runs/board": Instead(
        "",
        "it needs the extra, which CI does not install; "
        "tests/unit/fedsim/progress_sinks/test_tensorboard.py tests what is written with a writer "
        "in its place",
    ),
}

PROCESSES_OF_FLOWER = (
    "it needs Flower's processes on several machines; tests/integration/test_flower_runtime.py "
    "starts them on this one"
)

A_CLUSTER = (
    "it needs a cluster, and takes long to start one; tests/cluster runs experiments on one and "
    "compares what comes out"
)

OPTIONS_ONLY = {
    "flower-superlink": OptionsOnly("flower-superlink", PROCESSES_OF_FLOWER),
    "flower-supernode": OptionsOnly("flower-supernode", PROCESSES_OF_FLOWER),
    "flwr run": OptionsOnly("flwr run", PROCESSES_OF_FLOWER),
    "flwr supernode register": OptionsOnly("flwr supernode register", PROCESSES_OF_FLOWER),
    "ray start": OptionsOnly("ray start", A_CLUSTER),
    "--engine ray": OptionsOnly("fedsim run", A_CLUSTER),
    "fedsim gate": OptionsOnly(
        "fedsim gate",
        "the limits are for the whole quickstart; a smaller one breaks them, and the gate fails. "
        "tests/unit/fedsim/cli/test_output.py runs gates",
    ),
}
"""By what is in a command."""

ELSEWHERE = {"docs/tutorial.md": "tests/docs/test_tutorial.py"}
"""Pages that a test of their own executes, every block of them."""

PARTS_OF_AN_APP = {
    "docs/flower.md": "integration/test_third_party_app.py puts the same lines, word for word, "
    "into an app and runs it",
}
"""Pages with blocks that are no programs of their own: lines for an app, and dots for the rest."""
