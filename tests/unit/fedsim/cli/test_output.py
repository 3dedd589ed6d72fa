"""The commands told quietly, as JSON, and to TensorBoard; the exit codes; shell completion."""

import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import toys
import yaml
from command_line import Fedsim, Said

from fedsim import conformance, doctor
from fedsim.cli import exit_codes
from fedsim.conformance import checklist
from fedsim.doctor import MachineCheck, MachineStatus
from fedsim.report.results_file import read_results

PAGE = Path(__file__).parents[4] / "docs" / "command-line.md"
STUDY = {
    "title": "One seed and another",
    "reproduces": "nothing",
    "base": "toy.yaml",
    "scales": {"cpu": {}},
    "axes": {"seed": {"one": {"seed": 1}, "two": {"seed": 2}}},
    "tables": [
        {"rows": ["seed", "attack"], "metrics": ["auc"], "only": {"adversary": ["curious-server"]}}
    ],
}


@pytest.fixture
def fedsim(fedsim: Fedsim, tmp_path: Path) -> Fedsim:
    """Return the command line, called in this process in a folder with the toy's files."""
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(toys.tree()))
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    return fedsim


def documented(whose: str) -> dict[str, set[str]]:
    """Return the keys of each event by the table of the page: those of a run, or of a study."""
    rows = re.findall(
        r"^\| `(\w+)`(?: of (.*?))? \| (.*) \|$", PAGE.read_text(), flags=re.MULTILINE
    )
    return {
        event: {"schema", "event", "time", *re.findall(r"`(\w+)`", keys)}
        for event, of, keys in rows
        if not of or whose in of
    }


def test_quiet_says_where_the_figures_are_and_nothing_else(fedsim: Fedsim, tmp_path: Path) -> None:
    ran = fedsim("run", "toy.yaml", "--out", "out", "--quiet")
    assert ran == Said(0, "out/results.json\n", "")
    assert fedsim("attack", "out", "--attack", "label", "--quiet") == ran
    assert fedsim("report", "out", "--quiet") == ran
    assert fedsim("study", "study.yaml", "--plan", "--quiet") == Said(0, "", "")
    studied = fedsim("study", "study.yaml", "--out", "s", "--only", "seed=one", "--quiet")
    assert studied == Said(0, "", "")
    assert fedsim("study", "study.yaml", "--out", "s", "--quiet") == Said(
        0, "s/study-cpu/table.json\n", ""
    )
    refused = fedsim("run", "toy.yaml", "--quiet", "--set", "seed=-1")
    assert (refused.code, refused.out) == (2, "")
    assert "seed is -1" in refused.err


def test_a_run_as_json_goes_from_the_plan_to_the_results(fedsim: Fedsim, tmp_path: Path) -> None:
    said = fedsim("run", "toy.yaml", "--out", "out", "--json")
    assert (said.code, said.err) == (0, "")
    planned, *work, last = said.events
    assert all(event["schema"] == 2 and event["time"] for event in said.events)
    keys = documented("run")
    assert all(event.keys() == keys[event["event"]] for event in said.events)

    assert planned["event"] == "planned"
    assert (planned["plan"]["rounds"], planned["plan"]["observed_rounds"]) == (4, [2, 4])
    assert planned["threat_models"][0]["adversary"] == "curious-server"
    assert planned["threat_models"][0]["asks"] == ["participant 0"]

    federation = [e for e in work if e.get("what") == "federation honest"]
    assert [e["event"] for e in federation] == ["started", *["progress"] * 4, "finished"]
    assert [e["done"] for e in federation] == [0, 1, 2, 3, 4, 4]
    assert federation[-2]["seconds_left"] == 0
    assert re.fullmatch(
        r"loss [\d.]+, test accuracy [\d.]+%, 3 participants", federation[-2]["standing"]
    )
    attacks = [e for e in work if e.get("what") == "attacks"]
    assert (attacks[-1]["event"], attacks[-1]["done"], attacks[-1]["total"]) == ("finished", 4, 4)

    written = read_results(tmp_path / "out" / "results.json")
    assert (last["event"], last["path"], last["page"]) == (
        *("results", "out/results.json", "out/report.html"),
    )
    assert last["utility"] == written.utility
    assert last["results"] == [row.model_dump(mode="json") for row in written.summary()]


def test_progress_counts_who_was_drawn(fedsim: Fedsim) -> None:
    drawing = 'federation.strategy={"name": "FedAvg", "fraction_train": 0.7}'
    said = fedsim("run", "toy.yaml", "--out", "out", "--json", "--set", drawing)
    assert (said.code, said.err) == (0, "")
    told = [
        e["standing"]
        for e in said.events
        if e.get("what") == "federation honest" and "standing" in e
    ]
    assert [one.rpartition(", ")[2] for one in told] == ["2 participants"] * 4


def test_a_study_as_json_counts_its_cells(fedsim: Fedsim) -> None:
    (planned,) = fedsim("study", "study.yaml", "--plan", "--json").events
    assert [c["coordinates"] for c in planned["cells"]] == [{"seed": "one"}, {"seed": "two"}]
    assert [c["finished"] for c in planned["cells"]] == [False, False]
    said = fedsim("study", "study.yaml", "--out", "s", "--json", "--rounds", "2")
    assert (said.code, said.err) == (0, "")
    cells = [e for e in said.events if e.get("what") == "cells"]
    assert [(e["event"], e["done"]) for e in cells] == [
        *(("started", 0), ("progress", 1), ("progress", 2), ("finished", 2)),
    ]
    keys = documented("study")
    assert all(event.keys() == keys[event["event"]] for event in [planned, *said.events])
    last = said.events[-1]
    assert (last["event"], last["path"]) == ("results", "s/study-cpu/table.json")
    assert len(last["results"]) == 2 * 2 * 2
    assert last["results"][0]["coordinates"] == {
        "seed": "one",
        "adversary": "curious-server",
        "attack": "random",
    }
    assert 0 <= last["results"][0]["figures"]["auc"]["value"] <= 1


def test_a_gate_ends_with_1_and_a_sentence_for_each_breach(fedsim: Fedsim, tmp_path: Path) -> None:
    fedsim("run", "toy.yaml", "--out", "a", "--quiet")
    passed = fedsim("gate", "a", "--max", "auc=1", "--min", "test_accuracy=0")
    assert (passed.code, passed.out, passed.err) == (0, "5 checks, all passed\n", "")
    broken = fedsim("gate", "a", "--max", "auc=0", "--quiet", "--junit", "gate.xml")
    assert (broken.code, len(broken.out.splitlines()), broken.err) == (1, 4, "")
    assert 'failures="4"' in (tmp_path / "gate.xml").read_text()
    as_json = fedsim("gate", "a", "--max", "auc=0", "--json")
    (told,) = as_json.events
    assert (as_json.code, told["passed"], len(told["checks"])) == (1, False, 4)
    assert told.keys() == documented("gate")["gated"]
    assert [check["breach"] for check in told["checks"]] == broken.out.splitlines()
    refused = fedsim("gate", "a", "--max", "au=0")
    assert (refused.code, refused.out) == (2, "")


def test_a_comparison_is_told_as_the_other_commands_are(fedsim: Fedsim, tmp_path: Path) -> None:
    fedsim("run", "toy.yaml", "--out", "a", "--quiet")
    fedsim("run", "toy.yaml", "--out", "b", "--set", "seed=4", "--quiet")
    assert fedsim("compare", "a", "b", "--quiet") == Said(0, "", "")
    assert fedsim("compare", "a", "b", "--quiet", "--page", "c.html") == Said(0, "c.html\n", "")
    (told,) = fedsim("compare", "a", "b", "--json").events
    assert told.keys() == documented("comparison")["results"]
    assert told["page"] is None
    assert told["results"] == json.loads(fedsim("compare", "a", "b", "--format", "json").out)
    (told,) = fedsim("compare", "a", "--json", "--page", "c.html").events
    assert told["page"] == "c.html"
    shown = fedsim("compare", "a", "b", "--page", "c.html").out
    assert "2  a · curious-participant" in shown
    assert shown.endswith("page: c.html\n")
    page = (tmp_path / "c.html").read_text()
    assert "What their experiments set differently: 1 setting</summary>" in page
    assert '<th scope="row">seed</th><td>3</td><td>4</td>' in page
    both = fedsim("compare", "a", "b", "--format", "csv", "--json")
    assert (both.code, both.out) == (2, "")
    assert "--format, --quiet and --json are ways to print; give one" in both.err


def test_a_check_is_told_as_one_object(fedsim: Fedsim, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [checklist.CheckResult("holds", checklist.CheckStatus.PASSED, "bit for bit")]
    monkeypatch.setattr(conformance, "findings", lambda kind, name, settings: iter(found))
    (told,) = fedsim("check", "label", "--json").events
    assert told == {
        "schema": 1,
        "plugin": "label",
        "kind": "attacks",
        "passed": True,
        "findings": [{"claim": "holds", "status": "passed", "said": "bit for bit"}],
    }
    found.append(checklist.CheckResult("breaks", checklist.CheckStatus.FAILED, "it does not"))
    failed = fedsim("check", "label", "--json")
    assert failed.code == 1
    assert [one["passed"] for one in failed.events] == [False]
    assert fedsim("check", "label").out.endswith("1 passed, 1 failed\n")


def test_a_bad_input_is_no_event(fedsim: Fedsim) -> None:
    said = fedsim("run", "toy.yaml", "--json", "--set", "seed=-1")
    assert (said.code, said.out) == (2, "")
    assert said.err == "fedsim: toy.yaml: seed is -1: input should be greater than or equal to 0\n"
    both = fedsim("run", "toy.yaml", "--json", "--quiet")
    assert both.code == 2
    assert both.err == "fedsim: --quiet and --json are two ways to print; give one of them\n"


Boards = dict[str, dict[str, dict[int, float]]]


def with_tensorboard(monkeypatch: pytest.MonkeyPatch) -> Boards:
    """Let TensorBoard be installed; return what is written, by folder, tag and step."""
    boards: Boards = {}

    class FakeWriter:
        def __init__(self, folder: str) -> None:
            self.written = boards.setdefault(folder, {})

        def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
            self.written.setdefault(tag, {})[global_step] = scalar_value

        def close(self) -> None:
            self.written["closed"] = {}

    module = ModuleType("torch.utils.tensorboard")
    monkeypatch.setattr(module, "SummaryWriter", FakeWriter, raising=False)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    return boards


def test_tensorboard_gets_the_figures_of_a_run(
    fedsim: Fedsim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    refused = fedsim("run", "toy.yaml", "--out", "out", "--tensorboard", "board")
    assert refused.code == 2
    assert refused.err.startswith("fedsim: --tensorboard needs TensorBoard, which is not installed")
    assert not (tmp_path / "out").exists()

    boards = with_tensorboard(monkeypatch)
    said = fedsim("run", "toy.yaml", "--out", "out", "--tensorboard", "board", "--quiet")
    assert said == Said(0, "out/results.json\n", "")
    written = boards["board"]
    history = json.loads((tmp_path / "out/federations/honest/history.json").read_text())["rounds"]
    assert written["honest/local_loss"] == {e["round"]: e["local_loss"] for e in history}
    assert list(written["honest/test_accuracy"]) == [2, 4]
    results = read_results(tmp_path / "out" / "results.json")
    assert written["curious-server/label/auc"] == {4: results.summary()[1].auc.value}
    assert "closed" in written


def test_tensorboard_gets_the_figures_of_every_cell(
    fedsim: Fedsim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    command = ("study", "study.yaml", "--out", "s", "--rounds", "2", "--quiet", "--tensorboard")
    refused = fedsim(*command, "board")
    assert refused.code == 2
    assert not (tmp_path / "s").exists()
    boards = with_tensorboard(monkeypatch)
    assert fedsim(*command, "board", "--only", "seed=one").code == 0
    (cell,) = boards
    assert re.fullmatch(r"board/one-\w{6}", cell)
    assert list(boards[cell]["honest/local_loss"]) == [1, 2]
    assert fedsim(*command, "again").code == 0  # of the cell that was finished before, too
    one, two = list(boards)[1:]
    assert boards[one] == boards[cell]
    assert re.fullmatch(r"again/two-\w{6}", two)
    assert list(boards[two]["curious-server/label/auc"]) == [2]
    assert boards[two]["honest/local_loss"] != boards[one]["honest/local_loss"]


@pytest.mark.parametrize(("status", "code"), [(MachineStatus.NOTE, 0), (MachineStatus.PROBLEM, 1)])
def test_the_doctor_ends_with_1_if_there_is_a_problem(
    fedsim: Fedsim, monkeypatch: pytest.MonkeyPatch, status: MachineStatus, code: int
) -> None:
    monkeypatch.setattr(
        doctor, "examine", lambda data_dir: iter([MachineCheck("GPU", status, "none")])
    )
    said = fedsim("doctor")
    assert said.code == code
    assert said.out.split()[1:] == ["GPU", status.value, "none"]
    (told,) = fedsim("doctor", "--json").events
    assert told["healthy"] == (code == 0)


def test_help_ends_with_the_exit_codes(fedsim: Fedsim) -> None:
    said = " ".join(fedsim("--help").out.split())
    assert said.endswith(" ".join(exit_codes.EXIT_CODES.split()))
    told = re.findall(r"(?<= )(\d+) \w", exit_codes.EXIT_CODES)
    assert told == re.findall(r"^\| (\d+) \|", PAGE.read_text(), flags=re.MULTILINE)
    codes = (0, exit_codes.EXIT_PROBLEM, exit_codes.EXIT_INVALID, exit_codes.EXIT_STOPPED)
    assert told == [str(code) for code in codes]


def test_the_shell_completes_verbs_and_options(
    fedsim: Fedsim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_FEDSIM_COMPLETE", "complete_bash")
    for typed, completed in (("do", "doctor"), ("run --tens", "--tensorboard")):
        words = f"fedsim {typed}"
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        assert fedsim().out.split() == [completed]
