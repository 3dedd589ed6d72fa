"""Participants to whom a partition gives no records take no part, and everything else goes on."""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from faults import Listening
from rich.console import Console

from fedsim import PartitionTask, run
from fedsim.api import report
from fedsim.errors import ConfigError, DataError
from fedsim.privacy import Guarantee
from fedsim.progress import SILENCE
from fedsim.report.table import RunTable
from fedsim.stages.preparation.plan import plan
from fedsim.stages.preparation.setup_building import build_setup

SIZES = (40, 0, 30, 0, 20)


def drawn(task: PartitionTask, sizes: Sequence[int]) -> list[np.ndarray]:
    """Give each participant so many records; a participant's are the same beside any others."""
    ends = np.cumsum([0, 40, 30, 30, 30, 20])
    shuffled = task.shuffled("drawn", int(ends[-1]))
    return [shuffled[s : s + n] for s, n in zip(ends, sizes, strict=False)]


def skewed(sizes: Sequence[int] = SIZES, **sections: Any) -> Any:
    """Return an experiment with participants who have so many records."""
    partition = {"name": f"{__name__}:drawn", "participants": 5, "sizes": [*sizes]}
    base: dict[str, Any] = {"partition": partition, "adversaries": ["curious-server"]}
    base["partition"]["records"] = None
    base["attacks"] = ["loss"]
    return toys.experiment(**base | sections)


def simulated_bytes(experiment: Any, folder: Path) -> dict[str, str]:
    """Run an experiment, and return digests of what the server saw."""
    run(experiment, folder)
    found = toys.content_of(toys.RunDirectory(folder))
    return {name: digest for name, digest in found.items() if name.startswith("snapshots")}


def test_who_has_no_records_is_away_as_if_attendance_said_so(tmp_path: Path) -> None:
    """Bit for bit, with every participant's uploads; and a second run resumes the first."""
    all_of_them: dict[str, Any] = {"snapshots": {"rounds": {"every": 1}, "participants": "all"}}
    unseeing = {"name": "curious-participant", "participant": 3, "label": "away"}
    all_of_them["adversaries"] = ["curious-server", unseeing]
    without = skewed(**all_of_them)
    named = skewed(
        (40, 30, 30, 30, 20), federation={"attendance": {1: [0, 2, 4]}, "rounds": 4}, **all_of_them
    )
    found = simulated_bytes(without, tmp_path / "without")
    assert found == simulated_bytes(named, tmp_path / "named")
    assert len([name for name in found if "participant-" in name or "upload" in name]) >= 12
    assert found == simulated_bytes(without, tmp_path / "without")
    page = (tmp_path / "without" / "report.html").read_text()
    assert "; without records, in no round: 1, 3</dd>" in page
    # The adversary that sits with one of them has a sentence in place of rows.
    sentence = "away saw none of its victims (all-but-3) in any observed round, and attacked nobody"
    for name in ("without", "named"):
        results = report(tmp_path / name).results
        assert [one.sentence for one in results.unseen] == [sentence]
        assert results.adversaries() == ("curious-server",)
        assert sentence in (tmp_path / name / "report.html").read_text()
        with Console(width=200, record=True, file=StringIO()) as console:
            console.print(RunTable(results))
        assert sentence in console.export_text()


def test_it_is_told_in_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    watcher = Listening()
    setup = build_setup(skewed(), None, watcher)
    assert plan(setup).idle == "1, 3"
    assert plan(build_setup(skewed((40, 30, 30, 30, 20)), None, SILENCE)).idle == ""
    said = "gives 2 of 5 participants no records (1, 3): they take no part in training"
    assert sum(said in text for text in watcher.said) == 1
    assert setup.facts.present == 3
    assert [setup.facts.rounds_of(p) for p in range(5)] == [(1, 2, 3, 4), ()] * 2 + [(1, 2, 3, 4)]


def test_a_strategy_never_draws_them() -> None:
    """Of three with records a fraction of a third is one, and it is never one of the others."""
    sampled = {"name": "FedAvg", "fraction_train": 0.34}
    setup = build_setup(
        skewed(federation={"rounds": 30, "strategy": sampled}, snapshots={"rounds": {"every": 1}}),
        None,
        SILENCE,
    )
    there = [setup.facts.rounds_of(p) for p in range(5)]
    assert [len(rounds) > 0 for rounds in there] == [True, False, True, False, True]
    assert sorted(r for rounds in there for r in rounds) == list(range(1, 31))


@pytest.mark.parametrize(
    ("sections", "kept"),
    [
        ({"audit": {"victims": [1, 0, 3]}}, ["participant-0"]),
        (
            {
                "adversaries": [
                    {"name": "curious-participant", "participant": 3, "label": "idle"},
                    {"name": "curious-participant", "participant": 4, "label": "busy"},
                ]
            },
            ["all-but-4"],
        ),
    ],
)
def test_questions_without_data_are_left_out(sections: Any, kept: list[str]) -> None:
    watcher = Listening()
    setup = build_setup(skewed(**sections), None, watcher)
    assert [q.key for attacker in setup.attackers for q in attacker.queries] == kept
    assert list(setup.ledger.roles) == kept
    assert any("gives no records there; it is skipped" in text for text in watcher.said)


@pytest.mark.parametrize(
    ("sizes", "sections", "sentence"),
    [
        (SIZES, {"audit": {"victims": [1]}}, "asks about participant 1, but .* no records there"),
        (
            SIZES,
            {"adversaries": [{"name": "curious-participant", "participant": 3}]},
            "sits with participant 3, but .* nothing would be left to attack",
        ),
        (
            SIZES,
            {"federation": {"attendance": {1: [0], 2: [1, 3]}, "rounds": 4}},
            "that attends from round 2 on has records",
        ),
        (
            SIZES,
            {"federation": {"strategy": {"name": "FedAvg", "min_available_nodes": 5}, "rounds": 4}},
            "min_available_nodes = 5; in some round only 3",
        ),
        ((0, 0, 0, 0, 0), {}, "gives none of 5 participants a record"),
    ],
)
def test_where_nothing_is_left_it_is_refused(
    sizes: Sequence[int], sections: Any, sentence: str
) -> None:
    with pytest.raises((ConfigError, DataError), match=sentence):
        build_setup(skewed(sizes, **sections), None, SILENCE)


def test_defences_and_private_training_do_without_them() -> None:
    """The weakest guarantee is of those who train; of who does not, nothing is learned."""
    private = {"name": "dp-sgd", "clip_norm": 1.0, "noise_multiplier": 1.0}
    local = {"batch_size": 10, "trainer": private}
    setup = build_setup(skewed(federation={"rounds": 4, "local": local}), None, SILENCE)
    found = setup.guarantees[0].found
    assert isinstance(found, Guarantee)
    assert [epsilon > 0 for epsilon in found.each] == [True, False, True, False, True]
    clipped = {"name": "fixed-clipping", "clipping_norm": 1.0, "noise_multiplier": 1.0}
    shares = build_setup(skewed(defences=[clipped]), None, SILENCE).facts.shares
    assert all(set(there) == {0, 2, 4} for there in shares.values())
