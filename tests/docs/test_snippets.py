"""Every command and every snippet of README.md and docs is executed, or named with its reason."""

import io
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import exceptions
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from reader import READ, Reader
from snippets import FOR_THE_EYE, PROGRAMS, README, ROOT, Snippet, pages, snippets

from fedsim.config import load_experiment

OWN = "docs/your-own.md"
ALL = {page: [s for s in snippets(page) if s.language != FOR_THE_EYE] for page in pages()}
EXECUTED = [page for page, found in ALL.items() if found and page not in exceptions.ELSEWHERE]


def in_place_of(command: str) -> str:
    """Return what is executed in place of a command."""
    given = exceptions.INSTEAD.get(command)
    return command if given is None else given.command


def follow(page: str, reader: Reader) -> None:
    """Do all that a page says, in its order."""
    for snippet in ALL[page]:
        try:
            reader.follow(snippet, in_place_of)
        except Exception as error:
            raise AssertionError(f"{snippet}: {error}") from error


def shorten(folder: Path) -> None:
    """Put our experiments into a folder, those that take long with their smaller sizes."""
    shutil.copytree(ROOT / "configs", folder / "configs")
    for name, smaller in exceptions.SMALLER_EXPERIMENTS.items():
        experiment = load_experiment(ROOT / name, smaller.settings)
        (folder / name).write_text(experiment.resolved(), encoding="utf-8")


def write_noise(folder: Path) -> None:
    """Write images of noise as the Hub lays CIFAR-100 out, as many as the smaller sizes need."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for split, count in (("train", 240), ("test", 20)):
        cells = []
        for pixels in random.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8):
            Image.fromarray(pixels).save(buffer := io.BytesIO(), format="PNG")
            cells.append({"bytes": buffer.getvalue(), "path": None})
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        labels = pa.array(random.integers(100, size=count))
        table = pa.table({"img": pa.array(cells, kind), "fine_label": labels})
        pq.write_table(table, folder / f"{split}-00000-of-00001.parquet")


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Keep what is decoded and made out of the user's cache, for commands in a shell too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("COLUMNS", "160")
        yield


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of somebody who has followed the page on one's own model and data."""
    reader = Reader(tmp_path_factory.mktemp("own"))
    follow(OWN, reader)
    return reader.folder


@pytest.fixture
def folder(own: Path, tmp_path: Path) -> Path:
    """Return a folder with our experiments, noise in DIR, and a model and data of one's own."""
    shorten(tmp_path)
    write_noise(tmp_path / "DIR")
    for path in own.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in EXECUTED if page != OWN])
def test_a_page_can_be_followed_from_top_to_bottom(page: str, folder: Path) -> None:
    follow(page, Reader(folder))


@pytest.mark.slow
def test_ones_own_model_and_data_leave_two_reports(own: Path) -> None:
    for run in ("federation", "elsewhere"):
        assert (own / "runs" / run / "report.html").is_file()


@pytest.mark.parametrize("page", EXECUTED)
def test_every_block_is_of_a_kind_that_is_executed(page: str) -> None:
    strangers = [s for s in ALL[page] if not s.title and s.language not in {"bash", *READ}]
    assert not strangers, f"{strangers[0]}: nothing executes {strangers[0].language!r}"


@pytest.mark.parametrize("page", ALL)
def test_nothing_hides_among_the_blocks_for_the_eye(page: str) -> None:
    for snippet in snippets(page):
        if snippet.language == FOR_THE_EYE:
            assert not any(line.startswith(PROGRAMS) for line in snippet.text.splitlines()), snippet


def all_commands(kept: Callable[[Snippet], bool] = lambda snippet: True) -> set[str]:
    return {
        command
        for page in EXECUTED
        for snippet in ALL[page]
        if snippet.language == "bash" and kept(snippet)
        for command in snippet.commands
    }


def test_no_exception_is_stale() -> None:
    assert exceptions.INSTEAD.keys() <= all_commands()
    assert all(instead.why for instead in exceptions.INSTEAD.values())
    for name in exceptions.SMALLER_EXPERIMENTS:
        assert any(name in command for command in all_commands()), name
    for page, test in exceptions.ELSEWHERE.items():
        assert Path(page).name in (ROOT / test).read_text(encoding="utf-8")


def test_the_quickstart_ends_with_the_command_that_stands_for_it() -> None:
    said = subprocess.run(
        ["make", "-n", "quickstart"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    instead = exceptions.INSTEAD["make quickstart"].command
    assert said.stdout.splitlines()[-1] == f".venv/bin/{instead}"


def test_the_readme_names_every_command() -> None:
    named = {command.split()[1] for command in all_commands() if command.startswith("fedsim ")}
    assert named >= {"run", "attack", "compare", "report", "study", "list", "data", "doctor"}
    assert "fedsim new adversary" in (ROOT / README).read_text(encoding="utf-8")
