"""The gate: what keeps a limit, what breaks one, and what it says."""

from xml.etree import ElementTree

import pytest
from example_report import results as example_results

from fedsim.errors import ConfigError
from fedsim.report.gate import GateCheck, check_limits
from fedsim.report.junit import junit_text
from fedsim.report.limits import Limit, parse_limits
from fedsim.report.results import Results


@pytest.fixture(scope="module")
def results() -> Results:
    return example_results()


def aucs(results, each_victim=False):
    rows = results.results if each_victim else results.summary()
    return [row.figures["auc"] for row in rows]


@pytest.mark.parametrize("number", [0.4, 0.52, 0.6, 0.8, 0.9, 0.93, 1.0])
@pytest.mark.parametrize(
    ("judged_by", "bound", "end"),
    [
        ("cautious", "max", "most"),
        ("value", "max", "value"),
        ("lenient", "max", "least"),
        ("cautious", "min", "least"),
        ("value", "min", "value"),
        ("lenient", "min", "most"),
    ],
)
def test_each_figure_is_judged_by_the_end_that_was_asked_for(
    results, number, judged_by, bound, end
):
    checks = check_limits(results, [Limit("auc", bound, number)], judged_by=judged_by)
    judged = [getattr(figure, end) for figure in aucs(results)]
    assert [check.judged for check in checks] == judged
    kept = [one <= number if bound == "max" else one >= number for one in judged]
    assert [check.passed for check in checks] == kept


def test_a_breach_names_figure_interval_end_and_limit(results):
    (breach,) = [
        check.breach
        for check in check_limits(results, [Limit("tpr@0.01", "max", 0.3)])
        if check.subject == "supervised by curious-server"
    ]
    figure = results.summary()[0].figures["tpr@0.01"]
    numbers = (figure.value, figure.low, figure.high, figure.most)
    value, low, high, most = (f"{100 * one:.1f}" for one in numbers)
    assert breach == (
        f"TPR @ 1 % of supervised by curious-server is {value} ({low}–{high}): "  # noqa: RUF001
        f"its upper limit of {most} is above the limit 30.0"
    )


def test_each_victim_is_judged_where_asked_for(results):
    limit = [Limit("auc", "max", 0.6)]
    assert len(check_limits(results, limit)) == len(results.summary())
    checks = check_limits(results, limit, each_victim=True)
    assert len(checks) == len(results.results)
    assert "supervised by curious-server against participant-0" in {c.subject for c in checks}


def test_what_was_not_measured_does_not_pass(results):
    content = results.model_dump(by_alias=True)
    for row in content["results"]:
        del row["figures"]["tpr@0.01"]
        row["refused"] = {"tpr@0.01": "too few records"}
    content["utility"] = {"test_accuracy": None}
    without = Results.model_validate(content)
    for limit in (Limit("tpr@0.01", "max", 1.0), Limit("test_accuracy", "min", 0.0)):
        checks = check_limits(without, [limit], judged_by="lenient")
        assert not any(check.passed for check in checks)
    assert checks[0].breach == "test accuracy was not measured"


def test_utility_is_judged_by_its_value(results):
    kept, broken = check_limits(
        results, [Limit("test_accuracy", "min", 0.372), Limit("test_accuracy", "min", 0.373)]
    )
    assert kept.passed
    assert broken.breach == "test accuracy is 37.2 %, below the limit 37.3 %"


def guaranteed(results, *epsilons, **row):
    """Return the results with guarantees of these epsilons; None has a reason instead."""
    content = results.model_dump(by_alias=True)
    content["guarantees"] = tuple(
        {"defence": f"d{place}"}
        | ({"why": "no accountant"} if one is None else {"epsilon": one, "delta": 1e-5})
        for place, one in enumerate(epsilons)
    )
    first, *others = content["results"]
    content["results"] = (first | row, *others)
    return Results.model_validate(content)


def test_the_smallest_guaranteed_epsilon_counts_and_none_does_not_pass(results):
    def breach(limit, *epsilons, **row):
        (check,) = check_limits(
            guaranteed(results, *epsilons, **row), [Limit("epsilon", "max", limit)]
        )
        return check.breach

    assert breach(8, 12.0, 7.5) == ""
    assert breach(7, 12.0, 7.5) == (
        "the epsilon that d1 guarantees a record is 7.5, above the limit 7"
    )
    assert breach(8, None) == "no epsilon is guaranteed: d0: no accountant"
    assert breach(8) == ("no epsilon is guaranteed: the experiment has no defence that does")
    assert breach(8, 7.5, refutes="an attack is above its ceiling") == (
        "an attack is above its ceiling"
    )


@pytest.mark.parametrize("text", ["auc", "=.5", "auc=", "auc=much", "auc=nan", "auc=inf", ""])
def test_a_limit_that_is_none_is_one_sentence(text):
    with pytest.raises(ConfigError, match=r"--max .* must be a figure and a number"):
        parse_limits([text], "max")


def test_a_figure_has_one_limit_and_must_be_there(results):
    with pytest.raises(ConfigError, match="--min names auc twice"):
        parse_limits(["auc=.5", "auc=.6"], "min")
    with pytest.raises(ConfigError, match=r"no figure 'au'; there are: accuracy, auc, .*test_acc"):
        check_limits(results, [Limit("au", "max", 1.0)])
    with pytest.raises(ConfigError, match="at least one limit"):
        check_limits(results, [])


def test_junit_counts_tests_and_failures_and_is_xml_whatever_the_names():
    limit = Limit("auc", "max", 0.6)
    checks = [GateCheck(limit, "a\x00 <b>", 0.5), GateCheck(limit, "c", 0.7, 'it is "above" & so')]
    suite = ElementTree.fromstring(junit_text("run & run", checks))  # noqa: S314 our own text
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert suite.get("name") == "fedsim gate run & run"
    assert [case.get("classname") for case in suite] == ["a  <b>", "c"]
    assert [f.get("message") for f in suite.iter("failure")] == ['it is "above" & so']
