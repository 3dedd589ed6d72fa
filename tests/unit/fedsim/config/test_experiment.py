"""An experiment is strict, immutable, and gives itself back; every mistake is one sentence."""

from pathlib import Path
from typing import Any

import pytest
import toys
import yaml
from pydantic import ValidationError

from fedsim.config.engine import LocalEngine, RayEngine
from fedsim.config.federation import LocalTraining
from fedsim.config.loading import experiment_of_tree, read_experiment
from fedsim.config.sections import EveryRound
from fedsim.errors import ConfigError, FedsimError, PluginError

TOP_KEYS = (
    "adversaries, attacks, audit, data, defences, engine, federation, given, metrics, model, "
    "objective, partition, seed, snapshots"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(toys.tree(), sort_keys=False))
    return path


def sentence(error: pytest.ExceptionInfo[FedsimError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def with_value(path: str, value: object) -> dict[str, Any]:
    toy = toys.tree()
    *sections, last = path.split(".")
    place: Any = toy
    for section in sections:
        place = place.setdefault(section, {})
    place[last] = value
    return toy


def test_defaults_are_those_documented() -> None:
    toy = toys.tree()
    del toy["seed"], toy["snapshots"], toy["federation"]["local"]
    found = experiment_of_tree(toy, "x")
    assert (found.seed, found.engine.name, found.engine.threads) == (0, "local", 1)
    assert found.federation.strategy.name == "FedAvg"
    assert found.federation.local == LocalTraining(
        epochs=1, batch_size=100, learning_rate=0.01, keep_optimizer_state=True, precision="fp32"
    )
    assert found.snapshots.rounds == EveryRound(every=5)
    assert found.observed_rounds == (4,)


@pytest.mark.parametrize(
    ("rounds", "observed"),
    [
        ([4, 2, 2], (2, 4)),
        ({"every": 3}, (3, 6, 9, 10)),
        ({"every": 4, "first": 1}, (1, 5, 9, 10)),
        ({"every": 50}, (10,)),
    ],
)
def test_observed_rounds(rounds: object, observed: tuple[int, ...]) -> None:
    toy = toys.tree(federation={"rounds": 10}, snapshots={"rounds": rounds})
    assert experiment_of_tree(toy, "x").observed_rounds == observed


def test_the_learning_rate_follows_the_schedule() -> None:
    local = LocalTraining(learning_rate=0.1, schedule={5: 0.01, 3: 0.05})
    rates = [local.learning_rate_in(r) for r in (1, 2, 3, 4, 5, 99)]
    assert rates == [0.1, 0.1, 0.05, 0.05, 0.01, 0.01]


@pytest.mark.parametrize(
    ("part", "key"),
    [("", "seed"), ("federation", "rounds"), ("federation.local", "epochs"), ("model", "name")],
)
def test_nothing_can_be_assigned(part: str, key: str) -> None:
    place: Any = toys.experiment()
    for name in filter(None, part.split(".")):
        place = getattr(place, name)
    before = getattr(place, key)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(place, key, 7)
    assert getattr(place, key) == before


def test_settings_are_a_copy() -> None:
    model = toys.experiment().model
    model.settings["widths"] = None
    assert model.settings == {"widths": [16]}


def test_resolved_gives_the_same_experiment_back(tmp_path: Path) -> None:
    toy = toys.tree(adversaries=["curious-server", {"name": "curious-server", "label": "again"}])
    toy["federation"]["local"] |= {
        "learning_rate": 1e-5,
        "optimizer": {"name": "sgd", "weight_decay": 5e-4},
        "schedule": {2: 1e-7, 11: 0.3},
    }
    toy["snapshots"] = {"rounds": {"every": 2}}
    first = experiment_of_tree(toy, "x")
    path = tmp_path / "resolved.yaml"
    path.write_text(first.resolved())
    second = read_experiment(path)
    assert second.plain() == first.plain()
    assert second.observed_rounds == first.observed_rounds
    assert second.resolved() == first.resolved()
    written = yaml.safe_load(first.resolved())
    assert written["engine"] == {
        "name": "local",
        "device": "auto",
        "threads": 1,
        "workers": 1,
        "stacked": "auto",
        "stacked_shadows": "auto",
        "small_convolutions": "auto",
        "channels_last": "auto",
        "timeout": None,
        "restarts": 3,
    }
    again = {"label": "again", "together": [{"name": "curious-server"}]}
    assert written["adversaries"][1] == again
    assert second.federation.local.schedule == {2: 1e-7, 11: 0.3}


def test_an_engine_is_chosen_by_its_name(file: Path) -> None:
    assert read_experiment(file).engine == LocalEngine()
    assert read_experiment(file, ["engine=ray"]).engine == RayEngine()
    changed = read_experiment(file, ["engine=ray", "engine.address=10.0.0.1:6379", "engine.cpus=1"])
    assert changed.engine == RayEngine(address="10.0.0.1:6379", cpus=1.0)
    assert experiment_of_tree(changed.plain(), "x").engine == changed.engine


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("5E-4", 5e-4), ("2e0", 2.0), ("1.5e-3", 1.5e-3), ("-0", None), ("1", 1.0)],
)
def test_numbers_are_read_as_a_user_means_them(file: Path, text: str, value: float | None) -> None:
    override = [f"federation.local.learning_rate={text}"]
    if value is None:
        with pytest.raises(ConfigError, match=r"federation\.local\.learning_rate is 0"):
            read_experiment(file, override)
    else:
        assert read_experiment(file, override).federation.local.learning_rate == value


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("rounds", 3, f"unknown key 'rounds'; valid keys there: {TOP_KEYS}"),
        (
            "federation.roundz",
            3,
            "unknown key 'federation.roundz'; valid keys there: attendance, evaluation, local, "
            "rounds, strategy",
        ),
        ("federation.evaluation.evry", 3, "valid keys there: every, records"),
        ("federation.rounds", 0, "federation.rounds is 0: input should be greater than 0"),
        ("federation.rounds", 2.0, "federation.rounds is 2.0: input should be a valid integer"),
        ("federation.rounds", "3", "federation.rounds is '3': input should be a valid integer"),
        ("federation.rounds", True, "federation.rounds is True"),
        ("federation.local.precision", "fp16", "input should be 'fp32' or 'bf16'"),
        ("federation.local.schedule", {"x": 0.1}, "federation.local.schedule.x is 'x'"),
        ("federation.local.schedule", {3: -1}, "federation.local.schedule.3 is -1"),
        ("federation.local.optimizer", {"nam": "sgd"}, "'federation.local.optimizer.name' is miss"),
        ("snapshots.rounds", [9], "snapshots.rounds has 9, but federation.rounds is 4"),
        ("snapshots.rounds", [0], "snapshots.rounds.0 is 0"),
        ("snapshots.rounds", "all", "snapshots.rounds is 'all'"),
        ("snapshots.rounds", {"evry": 3}, "'snapshots.rounds.evry'; valid keys there: every, firs"),
        ("audit.victims", [3], "audit.victims is [3], but participants are numbered 0 to 2"),
        ("audit.victims", [], "audit.victims is []"),
        (
            "audit.nonmembers",
            "none",
            "input should be 'unseen', 'others', 'both' or 'label-matched'",
        ),
        (
            "engine",
            {"name": "abacus"},
            "engine is {'name': 'abacus'}: it must be or have a name of: local, ray",
        ),
        ("engine", "abacus", "engine is 'abacus': it must be or have a name of: local, ray"),
        (
            "engine",
            {"name": "local", "cores": 2},
            "'engine.cores'; valid keys there: channels_last, device, name",
        ),
        (
            "engine",
            {"address": "h:1"},
            "'engine.address'; valid keys there: channels_last, device, name",
        ),
        ("engine", {"name": "ray", "cores": 2}, "'engine.cores'; valid keys there: actors, addr"),
        ("engine", {"name": "ray", "address": "auto"}, "engine.address is 'auto'; it must be HOST"),
        ("engine", {"name": "ray", "gpus": -0.5}, "engine.gpus is -0.5"),
        ("engine", {"timeout": 0}, "engine.timeout is 0: input should be greater than 0"),
        ("engine", {"name": "ray", "cpus": 1e-320}, "engine.cpus is 1e-320: it must be 0, a frac"),
        ("engine", {"name": "ray", "gpus": 1.5}, "engine.gpus is 1.5: it must be 0, a fraction"),
        ("engine", {"threads": 10**6}, "engine.threads is 1000000: input should be less than"),
        ("engine", {"timeout": 1e300}, "engine.timeout is 1e+300: input should be less than"),
        ("engine", {"workers": 10**9}, "engine.workers is 1000000000: input should be less"),
        ("engine", {"restarts": -1}, "engine.restarts is -1: input should be greater than or"),
        ("data", None, "data is None"),
        ("seed", -1, "seed is -1"),
        ("adversaries", [], "adversaries is empty"),
        ("adversaries", "curious-server", "adversaries is 'curious-server'"),
        (
            "attacks",
            ["label", "label"],
            "attacks has 'label' twice; give one of them another label",
        ),
        ("attacks", ["../up"], "label '../up' must be letters, digits, dots, dashes"),
        ("seed", float("nan"), "not plain finite data"),
        ("seed", object, "not plain finite data"),
    ],
)
def test_each_mistake_is_one_sentence_that_names_the_key(
    path: str, value: object, told: str
) -> None:
    with pytest.raises(ConfigError) as error:
        experiment_of_tree(with_value(path, value), "toy.yaml")
    assert sentence(error).startswith("toy.yaml: ")
    assert told in sentence(error)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (
            "model",
            "vgg",
            "there is no 'vgg' among the models; valid: alexnet, densenet, fully-connected",
        ),
        ("model", {"name": "fully-connected", "depth": 3}, "unknown setting 'depth'; valid: activ"),
        ("model", {"name": "fully-connected", "widths": "a"}, "setting 'widths' is 'a'"),
        ("adversaries", ["curious-participant"], "setting 'participant' is missing"),
        ("data", "toys:nothing", "cannot import plugin 'toys:nothing'"),
        ("attacks", [{"name": "label", "folds": 2.5}], "label: setting 'folds' is 2.5"),
    ],
)
def test_plugins_are_checked_when_the_experiment_is_read(
    path: str, value: object, told: str
) -> None:
    with pytest.raises(PluginError) as error:
        experiment_of_tree(with_value(path, value), "toy.yaml")
    assert told in sentence(error)


def test_all_mistakes_are_told_at_once() -> None:
    """Keys, values and plugins in one error, so that a user does not mend one a run."""
    toy = with_value("federation.local.learning_rate", -1)
    toy |= {"sead": 3, "model": "vgg", "attacks": [{"name": "label", "fold": 1, "folds": 2.5}]}
    with pytest.raises(ConfigError) as error:
        experiment_of_tree(toy, "toy.yaml")
    said = sentence(error)
    assert said.startswith("toy.yaml: 5 faults: (1) unknown key 'sead'; valid keys there: adv")
    assert "(2) federation.local.learning_rate is -1: input should be greater than 0;" in said
    assert "(3) there is no 'vgg' among the models" in said
    assert "(4) label: unknown setting 'fold'; valid: " in said
    assert "(5) label: setting 'folds' is 2.5" in said


def test_all_contradictions_are_told_at_once() -> None:
    toy = toys.tree(federation={"rounds": 2}, snapshots={"rounds": [9]}, attacks=[])
    toy["audit"]["victims"] = [7]
    with pytest.raises(ConfigError) as error:
        experiment_of_tree(toy, "toy.yaml")
    assert sentence(error) == (
        "toy.yaml: 3 faults: (1) snapshots.rounds has 9, but federation.rounds is 2; (2) "
        "audit.victims is [7], but participants are numbered 0 to 2; (3) attacks is empty; name at "
        "least one"
    )


def test_no_more_faults_than_are_read_are_told() -> None:
    with pytest.raises(ConfigError) as error:
        experiment_of_tree(toys.tree() | {f"k{n}": n for n in range(24)}, "toy.yaml")
    assert "24 faults: (1) " in sentence(error)
    assert sentence(error).endswith("; and 4 more")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seed: 1\nseed: 2", 'found duplicate key "seed" with value "2"'),
        ("federation: {rounds: 1, rounds: 2}", 'duplicate key "rounds"'),
        ("a: [1", "expected ',' or ']'"),
        ("a: !!python/object:os.system x", "could not determine a constructor"),
        ("a: &x [*x]", "not plain finite data"),
        ("a: 2024-01-01", "not plain finite data"),
        ("? [1, 2]\n: 3", "not plain finite data"),
        ("x: " + 3000 * "[", "not valid YAML"),
        ("- 3", f"an experiment is a mapping with keys {TOP_KEYS}"),
        ("", "an experiment is a mapping"),
        ("seed: \x00", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_experiment(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        read_experiment(path)
    assert str(path) in sentence(error)
    assert told in sentence(error)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"seed: \xff")
    for path in (tmp_path, tmp_path / "nothing.yaml", latin):
        with pytest.raises(ConfigError, match="cannot read the experiment") as error:
            read_experiment(path)
        assert str(path) in sentence(error)


def test_a_merge_key_shares_settings(tmp_path: Path) -> None:
    toy = toys.tree()
    del toy["audit"]
    shared = "audit:\n  <<: &same {known_members: 7, tested_members: 8}\n  tested_members: 9\n"
    path = tmp_path / "merged.yaml"
    path.write_text(yaml.safe_dump(toy) + shared)
    audit = read_experiment(path).audit
    assert (audit.known_members, audit.tested_members) == (7, 9)


def test_set_reaches_into_sections_lists_and_bare_names(file: Path) -> None:
    found = read_experiment(
        file,
        [
            "federation.rounds=6",
            "federation.local.schedule.3=0.7",
            "federation.strategy.server_momentum=0.9",
            "federation.strategy.name=FedAvgM",
            "adversaries.1.participant=1",
            "attacks.1.folds=3",
            "attacks.0=label",
            "attacks.0.label=again",
            "data.noise=2",
            "snapshots.rounds=[1, 5]",
            "federation.evaluation.records=10",
        ],
    )
    assert found.federation.rounds == 6
    assert found.federation.local.schedule == {3: 0.7}
    assert found.federation.strategy.settings == {"server_momentum": 0.9}
    assert found.adversaries[1].together[0].settings == {"participant": 1}
    assert [(a.name, a.label, a.settings) for a in found.attacks] == [
        ("label", "again", {}),
        ("label", "label", {"folds": 3}),
    ]
    assert found.data.settings == {"noise": 2}
    assert found.observed_rounds == (1, 5)
    assert found.federation.evaluation.records == 10


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("seed", "--set 'seed' is not of the form section.key=value"),
        ("=3", "not of the form"),
        ("seed=[1", "--set 'seed=[1' is not valid YAML"),
        ("seed=", "seed is None"),
        ("federation.rounds.x=9", "'federation.rounds' holds a single value"),
        ("federation.rounds.x.y=9", "nothing can be set below a single value"),
        ("adversaries.9=x", "'9' is no position; valid: 0 to 1"),
        ("adversaries.-1=x", "'-1' is no position; valid: 0 to 1"),
        ("adversaries.x.y=1", "'x' is no position; valid: 0 to 1"),
        ("federatoin.rounds=9", "unknown key 'federatoin'; valid keys there: adversaries"),
    ],
)
def test_a_bad_set_is_one_sentence(file: Path, override: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_experiment(file, [override])
    assert told in sentence(error)


def test_attacks_are_chosen_by_label_or_by_name() -> None:
    toy = toys.experiment(attacks=[{"name": "label", "label": "mine", "folds": 3}, "random"])
    chosen = toy.with_attacks(["random", "mine", "label", "random"])
    assert [(a.label, a.settings) for a in chosen.attacks] == [
        ("random", {}),
        ("mine", {"folds": 3}),
        ("label", {}),
    ]
    assert chosen.federation == toy.federation
    with pytest.raises(ConfigError, match="label 'a b' must be"):
        toy.with_attacks(["a b"])


def test_resolved_writes_the_defaults_of_plugins_and_reads_back_as_itself() -> None:
    toy = toys.experiment(adversaries=["isolating-server"], attacks=["scalar-logistic"])
    plain = toy.plain()
    assert plain["data"] | {"noise": 1.0, "records": 240} == plain["data"]
    (one,) = plain["adversaries"][0]["together"]
    assert one == {
        "name": "isolating-server",
        "first": 2,
        "others": "without-it",
    }  # not the victims
    assert plain["attacks"] == [{"name": "scalar-logistic", "label": "scalar-logistic", "folds": 5}]
    assert experiment_of_tree(plain, "again").resolved() == toy.resolved()


def test_several_values_of_a_list_that_are_no_data_are_told_together() -> None:
    with pytest.raises(ConfigError) as error:
        toys.experiment(metrics=["auc", object(), object()])
    said = str(error.value)
    assert "2 faults: (1) metrics.1 is of type object" in said
    assert "(2) metrics.2 is of type object" in said
