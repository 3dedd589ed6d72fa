"""How exposure grows: the first observed rounds only, no more of the observation, and one alone."""

from pathlib import Path

import numpy as np
import pytest
import toys

from fedsim.errors import RunDirectoryError
from fedsim.evaluation.metrics import auc
from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory
from fedsim.stages.attack import attack
from fedsim.stages.figures.auc_by_round import read_exposure, rounds_alone
from fedsim.stages.figures.evaluate import evaluate_run
from fedsim.stages.figures.score_files import read_scores, write_trace
from fedsim.stages.page import report_charts
from fedsim.stages.preparation.setup_building import build_setup


def attacked(path: Path, rounds: list[int]) -> RunDirectory:
    sections = {"snapshots": {"rounds": rounds}, "attacks": ["gradient-norm", "scalar-logistic"]}
    made = toys.simulated(path, **sections)
    attack(build_setup(toys.experiment(**sections), None, SILENCE), made, SILENCE, fresh=False)
    return made


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Return a toy run with three observed rounds, attacked."""
    return attacked(tmp_path_factory.mktemp("exposure") / "run", [1, 2, 4])


def test_the_first_rounds_are_what_a_shorter_observation_shows(
    run: RunDirectory, tmp_path: Path
) -> None:
    paths = run.exposures("curious-server", "participant-0", "scalar-logistic")
    assert [path.name for path in paths] == ["round-00001.parquet", "round-00002.parquet"]
    assert not run.exposures("curious-server", "participant-0", "gradient-norm")
    alone = attacked(tmp_path / "shorter", [1, 2])
    expected = read_scores(alone.scores("curious-server", "participant-0", "scalar-logistic"))
    found = read_scores(paths[1])
    np.testing.assert_array_equal(found.records, expected.records)
    np.testing.assert_allclose(found.scores, expected.scores)


def test_the_last_point_is_the_figure_of_the_table(run: RunDirectory) -> None:
    judged = evaluate_run(run)
    grown, _, alone, _ = report_charts.exposures(run, judged)
    assert (grown.adversary, grown.attack, grown.alone) == (
        *("curious-server", "scalar-logistic", False),
    )
    assert list(grown.rounds) == [1, 2, 4]
    key = ("curious-server", "participant-0", "scalar-logistic")
    assert grown.auc[-1] == judged.evaluation_results[key].auc.value
    audit = judged.ledger.audit(judged.attackers[0].queries[0])
    first = read_exposure(run.exposures(*key)[0], audit, judged.experiment.seed)
    assert first == (1, first[1])
    assert grown.auc[0] == first[1].value
    assert (alone.attack, alone.alone, list(alone.rounds)) == ("gradient-norm", True, [1, 2, 4])
    last = judged.evaluation_results["curious-server", "participant-0", "gradient-norm"].auc.value
    assert max(alone.auc[-1], 1 - alone.auc[-1]) == pytest.approx(max(last, 1 - last))


def test_a_signal_is_turned_by_what_the_known_records_say(
    run: RunDirectory, tmp_path: Path
) -> None:
    judged = evaluate_run(run)
    records = judged.ledger.audit(judged.attackers[0].queries[0])
    values = np.where(records.member, -1.0, 1.0) + np.linspace(0, 1.5, len(records))
    path = tmp_path / "signal.parquet"
    write_trace(path, np.array([7, 8]), np.stack([values, -values]))
    (seven, low), (eight, high) = rounds_alone(path, records, 0)
    tested = ~records.known
    members, others = values[tested & records.member], values[tested & ~records.member]
    assert (seven, eight) == (7, 8)
    assert low.value == high.value == 1 - auc(members, others)
    write_trace(path, np.array([7]), values[None, 1:])
    with pytest.raises(RunDirectoryError, match="does not fit the audit; attack the run again"):
        list(rounds_alone(path, records, 0))
