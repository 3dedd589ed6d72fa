"""The files of scores and traces: exact, in order, and known to be stale."""

from pathlib import Path

import numpy as np
import pytest

from fedsim.evaluation import Scores
from fedsim.stages.figures.score_files import (
    ScoresError,
    learns_from,
    read_scores,
    read_trace,
    up_to_date,
    write_scores,
    write_trace,
)

SCORES = Scores(np.array([3, 7, 20]), np.arange(36).reshape(12, 3) / 7)
MADE_FROM = {"attack": {"name": "loss"}, "seed": 1, "snapshots": [[1, "aggregate", "ab"]]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a=b" / "loss.parquet"
    write_scores(path, SCORES, MADE_FROM)
    return path


def test_scores_come_back_exactly_with_their_seeds_in_order(path: Path) -> None:
    found = read_scores(path)
    assert found.records.tolist() == [3, 7, 20]
    assert found.scores.tolist() == SCORES.scores.tolist()  # twelve seeds, so seed_10 after seed_2


def test_scores_say_what_the_attack_learned_from_and_stay_as_good(path: Path) -> None:
    assert learns_from(path) is None
    write_scores(path, SCORES, MADE_FROM, "shadow data")
    assert learns_from(path) == "shadow data"
    assert up_to_date(path, MADE_FROM)


def test_a_trace_comes_back_exactly(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3, 5))
    write_trace(tmp_path / "t.parquet", np.array([2, 4, 9]), values)
    rounds, found = read_trace(tmp_path / "t.parquet")
    assert rounds.tolist() == [2, 4, 9]
    assert found.tolist() == values.tolist()


def test_scores_are_up_to_date_with_exactly_what_they_were_made_from(path: Path) -> None:
    assert up_to_date(path, dict(reversed(MADE_FROM.items())))
    assert not up_to_date(path, {**MADE_FROM, "seed": 2})
    assert not up_to_date(path.with_name("other.parquet"), MADE_FROM)
    path.write_bytes(path.read_bytes()[:-9])
    assert not up_to_date(path, MADE_FROM)


@pytest.mark.parametrize("damage", ["truncated", "missing", "foreign", "other columns"])
def test_a_file_that_is_no_scores_is_one_sentence(path: Path, damage: str) -> None:
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-9])
    elif damage == "missing":
        path.unlink()
    elif damage == "foreign":
        path.write_bytes(b"PK\x03\x04")
    else:
        write_trace(path, np.array([1]), np.ones((1, 2)))
    with pytest.raises(ScoresError) as error:
        read_scores(path)
    assert str(path) in str(error.value)
    assert str(error.value).endswith("attack the run again")
    assert "\n" not in str(error.value)
