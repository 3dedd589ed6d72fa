"""The public surface, the errors, what is written beside results, and progress."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import toys

import fedsim
from fedsim import errors
from fedsim.plugins.groups import GROUPS
from fedsim.progress import SILENCE
from fedsim.rundir import provenance

COMMAND = "from fedsim.cli.app import app; app"
HELP = """import contextlib, sys, fedsim.__main__ as command; sys.argv = ["fedsim", "--help"]
with contextlib.suppress(SystemExit): command.main()
"""
HEAVY = {"torch", "flwr", "flwr_datasets", "ray", "pandas", "pyarrow", "scipy", "pydantic"}


def test_every_public_name_is_there_and_documented() -> None:
    assert fedsim.__all__ == sorted(fedsim.__all__)
    for name in fedsim.__all__:
        assert getattr(fedsim, name).__doc__, name
    with pytest.raises(AttributeError, match="module 'fedsim' has no attribute 'Nothing'"):
        fedsim.Nothing  # noqa: B018 - reading it is what is tested


def test_a_notebook_completes_the_public_names_and_the_version() -> None:
    assert {*fedsim.__all__, "__version__"} <= {*dir(fedsim)}
    assert fedsim.__version__ == provenance.provenance(None)["versions"]["fedsim"]


@pytest.mark.parametrize(
    ("what", "spared"),
    [
        # The command line answers at once.
        ("import fedsim, fedsim.cli.app", HEAVY),
        (HELP, {"typer", "rich", "importlib.metadata"} | HEAVY),
        (f"{COMMAND}(['--help'], standalone_mode=False)", HEAVY),
        *((f"{COMMAND}(['list', {group!r}], standalone_mode=False)", HEAVY) for group in GROUPS),
        (
            "import fedsim.engines.ray.actor, fedsim.engines.multiprocess",
            {"pyarrow", "scipy", "pandas"},
        ),
        (
            "import pathlib, toys; toys.simulated(pathlib.Path('run'), engine={'stacked': True})",
            {"torch._dynamo", "sympy", "triton"},
        ),
    ],
)
def test_time_and_memory_go_only_into_libraries_that_are_used(
    what: str, spared: set[str], tmp_path: Path
) -> None:
    said = subprocess.run(
        [sys.executable, "-c", f"{what}\nimport sys; print(sorted({spared} & set(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(toys.__file__).parent)},
    )
    assert said.stdout.splitlines()[-1] == "[]"


def test_every_error_is_of_the_one_family() -> None:
    kinds = [k for name, k in vars(errors).items() if name.endswith("Error")]
    assert len(kinds) == 7
    assert all(issubclass(kind, errors.FedsimError) for kind in kinds)


def test_provenance_says_what_is_needed_to_make_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/fedsim", "run", "x.yaml"])
    found = provenance.provenance(tmp_path / "data")
    assert found["command"] == ["fedsim", "run", "x.yaml"]
    assert found["versions"]["fedsim"] == "0.1.0"
    assert found["versions"]["torch"]
    assert found["data_dir"] == str(tmp_path / "data")
    path = tmp_path / "provenance.json"
    path.write_text(json.dumps(found))
    assert provenance.recorded_data_dir(path) == tmp_path / "data"


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"data_dir": null}', '{"data_dir": 3}'])
def test_an_unknown_data_dir_is_none(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "provenance.json"
    if content is not None:
        path.write_text(content)
    assert provenance.recorded_data_dir(path) is None


def test_a_folder_outside_git_has_no_commit(tmp_path: Path) -> None:
    assert provenance._commit(tmp_path) is None
    assert provenance._commit(tmp_path / "absent") is None


def test_silence_takes_everything() -> None:
    SILENCE.say("news")
    with SILENCE.task("work", total=2, done=1) as advance:
        advance("half")
