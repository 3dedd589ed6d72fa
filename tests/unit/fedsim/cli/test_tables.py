"""``fedsim list`` on a narrow terminal: everything has a description, and no word is broken."""

import re

import pytest
from command_line import Fedsim

from fedsim.cli.listing import CONFIGS, listed_configs, listed_groups, listed_plugins
from fedsim.cli.tables import print_table
from fedsim.plugins.groups import GROUPS

WIDTHS = [80, 120]


def rows_of(what: str) -> list[tuple[str, ...]]:
    if what == CONFIGS:
        return [tuple(row) for row in listed_configs()]
    if what == "":
        return [tuple(map(str, row)) for row in listed_groups()]
    return [tuple(row) for row in listed_plugins(what)]


@pytest.mark.parametrize("what", ["", CONFIGS, *GROUPS])
def test_everything_has_a_description(what: str) -> None:
    for name, *rest in rows_of(what):
        assert all(rest), name
        assert len(max(rest, key=len)) >= 10, name
        assert "cannot be imported" not in " ".join(rest)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("what", ["", CONFIGS, *GROUPS])
def test_no_word_is_broken_and_no_text_is_lost(
    what: str, width: int, fedsim: Fedsim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    said = fedsim("list", *([what] if what else []))
    assert (said.code, said.err) == (0, "")
    printed = set(said.out.split())
    for row in rows_of(what):
        words = [word for cell in row for word in cell.split()]
        fitting = [word for word in words if len(word) <= width]
        assert [word for word in fitting if word not in printed] == []
    # A name that is longer than a line is left whole, for the terminal to wrap.
    longest = max(len(word) for row in rows_of(what) for cell in row for word in cell.split())
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in said.out.splitlines()]
    assert max(map(len, plain)) <= max(width, longest)


ROWS = [("first", "a detail of several words", "3"), ("second", "", "4")]


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (
            60,
            [
                "name    detail                     count",
                "first   a detail of several words  3",
                "second                             4",
            ],
        ),
        (30, ["first", "  a detail of several words", "  3", "second", "  4"]),
    ],
)
def test_a_table_is_stacked_where_it_is_too_wide(
    width: int,
    lines: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    print_table(("name", "detail", "count"), ROWS)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == lines
