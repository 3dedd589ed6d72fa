"""Every command and every snippet of README.md and docs is executed, or named with its reason."""

import io
import os
import re
import shutil
import subprocess
from pathlib import Path

import exceptions
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from reader import READ, Reader
from snippets import FOR_THE_EYE, PROGRAMS, README, ROOT, Snippet, pages, snippets
from test_third_party_app import ASCENDING_LINES, CURIOUS_LINES, SERVER_LINES

from fedsim.config.loading import read_experiment

OWN = "docs/your-own.md"
ALL = {page: [s for s in snippets(page) if s.language != FOR_THE_EYE] for page in pages()}
EXECUTED = [page for page, found in ALL.items() if found and page not in exceptions.ELSEWHERE]


def follow(page: str, reader: Reader) -> None:
    """Do all that a page says, in its order."""
    for snippet in ALL[page]:
        try:
            if snippet.title:
                reader.write(snippet)
            elif snippet.language == "bash":
                for command in snippet.commands:
                    give(reader, command)
            elif not is_part_of_an_app(snippet):
                reader.read(snippet)
        except Exception as error:
            raise AssertionError(f"{snippet}: {error}") from error


def give(reader: Reader, command: str) -> None:
    """Let a reader give a command, or what is executed in place of it."""
    only = (only for part, only in exceptions.OPTIONS_ONLY.items() if part in command)
    if command in exceptions.INSTEAD:
        reader.execute(exceptions.INSTEAD[command].command)
    elif (asked := next(only, None)) is not None:
        reader.check_options(asked.program, command)
    else:
        reader.execute(command)


def is_part_of_an_app(snippet: Snippet) -> bool:
    """Return whether a block is lines of an app, with dots for the others."""
    return snippet.page in exceptions.PARTS_OF_AN_APP and "\n...\n" in snippet.text


def shorten(folder: Path) -> None:
    """Put our experiments into a folder, those that take long with their smaller sizes."""
    shutil.copytree(ROOT / "configs", folder / "configs")
    for name, smaller in exceptions.SMALLER_EXPERIMENTS.items():
        experiment = read_experiment(ROOT / name, smaller.settings)
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
    third_parties = [s for s in ALL[page] if not s.title and s.language not in {"bash", *READ}]
    assert not third_parties, f"{third_parties[0]}: nothing executes {third_parties[0].language!r}"


@pytest.mark.parametrize("page", ALL)
def test_nothing_hides_among_the_blocks_for_the_eye(page: str) -> None:
    for snippet in snippets(page):
        if snippet.language == FOR_THE_EYE:
            assert not any(line.startswith(PROGRAMS) for line in snippet.text.splitlines()), snippet


def all_commands() -> set[str]:
    shell = [s for page in EXECUTED for s in ALL[page] if s.language == "bash"]
    return {command for snippet in shell for command in snippet.commands}


def test_no_exception_is_stale() -> None:
    commands = all_commands()
    assert exceptions.INSTEAD.keys() <= commands
    for part in (*exceptions.SMALLER_EXPERIMENTS, *exceptions.OPTIONS_ONLY):
        assert any(part in command for command in commands), part
    for page, test in exceptions.ELSEWHERE.items():
        assert Path(page).name in (ROOT / test).read_text(encoding="utf-8")


def test_every_exception_has_a_reason() -> None:
    kinds = (exceptions.INSTEAD, exceptions.SMALLER_EXPERIMENTS, exceptions.OPTIONS_ONLY)
    reasons = [exception.why for kind in kinds for exception in kind.values()]
    assert all(len(why) > 10 for why in reasons)
    tests = [name for why in reasons for name in re.findall(r"tests/[\w/.]+\.py", why)]
    assert all((ROOT / name).is_file() for name in tests)


@pytest.mark.parametrize("page", exceptions.PARTS_OF_AN_APP)
def test_lines_that_go_into_an_app_are_those_that_a_test_puts_into_one(page: str) -> None:
    pairs = (SERVER_LINES, CURIOUS_LINES, ASCENDING_LINES)
    put = {squeezed(line) for pair in pairs for line in pair}
    parts = [part for s in filter(is_part_of_an_app, ALL[page]) for part in s.text.split("\n...\n")]
    assert len(parts) == 4
    assert {squeezed(part).replace("/home/me/audit", "{audit}") for part in parts} <= put


def squeezed(code: str) -> str:
    """Return code however it is laid out."""
    return "".join(code.split())


def test_the_quickstart_ends_with_the_command_that_stands_for_it() -> None:
    said = subprocess.run(
        ["make", "-n", "--no-print-directory", "quickstart"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},  # not the flags of a make that runs the tests
        capture_output=True,
        text=True,
        check=True,
    )
    instead = exceptions.INSTEAD["make quickstart"].command
    assert said.stdout.splitlines()[-1] == f".venv/bin/{instead}"


def test_the_readme_names_every_command() -> None:
    named = {command.split()[1] for command in all_commands() if command.startswith("fedsim ")}
    assert named >= {"run", "attack", "compare", "report", "study", "list", "data", "doctor"}
    assert "fedsim new adversary" in (ROOT / README).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [README, "CONTRIBUTING.md", "configs/studies/README.md"])
def test_links_to_files_lead_somewhere(page: str) -> None:
    """Ask of pages that are no part of the site; those that are, Sphinx asks."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert "://" in link or ((ROOT / page).parent / link).exists(), link
