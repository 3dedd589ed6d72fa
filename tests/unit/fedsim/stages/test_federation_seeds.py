"""Several federations of one experiment: what stays, what is drawn anew, and the interval."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
import typer
from scipy.stats import t

import fedsim
from fedsim.cli.runs import report
from fedsim.config.loading import experiment_of_tree
from fedsim.data import read_ledger
from fedsim.rundir import RunDirectory
from fedsim.stages.figures.federation_seeds import TITLE, mean_interval, repeats_of


def sections(**audit: Any) -> dict[str, Any]:
    return toys.tree(
        audit=audit,
        federation={"rounds": 2},
        snapshots={"rounds": [2]},
        adversaries=["curious-server"],
        attacks=["loss", "random"],
    )


def finding(run: Any) -> Any:
    (found,) = [one for one in run.results.findings if one.adversary == TITLE]
    return found


def test_federations_share_data_and_partition_and_nothing_else(tmp_path: Path) -> None:
    run = fedsim.run(sections(federation_seeds=3), tmp_path / "run")
    folders = [tmp_path / "run", *(tmp_path / "run" / "federation-seeds" / n for n in "23")]
    ledgers = [read_ledger(RunDirectory(folder).ledger) for folder in folders]
    for other in ledgers[1:]:
        assert (other.test == ledgers[0].test).all()
        for mine, theirs in zip(ledgers[0].training_sets, other.training_sets, strict=True):
            assert (mine == theirs).all()
        assert not (other.roles["participant-0"] == ledgers[0].roles["participant-0"]).all()
    results = [fedsim.open_run(folder).results for folder in folders]
    areas = [one.summary()[0].figures["auc"].value for one in results]
    assert len(set(areas)) == 3
    found = finding(run)
    assert found.figures["federations"] == 3
    row = next(row for row in found.rows if row[:3] == ("curious-server", "loss", "auc"))
    half = t.ppf(0.975, 2) * np.std(areas, ddof=1) / 3**0.5
    mean = float(np.mean(areas))
    assert row[3:] == pytest.approx(
        (mean, max(0, mean - half), min(1, mean + half), np.std(areas, ddof=1)), abs=1e-4
    )


def test_a_guarantee_that_is_refuted_in_another_federation_ends_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fedsim.run(sections(federation_seeds=2), tmp_path / "run")
    assert run.self_check == ()
    (other,) = run.repeats.values()
    refuted = other.results[0].model_copy(update={"refutes": "loss refutes the guarantee"})
    other = other.model_copy(update={"results": (refuted, *other.results[1:])})
    place = RunDirectory(tmp_path / "run/federation-seeds/2")
    place.results.write_text(other.model_dump_json())
    with pytest.raises(typer.Exit) as ended:
        report(tmp_path / "run", exposed=0, quiet=True)
    assert ended.value.exit_code == 1
    said = "federation seed 2: loss refutes the guarantee"
    assert f"self-check failed: {said}" in capsys.readouterr().err
    assert fedsim.open_run(tmp_path / "run").self_check == (said,)


def test_a_finished_run_takes_more_seeds_and_simulates_only_those(tmp_path: Path) -> None:
    first = fedsim.run(sections(), tmp_path / "run")
    assert not [one for one in first.results.findings if one.adversary == TITLE]
    ledger = RunDirectory(tmp_path / "run").ledger.read_bytes()
    more = fedsim.run(sections(federation_seeds=2), tmp_path / "run")
    assert RunDirectory(tmp_path / "run").ledger.read_bytes() == ledger
    assert finding(more).figures["federations"] == 2
    assert [one.figures for one in more.results.results] == [
        one.figures for one in first.results.results
    ]


def test_repeats_differ_in_their_seed_alone() -> None:
    experiment = experiment_of_tree(sections(federation_seeds=2), "the toy")
    (repeat,) = repeats_of(experiment, Path("run")).values()
    assert repeat.seed != experiment.seed
    assert (repeat.data.split_seed, repeat.partition.seed) == (experiment.seed, experiment.seed)
    assert repeat.audit.federation_seeds == 1


def test_the_interval_of_a_mean_covers_it() -> None:
    random = np.random.default_rng(0)
    drawn = (random.normal(0.8, 0.02, 3).tolist() for _ in range(2000))
    inside = [low <= 0.8 <= high for low, high in map(mean_interval, drawn)]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)
