"""What a figure of a signal is made of: both ends of the victims' training, and who acts when."""

from pathlib import Path

import numpy as np
import pytest
import toys

from fedsim import api
from fedsim.config.experiment import Experiment
from fedsim.errors import RunDirectoryError
from fedsim.rundir import RunDirectory
from fedsim.stages.figures.score_files import read_trace, write_trace
from fedsim.studies.cells import Cell
from fedsim.studies.evidence import Evidence, StudyCourse
from fedsim.studies.rows import Row, rows_of

SEAT = 2
ASCENT = {"first": 3, "last": 3, "targets": None, "steps": 1}
PARTIES = [
    "curious-server",
    {"name": "gradient-ascent-server", **ASCENT},
    {"name": "isolating-server", "first": 3},
    {"name": "curious-participant", "participant": SEAT},
    {"name": "gradient-ascent-participant", "participant": SEAT, **ASCENT},
    "released-model",
]
SERVED, SEATED = "participant-0", f"all-but-{SEAT}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Return a run of the toy in which every round is observed, the third one under ascent."""
    path = tmp_path_factory.mktemp("evidence") / "run"
    api.run(experiment(), path)
    return RunDirectory(path)


def experiment() -> Experiment:
    return toys.experiment(
        adversaries=PARTIES, attacks=["gradient-norm"], snapshots={"rounds": [1, 2, 3, 4]}
    )


def row_of(run: RunDirectory, adversary: str) -> Row:
    results = api.report(run.path).results
    rows = rows_of(Cell({}, experiment()), results)
    return next(row for row in rows if row.result.adversary == adversary)


def course_of(run: RunDirectory, adversary: str) -> StudyCourse:
    return Evidence(run.path).course(row_of(run, adversary))


def traced(run: RunDirectory, adversary: str, query: str, owner: str) -> np.ndarray:
    return read_trace(run.traces(adversary, query, owner, "gradient-norm"))[1]


def test_a_server_knows_what_it_sent_and_what_came_back(run: RunDirectory) -> None:
    for adversary in ("curious-server", "gradient-ascent-server", "isolating-server"):
        course = course_of(run, adversary)
        sent, back = (traced(run, adversary, SERVED, f"{o}-0") for o in ("sent", "participant"))
        assert course.sent.rounds.tolist() == course.returned.rounds.tolist() == [1, 2, 3, 4]
        np.testing.assert_array_equal(course.sent.values, sent)
        np.testing.assert_array_equal(course.returned.values, back)
        np.testing.assert_array_equal(course.reaction.values, back / sent)


def test_what_is_sent_is_seen_after_the_ascent(run: RunDirectory) -> None:
    sent = course_of(run, "gradient-ascent-server").sent.values[2]
    (meant,) = traced(run, "gradient-ascent-server", SERVED, "meant-0")
    assert np.median(sent / meant) > 1.05


def test_members_fall_back_further_than_non_members(run: RunDirectory) -> None:
    reaction = course_of(run, "gradient-ascent-server").reaction
    for ratios in reaction.values[2:]:
        members, others = (
            float(np.median(ratios[side])) for side in (reaction.member, ~reaction.member)
        )
        assert members < 0.9 * others


def test_a_participant_sees_what_others_made_of_the_aggregate_before(run: RunDirectory) -> None:
    adversary = "gradient-ascent-participant"
    course = course_of(run, adversary)
    aggregates = traced(run, adversary, SEATED, "aggregate")
    (clean,) = traced(run, adversary, SEATED, "clean")
    assert course.sent.rounds.tolist() == [2, 3, 4]
    np.testing.assert_array_equal(course.sent.values, aggregates[:3])
    np.testing.assert_array_equal(course.returned.values[2], clean)
    np.testing.assert_array_equal(course.returned.values[[0, 1, 3]], aggregates[[0, 1, 3]])
    assert not np.array_equal(clean, aggregates[2])


@pytest.mark.parametrize(
    ("adversary", "rounds"),
    [
        ("curious-server", []),
        ("gradient-ascent-server", [3]),
        ("isolating-server", [3, 4]),
        ("curious-participant", []),
        ("gradient-ascent-participant", [3]),
    ],
)
def test_the_rounds_in_which_it_acts(run: RunDirectory, adversary: str, rounds: list[int]) -> None:
    assert course_of(run, adversary).acting.tolist() == rounds


def test_of_rounds_that_are_apart_a_participant_sees_no_reaction(tmp_path: Path) -> None:
    toy = toys.experiment(attacks=["gradient-norm"])
    api.run(toy, tmp_path / "run")
    course = course_of(RunDirectory(tmp_path / "run"), "curious-participant")
    assert course.returned.rounds.tolist() == [2, 4]
    assert course.sent.rounds.size == course.reaction.values.size == 0


def test_a_trace_that_does_not_fit_the_audit_is_refused(run: RunDirectory) -> None:
    row = row_of(run, "released-model")
    path = run.traces("released-model", SERVED, "aggregate", "gradient-norm")
    write_trace(path, np.array([1]), np.ones((1, 3)))
    with pytest.raises(RunDirectoryError, match="does not fit the audit"):
        Evidence(run.path).course(row)
