"""The axis of defences, and the frontier: points against the results that they are made of."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_study import WriteStudy

from fedsim import api
from fedsim.errors import ConfigError
from fedsim.report.results import Results
from fedsim.rundir import RunDirectory
from fedsim.rundir.provenance import provenance
from fedsim.stages.simulation.history import read_history_file
from fedsim.studies.cells import expand
from fedsim.studies.definition import load_study
from fedsim.studies.findings import Findings
from fedsim.studies.frontier import Frontier, FrontierPoint
from fedsim.studies.layout import StudyPaths
from fedsim.studies.page import page
from fedsim.studies.tables import check_coordinates
from fedsim.studies.writing import publish

DEFENCES: dict[str, Any] = {
    "top-k": {
        "changes": {"defences": [{"name": "top-k"}]},
        "vary": "defences.0.share",
        "strengths": [0.5, 0.01],
    },
    "early stopping": {
        "changes": {"snapshots.rounds": [2]},
        "vary": "federation.rounds",
        "strengths": [2],
    },
    "local-dp": {
        "changes": {"defences": [{"name": "local-dp", "clipping_norm": 0.1}]},
        "vary": "defences.0.noise_multiplier",
        "strengths": [4.0],
    },
    "budget": {
        "changes": {
            "defences": [{"name": "local-dp", "clipping_norm": 0.1, "noise_multiplier": 4.0}]
        },
        "vary": "defences.0.budget",
        "strengths": [1.6],
    },
    "sums": {
        "strengths": {
            "only": {"defences": ["secure-aggregation"], "adversaries": ["curious-server"]}
        }
    },
}
KEYS: dict[str, Any] = {
    "reproduces": "",
    "scales": {"cpu": {}},
    "axes": {"seed": {"3": {"seed": 3}, "4": {"seed": 4}}},
    "defences": DEFENCES,
    "reference": None,
    "tables": [],
    "frontier": {"repeats": "seed", "metrics": ["accuracy"]},
}


def written(write_study: WriteStudy, **keys: Any) -> Path:
    return write_study(**{**KEYS, **keys})


def test_every_defence_at_every_strength_is_a_cell_beside_none(write_study: WriteStudy) -> None:
    path = written(write_study, axes={}, frontier={})
    cells = expand(load_study(path), path, "cpu")
    assert [cell.name for cell in cells] == [
        *("none", "top-k, share 0.5", "top-k, share 0.01", "early stopping, rounds 2"),
        *("local-dp, noise multiplier 4", "budget, 1.6", "sums, only"),
    ]
    assert cells[0].coordinates == {"defence": "none", "strength": "-"}
    shares = [cell.experiment.defences[0].settings["share"] for cell in cells[1:3]]
    assert shares == [0.5, 0.01]
    assert not cells[0].experiment.defences
    assert cells[3].experiment.federation.rounds == 2
    assert len(expand(load_study(written(write_study)), path, "cpu")) == 14


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"axes": {"defence": {"a": {}}}}, "an axis cannot be called 'defence'"),
        ({"defences": {}}, "frontier: it is of `defences`, and the study has none"),
        ({"defences": {"none": {"strengths": {"a": {}}}}}, "'none' is the experiment without"),
        ({"defences": {"a": {"strengths": [1]}}}, "a list of strengths needs `vary`"),
        ({"defences": {"a": {"vary": "seed", "strengths": {"b": {}}}}}, "needs `vary`"),
        ({"defences": {"a": {"vary": "seed", "strengths": [1, 1.0]}}}, "have one name"),
        ({"frontier": {"repeats": "seeds"}}, "frontier.repeats: .* there is no coordinate 'seeds'"),
        ({"frontier": {}}, "axis 'seed' would put several cells into one point"),
        ({"frontier": {"repeats": "seed", "leakage": "area"}}, "metric 'area'"),
        (
            {"tables": [{"rows": ["seed"], "only": {"defence": ["top"]}}]},
            "axis 'defence' has no value 'top'; valid: budget, early stopping, local-dp, none, ",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    write_study: WriteStudy, keys: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        load_study(written(write_study, **keys))


def test_a_metric_that_no_cell_measures_is_refused(write_study: WriteStudy) -> None:
    path = written(write_study, frontier={"repeats": "seed", "leakage": "tpr@0.5"})
    study = load_study(path)
    with pytest.raises(ConfigError, match=r"frontier: metric 'tpr@0\.5' is not measured"):
        check_coordinates(study, expand(study, path, "cpu"))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Findings, Path]:
    """Run the toy's frontier once."""
    from toy_study import writing_into

    folder = tmp_path_factory.mktemp("frontier")
    path = written(writing_into(folder))
    finished = api.study(path, out=folder / "studies")
    return finished.findings, finished.path


def found_in(findings: Findings) -> Frontier:
    assert findings.frontier is not None
    return findings.frontier


def point(findings: Findings, adversary: str, name: str) -> FrontierPoint:
    return next(p for p in found_in(findings).points[adversary] if p.name == name)


def results_of(ran: tuple[Findings, Path], name: str) -> list[Results]:
    findings, folder = ran
    layout = StudyPaths(folder.parent)
    cells = [cell for cell in findings.cells if cell.name.partition(", ")[2] == name]
    found = [layout.finished(cell) for cell in cells]
    assert len(found) == 2
    return [one for one in found if one is not None]


def test_a_point_is_the_mean_over_federations_of_the_strongest_attack(
    ran: tuple[Findings, Path],
) -> None:
    findings, _ = ran
    for name in ("none", "top-k, share 0.01", "local-dp, noise multiplier 4"):
        results = results_of(ran, name)
        for adversary in ("curious-server", "curious-participant"):
            found = point(findings, adversary, name)
            for metric in ("auc", "accuracy"):
                means = {
                    attack: np.mean(
                        [
                            row.figures[metric].value
                            for one in results
                            for row in one.summary()
                            if (row.adversary, row.attack) == (adversary, attack)
                        ]
                    )
                    for attack in ("scalar-logistic", "gradient-norm", "label")
                }
                assert found.leakage[metric].figure.value == pytest.approx(max(means.values()))
                assert means[found.leakage[metric].attack] == pytest.approx(max(means.values()))
            utility = [one.utility["test_accuracy"] for one in results]
            assert found.utility.value == pytest.approx(np.mean([u or 0 for u in utility]))


def test_costs_are_those_of_the_runs(ran: tuple[Findings, Path]) -> None:
    findings, _ = ran
    plain = point(findings, "curious-server", "none")
    sparse = point(findings, "curious-server", "top-k, share 0.01")
    entries = 12 * 16 + 16 + 16 * 4 + 4
    assert plain.uploaded == 3 * 4 * entries
    assert sparse.uploaded == 3 * (3 * 4 + 4)  # 3 of 276 entries, 9 bits each for where they are
    assert plain.seconds is not None
    assert plain.seconds > 0
    assert (plain.guarantee, sparse.guarantee) == (None, None)
    (private,) = {
        point(findings, who, "local-dp, noise multiplier 4").guarantee
        for who in ("curious-server", "curious-participant")
    }
    assert private is not None
    assert private.unit == "participant"
    stated = [one.guarantees[0].epsilon for one in results_of(ran, "local-dp, noise multiplier 4")]
    assert private.epsilon == max(one or 0 for one in stated)


def test_an_adversary_that_a_defence_has_not_is_told(ran: tuple[Findings, Path]) -> None:
    findings, folder = ran
    assert found_in(findings).absent == (("curious-participant", "sums"),)
    text = (folder / "table.md").read_text()
    assert "curious-participant is in no federation with sums." in text


def test_the_choice_costs_no_more_than_one_is_ready_to_lose(ran: tuple[Findings, Path]) -> None:
    found = found_in(ran[0])
    for adversary, points in found.points.items():
        for lost in (0.0, 0.05, 1.0):
            best = found.best_within(adversary, lost)
            affordable = [p for p in points if found.cost(p) <= lost + 1e-12]
            assert found.leaked(best) == min(map(found.leaked, affordable))
        assert found.cost(points[0]) == 0


def test_page_and_files_have_the_frontier_and_repeat_their_bytes(
    ran: tuple[Findings, Path], tmp_path: Path
) -> None:
    findings, folder = ran
    told = json.loads((folder / "table.json").read_text())["frontier"]
    assert len(told) == 7 + 6
    assert {one["defence"] for one in told if one["undominated"]}
    published = publish(findings, folder, tmp_path).read_text()
    assert "](study-frontier.svg)" in published
    drawn = (tmp_path / "study-frontier.svg").read_bytes()
    assert drawn == (folder / "figure-frontier.svg").read_bytes()
    assert b"top-k" in drawn
    again = api.study(findings.path, out=folder.parent)
    assert len(again.findings.reused) == 14
    assert (again.path / "figure-frontier.svg").read_bytes() == drawn
    assert (again.path / "table.md").read_text() == (folder / "table.md").read_text()


def test_a_budget_ends_the_federations_of_a_cell(ran: tuple[Findings, Path]) -> None:
    findings, folder = ran
    layout = StudyPaths(folder.parent)
    found = point(findings, "curious-server", "budget, 1.6").guarantee
    assert found is not None
    # Two rounds of noise 4: 1.48; a third would come to 1.85.
    assert found.epsilon == pytest.approx(1.478, abs=1e-3)
    for cell in findings.cells:
        if cell.coordinates["defence"] == "budget":
            history = read_history_file(RunDirectory(layout.run(cell)).history("honest"))
            assert [one.round for one in history.rounds] == [1, 2]


def test_an_attack_that_refutes_a_guarantee_is_told_first(ran: tuple[Findings, Path]) -> None:
    findings, _ = ran
    first = findings.rows[0]
    said = "loss by curious-server refutes the guarantee of local-dp: it is above its ceiling"
    rows = (first.result.model_copy(update={"refutes": said}), *first.results.results[1:])
    results = first.results.model_copy(update={"results": rows})
    broken = replace(
        findings,
        rows=[
            replace(row, results=results) if row.cell is first.cell else row
            for row in findings.rows
        ],
    )
    assert findings.self_check == ()
    assert broken.self_check == (f"3, none: {said}",)
    assert f"**Self-check failed.** 3, none: {said}." in page(broken, provenance(None), [])
