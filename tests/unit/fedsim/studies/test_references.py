"""Reference figures: each has its evidence, and nobody prints one without it."""

import re
from collections import Counter
from pathlib import Path

import pytest

from fedsim.studies.references import MEANINGS, reference_tables, sizes_beside

SOURCES = Path(__file__).parents[4]
READ = {82.0, 74.3, 79.2, 87.3, 72.2}


def test_only_the_figures_that_were_read_in_a_source_say_so() -> None:
    figures = [figure for table in reference_tables().values() for figure in table.figures]
    assert {figure.percent for figure in figures if figure.evidence == "read"} == READ
    assert sum(figure.evidence == "second-hand" for figure in figures) == 1
    assert sum(figure.evidence == "recalled" for figure in figures) == len(figures) - len(READ) - 1


def test_sizes_are_shown_with_their_evidence() -> None:
    sizes = reference_tables()["tables II and XI"].sizes
    evidence = Counter(size.evidence for size in sizes)
    assert evidence == {"agrees": 11, "recalled": 8, "read": 2}
    table, cell = "tables II and XI", {"target": "stand-alone cifar100-densenet", "pair": "any"}
    assert {size.size: size.shown for size in sizes_beside(table, cell)} == {
        "trained by": "50,000 records, 10,000 to test the model (C)",
        "known": "25,000 members, 5,000 non-members (C)",
        "tested": "5,000 members, 5,000 non-members (C)",
    }
    texas = sizes_beside(table, {"target": "federated texas100"})
    assert [size.shown for size in texas] == [
        "8,000 records each (recalled, unverified)",
        "disjoint (V)",
    ]


def test_the_tables_are_complete() -> None:
    counts = {
        name: len(table.figures) + len(table.sizes) for name, table in reference_tables().items()
    }
    assert counts == {
        "tables II and XI": 21,
        "table III": 4,
        "table IV": 5,
        "table VI": 4,
        "table VII": 10,
        "table VIII": 25,
        "table IX": 12,
        "table X": 24,
        "table XII": 4,
    }


def test_no_figure_is_given_twice() -> None:
    for table in reference_tables().values():
        places = [(*sorted(figure.at.items()), figure.metric) for figure in table.figures]
        assert len(set(places)) == len(places)


@pytest.mark.parametrize(
    ("table", "row", "shown"),
    [
        ("table X", {"target": "cifar100-densenet", "adversary": "curious-server"}, "79.2 (V)"),
        (
            "table X",
            {"target": "cifar100-alexnet", "adversary": "curious-server", "attack": "supervised"},
            "85.1 (recalled, unverified)",
        ),
        (
            "table VIII",
            {"target": "cifar100-densenet", "attack": "black-box"},
            "67.7 (second hand)",
        ),
    ],
)
def test_a_figure_is_shown_with_its_evidence(table: str, row: dict[str, str], shown: str) -> None:
    found = reference_tables()[table].find(row, "accuracy")
    assert found is not None
    assert found.shown == shown


def test_figures_of_another_metric_stand_beside_nothing() -> None:
    row = {"target": "cifar100-alexnet", "adversary": "curious-server"}
    assert reference_tables()["table X"].find(row, "auc") is None
    assert reference_tables()["table X"].find({"target": "cifar100-alexnet"}, "accuracy") is None


def test_nobody_writes_a_reference_figure_but_through_its_evidence() -> None:
    """`shown` is the one use of the value, so a figure cannot lose its evidence on the way."""
    uses = [
        f"{path.name}: {line.strip()}"
        for path in sorted((SOURCES / "fedsim" / "studies").glob("*.py"))
        for line in path.read_text().splitlines()
        if re.search(r"\.percent\b|\.words\b", line) and "report.words" not in line
    ]
    assert uses == [
        'references.py: return f"{self.percent:g} ({MEANINGS[self.evidence][0]})"',
        'references.py: return f"{self.words} ({MEANINGS[self.evidence][0]})"',
    ]


@pytest.mark.parametrize("page", sorted((SOURCES / "docs").rglob("*.md")), ids=lambda p: p.stem)
def test_no_published_page_shows_an_unverified_figure_without_saying_so(page: Path) -> None:
    text = page.read_text()
    marks = "|".join(re.escape(mark) for mark, _ in MEANINGS.values())
    assert "the paper reports" not in text.lower()
    for italic in re.findall(r"\*(\d[^*]*)\*", text.replace("**", "")):
        assert re.fullmatch(rf"[\d.]+ \(({marks})\)|[\d,]+ [a-z][\w, -]+ \(({marks})\)", italic)
