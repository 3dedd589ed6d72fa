"""The Python API on the toy: what is accepted, what comes back, its frames and its tables."""

import logging.handlers
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import pytest
import toys
import yaml
from safetensors.torch import save_file
from torch import nn

import fedsim
from adversaries import CuriousServer
from adversaries.signals.label import LabelOnly as Label
from adversaries.signals.loss import Loss
from fedsim.api import plan_study, report
from fedsim.errors import ConfigError, RunDirectoryError
from fedsim.progress import Advance
from fedsim.report.html_table import Heading, html_table

STUDY = {
    "title": "Two rates",
    "reproduces": "nothing",
    "base": "toy.yaml",
    "scales": {"cpu": {}},
    "axes": {
        "rate": {
            "fast": {"federation.local.learning_rate": 0.1},
            "slow": {"federation.local.learning_rate": 0.01},
        }
    },
    "tables": [
        {"rows": ["rate", "attack"], "metrics": ["auc"], "only": {"adversary": ["curious-server"]}}
    ],
}
METRICS = ["accuracy", "auc"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the toy's experiment and a study of it."""
    path = tmp_path_factory.mktemp("api")
    (path / "toy.yaml").write_text(yaml.safe_dump(toys.tree()))
    (path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    return path


@pytest.fixture(scope="module")
def audit(folder: Path) -> fedsim.FinishedRun:
    """Return a finished run; not to be changed."""
    return fedsim.run(folder / "toy.yaml", folder / "audit")


class Cells(HTMLParser):
    """Reads the texts of a table's cells, line by line, and every tag."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.lines: list[list[str]] = []
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.lines.append([])
        if tag in ("td", "th"):
            self.lines[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.lines:
            self.lines[-1][-1] += data


class Hearing:
    """A watcher that keeps what it hears."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.steps: dict[str, list[str]] = {}

    def say(self, text: str) -> None:
        self.said.append(text)

    @contextmanager
    def task(self, what: str, total: int, done: int = 0) -> Iterator[Advance]:
        yield self.steps.setdefault(what, []).append


def test_a_run_is_the_same_from_a_file_a_mapping_and_an_experiment(
    folder: Path, audit: fedsim.FinishedRun, tmp_path: Path
) -> None:
    assert audit.path == folder / "audit"
    assert audit.page.is_file()
    again = fedsim.run(toys.tree(), str(tmp_path / "a"))
    once_more = fedsim.run(fedsim.load_experiment(folder / "toy.yaml"), tmp_path / "b")
    assert again.results.results == audit.results.results == once_more.results.results


def test_a_file_names_its_run_directory_and_settings_change_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = fedsim.run(str(folder / "toy.yaml"), settings=["attacks=[random]", "seed=4"])
    assert run.path == Path("runs/toy")
    assert run.results.attacks() == ("random",)
    assert run.results.provenance["seed"] == 4
    assert fedsim.open_run("runs/toy") == run


def test_what_is_returned_is_a_short_line_where_there_is_no_notebook(
    folder: Path, audit: fedsim.FinishedRun
) -> None:
    assert repr(audit) == (
        f"<FinishedRun {folder / 'audit'}: 2 attacks by curious-server, curious-participant>"
    )
    assert repr(fedsim.compare(audit)) == "<ComparedRuns audit: 4 rows>"


def test_one_attack_may_be_given_by_its_name(folder: Path, tmp_path: Path) -> None:
    run = fedsim.run(toys.tree(attacks=["random"]), tmp_path / "run")
    assert fedsim.attack(run, "loss").results.attacks() == ("random", "loss")


def test_what_does_not_fit_together_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs a run directory: give `out`"):
        fedsim.run(toys.tree())
    with pytest.raises(ConfigError, match="settings change an experiment that is a file"):
        fedsim.run(toys.tree(), tmp_path / "x", settings=["seed=1"])
    with pytest.raises(ConfigError, match="the experiment: unknown key 'rounds'"):
        fedsim.run(toys.tree(rounds=3), tmp_path / "x")
    with pytest.raises(ConfigError, match="at least one run directory"):
        fedsim.compare()
    with pytest.raises(RunDirectoryError, match="is not a run directory"):
        fedsim.open_run(tmp_path)
    assert not (tmp_path / "x").exists()


def test_the_frame_of_a_run_holds_every_figure(audit: fedsim.FinishedRun) -> None:
    frame = audit.to_frame()
    # Two adversaries, two attacks, the victim and the mean; ten non-members support no FPR of 1 %.
    assert len(frame) == 2 * 2 * 2 * len(METRICS)
    assert list(frame.columns) == [
        *("adversary", "attack", "victim", "baseline"),
        *("metric", "value", "low", "high", "members", "nonmembers"),
    ]
    for row in audit.results.results:
        own = frame.query(
            "adversary == @row.adversary and attack == @row.attack and victim == @row.victim"
        ).set_index("metric")
        assert list(own.index) == METRICS
        assert own.loc["auc", "value"] == row.auc.value
        assert own.loc["accuracy", "low"] == row.accuracy.low
        assert set(own["members"]) == {10}


def test_a_run_shows_itself_in_a_notebook(audit: fedsim.FinishedRun) -> None:
    cells = Cells(audit._repr_html_())
    assert cells.lines[0] == ["adversary", "attack", "accuracy, %", "AUC"]
    assert [line[:2] for line in cells.lines[1:]] == [
        [row.adversary, row.attack] for row in audit.results.summary()
    ]
    assert all(re.fullmatch(r"\d+\.\d \(.+\)", line[2]) for line in cells.lines[1:])
    assert cells.tags == {"table", "caption", "thead", "tbody", "tr", "th", "td"}


def test_another_attack_and_a_comparison(folder: Path, tmp_path: Path) -> None:
    run = fedsim.run(folder / "toy.yaml", tmp_path / "run")
    attacked = fedsim.attack(run, ["loss"])
    assert attacked.results.attacks() == ("random", "label", "loss")
    assert fedsim.attack(tmp_path / "run", ["loss"]) == attacked
    compared = fedsim.compare(attacked, folder / "audit")
    frame = compared.to_frame()
    # In two runs two adversaries: four contenders in two attacks, two in the one of one run.
    assert len(frame) == (2 * 4 + 2) * len(METRICS)
    same = frame.query("run == 'audit' and adversary == 'curious-server' and metric == 'auc'")
    assert list(same["difference"]) == [0.0, 0.0]
    assert Cells(compared._repr_html_()).lines[1][:3] == ["random", "run", "curious-server"]


def test_a_study_returns_its_rows(folder: Path, tmp_path: Path) -> None:
    heard = Hearing()
    found = fedsim.study(folder / "study.yaml", out=tmp_path, rounds=2, watcher=heard)
    assert found.path == tmp_path / "study-cpu"
    assert (found.path / "table.md").is_file()
    frame = found.to_frame()
    assert list(frame.columns) == ["rate", "adversary", "attack", "metric", "value", "low", "high"]
    assert len(frame) == 2 * 2 * 2 * len(METRICS)
    lines = Cells(found._repr_html_()).lines
    assert lines[0] == ["rate", "attack", "AUC"]
    assert [line[:2] for line in lines[1:]] == [
        [rate, attack] for rate in ("fast", "slow") for attack in ("random", "label")
    ]
    assert [line.split(",")[0] for line in heard.said] == ["cell fast begins", "cell slow begins"]
    assert [line.split(":")[0] for line in heard.steps["cells"]] == ["fast", "slow"]
    again = Hearing()
    assert fedsim.study(folder / "study.yaml", out=tmp_path, rounds=2, watcher=again)
    assert again.said == []
    assert all("finished before" in line for line in again.steps["cells"])


def test_flower_is_heard_only_when_it_warns_and_only_while_we_run(
    folder: Path, tmp_path: Path
) -> None:
    logger, heard = logging.getLogger("flwr"), logging.handlers.BufferingHandler(1000)
    before = list(logger.filters)
    logger.addHandler(heard)
    try:
        fedsim.run(folder / "toy.yaml", tmp_path / "ours")
        assert heard.buffer == []
        logger.info("a line")
        assert len(heard.buffer) == 1
    finally:
        logger.removeHandler(heard)
    assert logger.filters == before


def test_no_public_function_is_hidden_by_a_module_of_its_name() -> None:
    functions = [name for name in fedsim.__all__ if name.islower()]
    assert set(functions) >= {"attack", "compare", "run", "study"}
    assert [name for name in functions if find_spec(f"fedsim.{name}") is not None] == []


def test_names_in_a_table_are_never_taken_for_markup() -> None:
    html = html_table([Heading("<script>")], [["<img src=x>"]], "a & <b>")
    assert "&lt;script&gt;" in html
    assert "&lt;img src=x&gt;" in html
    assert "a &amp; &lt;b&gt;" in html
    assert Cells(html).tags.isdisjoint({"script", "img", "b"})


class Shown:
    """An object that can be called and has no name."""

    def __call__(self) -> None:
        """Do nothing."""


def test_functions_and_classes_stand_for_their_names(
    audit: fedsim.FinishedRun, tmp_path: Path
) -> None:
    given = toys.tree(data={"name": toys.blobs, "test_records": 60})
    given["attacks"] = [Loss, {"name": Label, "label": "label"}]
    given["adversaries"] = [CuriousServer]
    out = tmp_path / "run"
    found = fedsim.run(given, str(out))
    written = (out / "experiment.yaml").read_text()
    assert "name: toys:blobs" in written
    assert "name: adversaries.signals.loss:Loss" in written
    assert found.results.attacks() == ("Loss", "label")
    again = fedsim.attack(str(out), {"name": Loss, "label": "again"})
    assert "again" in again.results.attacks()


def of_main() -> None:
    """Stand for a function that was typed into a script or notebook."""


of_main.__module__ = "__main__"


@pytest.mark.parametrize(
    ("section", "value", "sentence"),
    [
        (
            "model",
            {"name": lambda: None},
            r"model\.name is <lambda> of test_api, which",
        ),
        ("data", {"name": Shown()}, r"data\.name is a Shown, which cannot travel"),
        ("attacks", [partial(Loss)], r"attacks\.0 is a partial, which cannot travel"),
        ("model", {"name": of_main}, r"model\.name is of_main of __main__, which cannot travel"),
    ],
)
def test_what_cannot_travel_is_refused(section: str, value: object, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        fedsim.prepare(toys.tree() | {section: value})


def test_a_models_paths_may_be_texts_and_its_parts_objects(tmp_path: Path) -> None:
    save_file(toys.new_model().state_dict(), tmp_path / "model.safetensors")
    rows = (f"{record},{str(record < 120).lower()}" for record in range(240))
    (tmp_path / "who.csv").write_text("\n".join(["record,member", *rows]))
    given = fedsim.ExternalModel(
        model=new_net,
        data=toys.blobs,
        membership=str(tmp_path / "who.csv"),
        adversary="released-model",
        attacks={"name": Loss, "label": "fit"},
        weights=str(tmp_path / "model.safetensors"),
    )
    found = fedsim.attack_given(given, str(tmp_path / "run"))
    assert found.results.attacks() == ("fit",)
    with pytest.raises(ConfigError, match=r"data is .*<lambda> of test_api, which cannot travel"):
        fedsim.attack_given(replace(given, data=lambda: None), str(tmp_path / "other"))


def new_net(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Return the toy model."""
    assert (input_shape, num_classes) == ((toys.FEATURES,), toys.CLASSES)
    return toys.new_model()


def test_every_path_may_be_a_text(folder: Path, audit: fedsim.FinishedRun, tmp_path: Path) -> None:
    read = fedsim.load_experiment(str(folder / "toy.yaml"))
    assert read == fedsim.load_experiment(folder / "toy.yaml")
    page, copy = str(tmp_path / "page.html"), str(shutil.copytree(audit.path, tmp_path / "copy"))
    assert fedsim.open_run(str(audit.path)).results == audit.results
    assert fedsim.compare(copy, str(audit.path), page=page).rows
    assert Path(page).is_file()
    assert report(copy).results.results == audit.results.results
    found = fedsim.run(
        str(folder / "toy.yaml"),
        str(tmp_path / "again"),
        settings=["attacks=[random]"],
        states=str(tmp_path / "states"),
        data_dir=str(tmp_path),
    )
    assert found.results.attacks() == ("random",)
    assert plan_study(str(folder / "study.yaml"), out=str(tmp_path / "studies"))
