"""What is wrong with an experiment is told at once, and before any record is decoded."""

import copy
import itertools
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import pytest
import toys

import fedsim
from fedsim.config.choice import LabelledChoice
from fedsim.config.yaml_files import format_yaml
from fedsim.errors import MOST_FAULTS, FedsimError
from fedsim.progress import SILENCE
from fedsim.stages.preparation.experiment_faults import load_experiment, parse_experiment
from fedsim.stages.preparation.setup_building import build_setup

DECODED: list[str] = []


def records() -> object:
    """Return what must not be asked for."""
    DECODED.append("records")
    raise AssertionError("the records were decoded")


class Source:
    """A source whose constructor only looks at its settings."""

    def __init__(self, size: int = 1) -> None:
        if size < 1:
            raise ValueError(f"size is {size}")

    def arrays(self, place: object) -> object:
        """Return what must not be asked for."""
        return records()


DATA = {"name": "test_experiment_faults:Source", "test_records": 60}


def refused(**sections: Any) -> str:
    """Return the one error of an experiment, wherever it is raised."""
    DECODED.clear()
    return sentence_of(toys.tree(data=DATA, **sections))


def sentence_of(tree: dict[str, Any]) -> str:
    DECODED.clear()
    with pytest.raises(FedsimError) as error:
        parse_experiment(tree, "exp.yaml")
    assert DECODED == []
    return str(error.value)


def federation(**settings: Any) -> dict[str, Any]:
    return {"federation": {**toys.tree()["federation"], **settings}}


def local(**settings: Any) -> dict[str, Any]:
    own = toys.tree()["federation"]["local"]
    return federation(local={**own, **settings})


ALONE: dict[str, tuple[dict[str, Any], str]] = {
    "strategy": (federation(strategy="FedAvgg"), "there is no 'FedAvgg' among the strategies"),
    "strategy's setting": (
        federation(strategy={"name": "FedAdam", "etaa": 1}),
        "FedAdam: unknown setting 'etaa'",
    ),
    "strategy's value": (
        federation(strategy={"name": "FedAvg", "fraction_train": 2.0}),
        "would wait forever for fraction_train",
    ),
    "wrapped strategy": (
        federation(
            strategy={
                "name": "DifferentialPrivacyServerSideFixedClipping",
                "noise_multiplier": 0.1,
                "clipping_norm": 1.0,
                "num_sampled_clients": 2,
                "strategy": {"name": "FedAvg", "fraction": 1},
            }
        ),
        "FedAvg: unknown setting 'fraction'",
    ),
    "optimizer": (local(optimizer="sgdd"), "there is no 'sgdd' among the optimizers"),
    "optimizer's value": (
        local(optimizer={"name": "sgd", "momentum": -0.5}),
        "sgd: setting 'momentum' is -0.5",
    ),
    "optimizer's values": (
        local(optimizer={"name": "sgd", "momentum": 0.0, "nesterov": True}),
        "nesterov is a form of momentum, which is 0",
    ),
    "PyTorch's optimizer": (
        local(optimizer={"name": "torch.optim:RMSprop", "alpha": -1.0}),
        "torch.optim:RMSprop: ValueError: Invalid alpha value: -1.0",
    ),
    "trainer": (local(trainer={"name": "sgd", "clip": -1}), "sgd: unknown setting 'clip'"),
    "partitioner": (
        {"partition": {"name": "disjoin"}},
        "there is no 'disjoin' among the partitioners",
    ),
    "partitioner's setting": (
        {"partition": {"name": "disjoint", "alpha": 1}},
        "disjoint: unknown setting 'alpha'",
    ),
    "Flower's partitioner": (
        {"partition": {"name": "DirichletPartitioner", "alpha": -1.0}},
        "partition DirichletPartitioner",
    ),
    "Flower's partitioner without": (
        {"partition": {"name": "DirichletPartitioner"}},
        "setting 'alpha' is missing",
    ),
    "defence": ({"defences": ["clip"]}, "there is no 'clip' among the defences"),
    "defence's value": (
        {"defences": [{"name": "clipped-updates", "clipping_norm": -1}]},
        "clipped-updates",
    ),
    "attack's value": ({"attacks": [{"name": "scalar-logistic", "folds": 1}]}, "folds"),
    "adversary's value": (
        {"adversaries": [{"name": "gradient-ascent-server", "rate": -1.0}]},
        "gradient-ascent-server cannot be built: rate must be a positive number",
    ),
    "late adversary": (
        {"adversaries": [{"name": "isolating-server", "first": 9}]},
        "isolating-server acts from round 9 on, but federation.rounds is 4",
    ),
    "objective": ({"objective": "clasification"}, "no 'clasification' among the objectives"),
    "metric": ({"metrics": ["tpr@2.0"]}, "an fpr of 2.0 was given"),
    "model": ({"model": {"name": "fully-connected", "widht": 2}}, "unknown setting 'widht'"),
}


@pytest.mark.parametrize("what", ALONE)
def test_each_fault_is_told_before_the_data_are_decoded(what: str) -> None:
    sections, sentence = ALONE[what]
    assert sentence in refused(**sections)


def test_a_fraction_of_more_than_all_is_told_once_before_the_data_are_decoded() -> None:
    fraction = {"name": "FedAvg", "fraction_evaluate": 1.5}
    wrapping = {
        "name": "DifferentialPrivacyServerSideFixedClipping",
        "noise_multiplier": 1.0,
        "clipping_norm": 1.0,
        "num_sampled_clients": 4,
        "strategy": fraction,
    }
    for strategy in (fraction, wrapping):
        said = refused(federation={"strategy": strategy})
        assert said.count("FedAvg would wait forever for fraction_evaluate = 1.5; it must be") == 1
        assert "faults" not in said


def test_a_source_is_built_but_not_read() -> None:
    toy = toys.tree(data={**DATA, "size": 0})
    with pytest.raises(
        FedsimError, match=r"test_experiment_faults:Source cannot be built: size is 0"
    ):
        parse_experiment(toy, "exp.yaml")


def test_faults_of_all_plugins_are_one_error() -> None:
    said = refused(
        partition={"name": "disjoin"},
        federation={
            "rounds": 4,
            "strategy": {"name": "FedAdam", "etaa": 1},
            "local": {"optimizer": {"name": "sgd", "momentum": -0.5}, "trainer": "sgdd"},
        },
        defences=["clip"],
        attacks=[{"name": "scalar-logistic", "folds": 1}],
        adversaries=[{"name": "gradient-ascent-server", "rate": -1.0}],
    )
    assert said.startswith("exp.yaml: 7 faults: (1) ")
    for part in ("disjoin", "etaa", "momentum", "sgdd", "clip", "folds", "rate"):
        assert said.count(f"{part!r}") >= 1 or part in said


def test_a_misspelt_key_hides_no_fault_of_a_plugin() -> None:
    said = refused(sead=1, attacks=[{"name": "scalar-logistic", "folds": 1}])
    assert "unknown key 'sead'" in said
    assert "folds" in said


CURIOUS = {"name": "curious-participant", "participant": 2}


def test_an_experiment_that_was_read_before_is_looked_at_again() -> None:
    sound = parse_experiment(toys.tree(data=DATA), "exp.yaml")
    attacks = (*sound.attacks, LabelledChoice(name="scalar-logistic", folds=1))
    federation = sound.federation.model_copy(update={"rounds": -3})
    late = sound.model_copy(update={"attacks": attacks, "federation": federation})
    with pytest.raises(FedsimError, match="folds"):
        build_setup(late, None, SILENCE)


MISTAKES: dict[str, tuple[str, Any, str]] = {
    "a seed": ("seed", -1, "seed is -1"),
    "a date": ("federation.evaluation.records", date(2026, 1, 1), "not plain finite data"),
    "a key": ("sead", 1, "unknown key 'sead'"),
    "a key of a section": ("audit.knwon_members", 1, "unknown key 'audit.knwon_members'"),
    "a source's value": ("data.size", 0, "size is 0"),
    "a model's setting": ("model.widht", 2, "unknown setting 'widht'"),
    "an objective": ("objective", "clasification", "no 'clasification' among"),
    "a partitioner": ("partition.name", "disjoin", "no 'disjoin' among"),
    "Flower's partitioner": (
        "partition",
        {"name": "DirichletPartitioner", "participants": 3, "alpha": -1.0},
        "partition DirichletPartitioner: ",
    ),
    "participants": ("partition.participants", 0, "partition.participants is 0"),
    "rounds": ("federation.rounds", "many", "federation.rounds is 'many'"),
    "a strategy": ("federation.strategy", "FedAvgg", "no 'FedAvgg' among"),
    "Flower's strategy": (
        "federation.strategy",
        {"name": "FedAvg", "fraction_train": 2.0},
        "would wait forever for fraction_train",
    ),
    "a rate": ("federation.local.learning_rate", -1, "federation.local.learning_rate is -1"),
    "an optimizer": (
        "federation.local.optimizer",
        {"name": "sgd", "momentum": 0.0, "nesterov": True},
        "nesterov is a form of momentum",
    ),
    "PyTorch's optimizer": (
        "federation.local.optimizer",
        {"name": "torch.optim:RMSprop", "alpha": -1.0},
        "Invalid alpha value: -1.0",
    ),
    "a trainer": ("federation.local.trainer", {"name": "sgd", "clip": 1}, "setting 'clip'"),
    "a trainer's values": (
        "federation.local.trainer",
        {"name": "sgd", "loss": "hinge", "label_smoothing": 0.1},
        "federation.local.trainer",
    ),
    "observed rounds": ("snapshots.rounds", [2, 99], "snapshots.rounds has 99"),
    "what is kept": ("snapshots.keep", "all", "snapshots.keep is 'all'"),
    "a victim": ("audit.victims", [0, 77], "audit.victims is [0, 77]"),
    "a victim twice": ("audit.victims", [0, 0], "names a participant twice"),
    "known records": ("audit.known_members", 0, "audit.known_members is 0"),
    "a defence": ("defences.+", "clip", "no 'clip' among the defences"),
    "a defence's value": (
        "defences.+",
        {"name": "clipped-updates", "max_norm": -1.0},
        "max_norm",
    ),
    "an adversary's value": (
        "adversaries.+",
        {"name": "gradient-ascent-server", "rate": -1.0},
        "rate must be a positive number",
    ),
    "a late adversary": (
        "adversaries.+",
        {"name": "isolating-server", "first": 9},
        "acts from round 9 on",
    ),
    "an attack": ("attacks.+", "los", "no 'los' among the attacks"),
    "an attack's value": ("attacks.+", {"name": "scalar-logistic", "folds": 1}, "folds"),
    "a label": ("attacks.+", {"name": "loss", "label": "a b"}, "label 'a b'"),
    "a label twice": (
        "attacks.+",
        {"name": "loss", "label": "random"},
        "attacks has 'random' twice",
    ),
    "a metric": ("metrics.+", "tpr@2.0", "an fpr of 2.0"),
    "an engine's key": ("engine.worker", 2, "unknown key 'engine.worker'"),
    "an engine's value": ("engine.threads", 0, "engine.threads is 0"),
}
"""Mistakes that know nothing of each other: where, what stands there, and what is told of it."""
CONSEQUENCES = {
    "participants": {"a victim", "Flower's partitioner"},
    "rounds": {"observed rounds", "a late adversary"},
    "a label": {"a label twice"},
}
"""What cannot be known beside a mistake: it compares with what is at fault."""


def go_together(chosen: Sequence[str]) -> bool:
    """Return whether mistakes stand at different places, and none hides another."""
    places = [MISTAKES[one][0] for one in chosen if not MISTAKES[one][0].endswith("+")]
    apart = all(
        not (b == a or b.startswith(f"{a}.")) for a, b in itertools.permutations(places, 2)
    ) and len(set(places)) == len(places)
    return apart and not any(CONSEQUENCES.get(one, set()) & {*chosen} for one in chosen)


def mistaken(chosen: Sequence[str]) -> dict[str, Any]:
    """Return the toy experiment with some mistakes in it."""
    tree: dict[str, Any] = copy.deepcopy(toys.tree(data=DATA))
    for one in chosen:
        path, value, _ = MISTAKES[one]
        *sections, last = path.split(".")
        place: Any = tree
        for section in sections:
            place = place.setdefault(section, [] if last == "+" else {})
        if last == "+":
            place.append(copy.deepcopy(value))
        else:
            place[last] = copy.deepcopy(value)
    return tree


def require_all_told(chosen: Sequence[str]) -> None:
    said = sentence_of(mistaken(chosen))
    missing = [one for one in chosen if MISTAKES[one][2] not in said]
    assert not missing, said
    start = f"exp.yaml: {len(chosen)} faults: " if len(chosen) > 1 else "exp.yaml: "
    assert said.startswith(start), said


def test_any_two_mistakes_are_told_at_once_and_nothing_else() -> None:
    pairs = [pair for pair in itertools.combinations(MISTAKES, 2) if go_together(pair)]
    assert len(pairs) > 450
    for pair in pairs:
        require_all_told(pair)


def test_however_many_mistakes_are_told_at_once() -> None:
    random = Random(0)
    for _ in range(80):
        names = random.sample([*MISTAKES], len(MISTAKES))
        chosen: list[str] = []
        for name in names[: random.randint(1, len(names))]:
            if go_together([*chosen, name]) and len(chosen) < MOST_FAULTS:
                chosen.append(name)
        require_all_told(chosen)


def test_run_tells_all_of_them_and_leaves_no_folder(tmp_path: Path) -> None:
    chosen = ["a seed", "Flower's strategy", "PyTorch's optimizer", "an attack's value"]
    with pytest.raises(FedsimError) as error:
        fedsim.run(mistaken(chosen), tmp_path / "run")
    assert str(error.value).startswith("the experiment: 4 faults: ")
    assert all(MISTAKES[one][2] in str(error.value) for one in chosen)
    assert [*tmp_path.iterdir()] == []


def test_settings_that_lead_nowhere_are_told_with_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "exp.yaml"
    path.write_text(format_yaml(mistaken(["a seed", "Flower's strategy"])))
    with pytest.raises(FedsimError) as error:
        load_experiment(path, ["attacks.9.label=x", "seed.1=2", "audit.victims=[0, 77]"])
    assert str(error.value).startswith(f"{path}: 5 faults: ")


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        (
            {"attacks": ["loss", "fedmia"], "adversaries": [CURIOUS]},
            "attack fedmia reads the uploads of other participants",
        ),
        (
            {"defences": ["secure-aggregation"], "adversaries": ["isolating-server"]},
            "hides from it",
        ),
        (
            {"attacks": ["gradient-alignment"], "snapshots": {"rounds": [4]}}
            | {"adversaries": [CURIOUS]},
            "compares gradients with updates",
        ),
    ],
)
def test_what_does_not_fit_together_is_told_beside_the_rest(
    sections: dict[str, Any], told: str
) -> None:
    tree = toys.tree(data=DATA, **sections)
    tree["seed"] = -1
    tree["federation"]["local"]["optimizer"] = "sgdd"
    said = sentence_of(tree)
    assert said.startswith("exp.yaml: 3 faults: ")
    assert told in said


@pytest.mark.parametrize("key", ["9" * 5000, "\N{SUPERSCRIPT TWO}", "-1", "a.b", ""])
def test_keys_that_look_like_positions_are_told_as_keys(key: str) -> None:
    said = sentence_of(toys.tree(data=DATA) | {key: 1, "seed": -1})
    assert "unknown key" in said
    assert "seed is -1" in said
    assert "unknown key" in sentence_of(toys.tree(data=DATA, audit={key: 1}))
