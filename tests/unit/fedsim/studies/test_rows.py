"""What a row's figures are, how they are written, and what frames an experiment in words."""

from dataclasses import replace

import pytest
import toys
from pydantic import ValidationError

from fedsim.evaluation import Scores, Truth, evaluate_attack
from fedsim.evaluation.metrics import Accuracy, Auc, TprAtFpr
from fedsim.report.costs import Cost
from fedsim.report.guarantees import CeilingFigure
from fedsim.report.result_rows import metric_infos, result_row
from fedsim.report.results import Results
from fedsim.report.utility_info import UtilityInfo
from fedsim.studies.cells import Cell
from fedsim.studies.metric_names import heading, is_of_federation
from fedsim.studies.output_specs import TableSpec
from fedsim.studies.rows import Row, caption, measured, rows_of, sizes, utility_figure

METRICS = (Accuracy(), Auc(), TprAtFpr(0.25))


def row(adversary: str = "isolating-server") -> Row:
    tested, known = range(8), range(8, 16)
    member = [True] * 4 + [False] * 4
    evaluation_result = evaluate_attack(
        Scores(tested, [4, 3, 2, 1, 3, 1, 0, -1]),
        Scores(known, [4, 3, 2, 1, 0, 0, 0, 0]),
        Truth(tested, member),
        Truth(known, member),
        seed=0,
        metrics=METRICS,
    )
    cost = Cost(
        adversary="isolating-server",
        utility=0.31,
        honest_utility=0.335,
        norm_ratio=1.5,
        cosine=0.25,
        messages=3,
    )
    results = Results(
        metrics=metric_infos(METRICS),
        utility={"train_accuracy": 0.9, "test_accuracy": 0.335},
        results=(result_row(adversary, "loss", "mean", evaluation_result),),
        costs=(cost,),
    )
    return rows_of(Cell({"target": "toy"}, toys.experiment()), results)[0]


def test_a_row_is_found_by_its_coordinates() -> None:
    assert row().coordinates == {
        "target": "toy",
        "adversary": "isolating-server",
        "attack": "loss",
    }


@pytest.mark.parametrize(
    ("metric", "shown"),
    [
        ("accuracy", "75.0"),
        ("auc", ".812"),
        ("tpr@0.25", "75.0"),
        ("train accuracy", "90.0"),
        ("test accuracy", "31.0"),
        ("train utility", "90.0"),
        ("test utility", "31.0"),
        ("utility cost", "+2.5"),
        ("norm ratio", "1.50"),
        ("cosine", "0.250"),
    ],
)
def test_figures_are_written_as_the_field_does(metric: str, shown: str) -> None:
    figure = measured(row(), metric)
    assert figure is not None
    assert figure.shown()[0] == shown


def test_the_guaranteed_epsilon_is_that_of_what_binds_the_attack() -> None:
    one = row()
    assert measured(one, "guaranteed epsilon") is None
    ceiling = CeilingFigure(defence="dp-sgd", epsilon=8.11, delta=1e-5, accuracy=0.9)
    bound = replace(one, result=one.result.model_copy(update={"ceiling": ceiling}))
    found = measured(bound, "guaranteed epsilon")
    assert found is not None
    assert (found.value, found.text) == (8.11, "8.11")


def test_utility_is_the_objectives_figure() -> None:
    error = UtilityInfo(name="error", unit="number", higher_is="worse")
    others = {
        "utility_figure": error,
        "utility": {"train_error": 0.5, "test_error": 1.25},
        "costs": (Cost(adversary="isolating-server", utility=1.5, honest_utility=1.25),),
    }
    one = row()
    regression = replace(one, results=one.results.model_copy(update=others))
    shown = {
        metric: None if (figure := measured(regression, metric)) is None else figure.text
        for metric in ("train utility", "test utility", "test error", "test accuracy", "cosine")
    }
    assert shown == {
        "train utility": "0.5",
        "test utility": "1.5",
        "test error": "1.5",
        "test accuracy": None,
        "cosine": None,
    }
    lost = measured(regression, "utility cost")
    assert lost is not None
    assert (lost.value, lost.text) == (0.25, "+0.25")
    assert heading("utility cost", error) == "test error added"
    assert heading("test utility", utility_figure([regression])) == "test error"
    # Of runs with different objectives a column has no figure's name.
    assert (
        heading("test utility", utility_figure([one, regression])) == "utility on held-out records"
    )


def test_metrics_of_a_table_are_those_of_installed_objectives() -> None:
    for name in ("train utility", "test error", "train perplexity", "test accuracy"):
        assert is_of_federation(name)
    with pytest.raises(ValidationError, match=r"'test speed'.*of the federation: .*perplexity"):
        TableSpec(rows=("target",), metrics=("test speed",))


def test_only_an_active_adversary_has_costs() -> None:
    passive = row("curious-server")
    assert measured(passive, "utility cost") is None
    tested = measured(passive, "test accuracy")
    assert tested is not None
    assert tested.value == 0.335
    assert measured(passive, "tpr@0.01") is None


def test_the_caption_is_made_from_the_experiments() -> None:
    cells = [
        Cell({"participants": str(n)}, toys.experiment(partition={"participants": n}))
        for n in (1, 3)
    ]
    shared, own = caption([Cell({}, toys.experiment())])
    assert own[0][1] == {}
    assert shared["observed rounds"] == "2, 4"
    assert shared["trained by"] == "3 participants, 40 records each (disjoint)"
    assert sizes(cells[0].experiment)["trained by"] == "one participant, 40 records"
    shared, own = caption(cells)
    assert [words for _, words in own] == [
        {"trained by": "one participant, 40 records"},
        {"trained by": "3 participants, 40 records each (disjoint)"},
    ]
    assert "trained by" not in shared
