"""Everything that a run writes is its owner's alone, and nothing leads out of a run directory."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import toys
import yaml

from fedsim import api
from fedsim.errors import RunDirectoryError
from fedsim.rundir import RunDirectory
from fedsim.stages.compare import compare_runs
from fuzz.corpus import Corpus, make_corpus
from fuzz.subjects.whole import called


@pytest.fixture
def open_handed() -> Iterator[None]:
    """Let files be made for all to read and write, unless who makes them says otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    """Return what others than the owner may read, write or enter."""
    entries = [folder, *folder.rglob("*")]
    return [str(path) for path in entries if stat.S_IMODE(path.lstat().st_mode) & 0o077]


@pytest.mark.usefixtures("open_handed")
def test_whatever_a_run_leaves_is_its_owners(tmp_path: Path) -> None:
    made = make_corpus(tmp_path / "private")
    made.folder.rmdir()  # the test's own
    found = {path.suffix for path in made.run.rglob("*") if path.is_file()}
    assert found >= {".html", ".json", ".parquet", ".safetensors", ".yaml"}
    for kind in ("features", "scores", "traces", "snapshots", "federations"):
        assert any((made.run / kind).rglob("*.*")), kind
    assert open_to_others(made.run) == []
    assert open_to_others(tmp_path / "private" / "cache") == []


@pytest.mark.usefixtures("open_handed")
def test_whatever_a_study_leaves_is_its_owners(tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(toys.tree(attacks=["label"])))
    study = {"title": "t", "reproduces": "r", "base": "toy.yaml", "scales": {"cpu": {}}}
    figure = {"kind": "roc", "caption": "c", "lines": "adversary"}
    tables = [{"rows": ["adversary"]}]
    (tmp_path / "study.yaml").write_text(
        yaml.safe_dump({**study, "tables": tables, "figures": [figure]})
    )
    studies = tmp_path / "studies"
    code, said = called(["study", str(tmp_path / "study.yaml"), "--out", str(studies), "--quiet"])
    assert code == 0, said
    assert list(studies.rglob("figure-1.svg"))
    assert open_to_others(studies) == []


@pytest.mark.parametrize("where", ["report.html", "scores", "snapshots/x", ".lock"])
def test_a_link_in_a_run_directory_is_not_followed(tmp_path: Path, where: str) -> None:
    run, outside = RunDirectory(tmp_path / "run"), tmp_path / "outside"
    outside.mkdir()
    run.path.mkdir()
    run.experiment.write_text(toys.experiment().resolved())
    link = run.path / where
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside if where != ".lock" else outside / "lock")
    with pytest.raises(RunDirectoryError, match=r"is a symbolic link, and nothing is written"):
        api.report(run.path)
    assert not list(outside.iterdir())


def test_comparing_writes_nothing(corpus: Corpus) -> None:
    before = {path: path.stat().st_mtime_ns for path in corpus.run.rglob("*")}
    compare_runs([corpus.run])
    assert before == {path: path.stat().st_mtime_ns for path in corpus.run.rglob("*")}
