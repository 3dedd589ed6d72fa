"""What adversaries and attacks report themselves: kept, shown in three places, read strictly."""

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
import toys
from flwr.app import ArrayRecord, MetricRecord
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from adversaries.positions.curious_server import CuriousServer
from adversaries.signals.loss import Loss
from fedsim import AuxiliaryRecords, Finding, View, Watcher
from fedsim.api import attack, report
from fedsim.errors import FedsimError, PluginError, RunDirectoryError
from fedsim.finding import owned_findings, read_findings, write_findings
from fedsim.report.results_file import parse_results
from fedsim.report.table import RunTable

HERE = "test_finding"


def noted_rounds(server: CuriousServer) -> int:
    """Return how many rounds a server has noted."""
    record = server.memory.get("seen")
    return int(record["rounds"]) if isinstance(record, MetricRecord) else 0  # type: ignore[arg-type]


class CountingServer(CuriousServer):
    """A curious server that reports in how many rounds it saw something."""

    def receive(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        """Count, in the memory that survives a stop."""
        if participant == 0:
            before = noted_rounds(self)
            self.memory["seen"] = MetricRecord({"rounds": before + 1})
        return super().receive(round_number, participant, arrays)

    def findings(self) -> Sequence[Finding]:
        """Return the count."""
        figures = {"messages": noted_rounds(self), "by": "<b>me</b>"}
        return [Finding(title="what I saw", figures=figures)]


class TellingLoss(Loss):
    """The loss, which reports how many records of each kind it was told."""

    def findings(self, view: View, known: AuxiliaryRecords, watcher: Watcher) -> Sequence[Finding]:
        """Return a small table."""
        members = int(known.member.sum())
        rows = (("members", members), ("others", len(known.member) - members))
        return [Finding(title="known", columns=("kind", "records"), rows=rows)]


def test_findings_stand_in_the_results_the_terminal_and_the_page(tmp_path: Path) -> None:
    toys.simulated(
        tmp_path / "run",
        adversaries=[f"{HERE}:CountingServer"],
        attacks=[f"{HERE}:TellingLoss", "random"],
    )
    results = attack(tmp_path / "run").results
    own, told = results.findings
    assert (own.adversary, own.attack, own.title) == ("CountingServer", "", "what I saw")
    assert own.figures["messages"] == toys.experiment().federation.rounds
    assert (told.adversary, told.attack, told.title) == ("CountingServer", "TellingLoss", "known")
    assert told.rows == (
        ("members", toys.experiment().audit.known_members),
        ("others", toys.experiment().audit.known_nonmembers),
    )
    assert parse_results(results.model_dump_json().encode(), "x") == results
    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(RunTable(results))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "what I saw  CountingServer" in shown
    assert "by <b>me</b>" in shown
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<h2>What adversaries and attacks report themselves</h2>" in page
    assert "<dt>by</dt><dd>&lt;b&gt;me&lt;/b&gt;</dd>" in page
    assert report(tmp_path / "run").results == results


def failing() -> object:
    raise ValueError("no\nway")


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (failing, "adversary x failed to report its findings: ValueError: no way"),
        (lambda: "text", "adversary x must report a list of at most 20 findings"),
        (lambda: [Finding(title="a")] * 21, "adversary x must report a list of at most 20"),
        (lambda: [{"title": "a"}], "adversary x reported a dict, not a fedsim.Finding"),
    ],
)
def test_what_is_no_finding_is_one_sentence(ask, sentence: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(PluginError, match=sentence):
        owned_findings(ask, "x")


def test_a_row_has_a_cell_for_each_column() -> None:
    with pytest.raises(ValueError, match="row 1 has 1 cells for 2 columns"):
        Finding(title="t", columns=("a", "b"), rows=((1, 2), (3,)))


def test_files_of_findings_are_read_strictly(tmp_path: Path) -> None:
    path = tmp_path / "findings.json"
    assert read_findings(path) == ()
    written = owned_findings(lambda: [Finding(title="t", figures={"n": 1.5})], "server")
    write_findings(path, written)
    assert read_findings(path) == written
    path.write_text('[{"title": "t", "adversary": "x", "figures": {"n": [1]}}]')
    with pytest.raises(RunDirectoryError, match=r"is damaged: 0\.figures\.n"):
        read_findings(path)


@given(st.binary(max_size=100))
def test_noise_is_one_sentence(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.json"
    path.write_bytes(noise)
    with pytest.raises(FedsimError, match="is damaged"):
        read_findings(path)
