"""What a user writes: experiments, changes of them on the command line, and studies."""

from pathlib import Path
from random import Random
from typing import Any

import toys
import yaml

from fedsim.config.experiment import Experiment
from fedsim.config.loading import read_experiment
from fedsim.config.yaml_files import parse_yaml
from fedsim.rundir import RunDirectory
from fedsim.studies.cells import expand
from fedsim.studies.definition import Study, load_study
from fuzz.corpus import ATTACKS, PARTIES, Corpus
from fuzz.harness import Subject
from fuzz.mutators import raw, texts, trees

EXPERIMENT = toys.tree(
    attacks=ATTACKS,
    adversaries=PARTIES,
    snapshots={"rounds": {"every": 2, "first": 1}},
    engine={"name": "local", "workers": 1},
)
EXPERIMENT["federation"]["attendance"] = {1: [0, 1, 2], 3: [0, 1]}
EXPERIMENT["federation"]["strategy"] = {"name": "FedAvgM", "server_momentum": 0.5}
STUDY: dict[str, Any] = {
    "title": "A study",
    "reproduces": "table X",
    "base": "{scale}.yaml",
    "changes": {"seed": 1},
    "scales": {"cpu": {"changes": {"federation.rounds": 4}, "axes": {"n": {"3": {}}}}},
    "axes": {
        "rate": {"fast": {"federation.local.learning_rate": 0.1}, "slow": {"base": "cpu.yaml"}}
    },
    "reference": {"table": "table X", "only": {"attack": ["loss"]}},
    "tables": [{"rows": ["rate"], "metrics": ["auc"], "only": {"rate": ["fast"]}}],
    "compare": [{"along": "rate", "pairs": [["fast", "slow"]]}],
    "figures": [{"kind": "line", "caption": "x", "along": "n", "lines": "rate"}],
}
KEYS = (
    *Experiment.model_fields,
    *Study.model_fields,
    "name",
    "label",
    "together",
    "rounds",
    "base",
)


def experiments(corpus: Corpus) -> Subject:
    """Experiment files."""
    path = corpus.folder / "experiment.yaml"

    def read(broken: bytes, folder: Path) -> None:
        path.write_bytes(broken)
        experiment = read_experiment(path)
        assert isinstance(experiment.observed_rounds, tuple)
        experiment.resolved()

    return Subject("experiment", lambda random: texts.as_yaml(EXPERIMENT, random, KEYS), read)


def overrides(corpus: Corpus) -> Subject:
    """Changes of an experiment on the command line."""
    path = corpus.folder / "sound.yaml"
    path.write_text(yaml.safe_dump(EXPERIMENT))
    paths = ("seed", "federation.rounds", "adversaries.0", "attacks.4.training.epochs", "model")

    def make(random: Random) -> list[str]:
        key = random.choice((*paths, *paths, *KEYS, *trees.TEXTS))
        parts = key.split(".")
        parts[random.randrange(len(parts))] = random.choice(
            (*parts, *KEYS, *trees.TEXTS, "9", "-1")
        )
        odd = random.choice(texts.YAML_ODDITIES).format(key="a")
        odd = random.choice(
            (odd, str(random.choice(trees.NUMBERS[:-1])), random.choice(trees.TEXTS))
        )
        value = random.choice((odd, "1", "3", "0.5", "[1]", "{name: loss}", "FedAvg"))
        made = f"{random.choice((key, '.'.join(parts)))}={value}"
        if random.random() < 0.2:
            made = raw.mutated(made.encode("utf-8", "replace"), random).decode("utf-8", "replace")
        return [made]

    return Subject("override", make, lambda broken, folder: read_experiment(path, broken))


def resumed(corpus: Corpus) -> Subject:
    """The resolved experiment in a run directory that is to be resumed."""
    run = corpus.folder / "resumed"
    run.mkdir(exist_ok=True)
    resolved = toys.experiment().resolved()

    def read(broken: bytes, folder: Path) -> None:
        (run / "experiment.yaml").write_bytes(broken)
        RunDirectory.create(run, resolved)

    tree = parse_yaml(resolved, "the toy")
    return Subject("resumed experiment", lambda random: texts.as_yaml(tree, random, KEYS), read)


def studies(corpus: Corpus) -> Subject:
    """Study files, with their cells."""
    folder = corpus.folder / "studies"
    folder.mkdir(exist_ok=True)
    (folder / "cpu.yaml").write_text(yaml.safe_dump(toys.tree(attacks=["loss"])))
    path = folder / "study.yaml"

    def read(broken: bytes, _: Path) -> None:
        path.write_bytes(broken)
        study = load_study(path)
        expand(study, path, "cpu", rounds=2)

    return Subject("study", lambda random: texts.as_yaml(STUDY, random, KEYS), read)


READERS = {
    "experiment": experiments,
    "override": overrides,
    "resumed experiment": resumed,
    "study": studies,
}
