"""`fedsim study` at a terminal: the plan, the run, the published page, and what is refused."""

import re
import sys
from collections.abc import Callable

import pytest
from toy_study import WriteStudy

from fedsim.cli.main import main

Fedsim = Callable[..., tuple[int, str, str]]


@pytest.fixture
def fedsim(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fedsim:
    """Return the command line, called in this process."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fedsim", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return call


def test_a_study_from_plan_to_page(
    fedsim: Fedsim, write_study: WriteStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_study()
    monkeypatch.chdir(path.parent)
    code, said, _ = fedsim("study", "study.yaml", "--plan")
    assert code == 0
    assert "2 cells, 2 honest federations, 0 cells finished before" in said
    assert not (path.parent / "runs").exists()

    code, said, _ = fedsim("study", "study.yaml", "--only", "rate=slow")
    assert code == 0
    assert "done in" in said
    assert "accuracy, %" not in said

    code, said, _ = fedsim("study", "study.yaml", "--publish", "docs")
    assert code == 0
    assert said.count("finished before") == 1
    assert "accuracy, %" in said
    assert "page: docs/study.md   figures: runs/studies/study-cpu/table.json" in said
    published = (path.parent / "docs" / "study.md").read_text()
    assert "`fedsim study study.yaml --scale cpu`" in published


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--only", "rate=slw"], "--only 'rate=slw' leaves no cell; valid: rate=fast, rate=slow"),
        (["--set", "seeed=1"], "cell fast: .* unknown key 'seeed'"),
        (["--data-dir", "nowhere"], "nowhere"),
    ],
)
def test_what_is_not_valid_is_one_sentence_and_code_2(
    fedsim: Fedsim, write_study: WriteStudy, arguments: list[str], sentence: str
) -> None:
    path = write_study(base="real.yaml" if "--data-dir" in arguments else "toy.yaml")
    toy = (path.parent / "toy.yaml").read_text().replace("toys:blobs", "location30")
    (path.parent / "real.yaml").write_text(toy)
    code, _, err = fedsim("study", path, "--out", path.parent / "out", *arguments)
    assert code == 2
    assert re.search(sentence, err)
    assert err.count("\n") == 1
