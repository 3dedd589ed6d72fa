"""The charts hold the figures that they were given."""

from dataclasses import replace

import example_report
import numpy as np
import pytest

from fedsim.report import data as parts
from fedsim.report import interval_charts
from fedsim.report.attack_charts import course, exposure
from fedsim.report.diagram import diagram
from fedsim.report.roc_charts import roc_chart, shown_at_first
from fedsim.report.utility_charts import utilities_chart, utility_chart
from fedsim.report.utility_info import ACCURACY, UtilityInfo


@pytest.fixture(scope="module")
def report():
    return example_report.report()


def test_one_trace_an_adversary_and_attack(report):
    figure = roc_chart(report.rocs, logarithmic=False)
    assert [trace.name for trace in figure.data] == [
        "guessing",
        *(f"{roc.attack} · {roc.adversary}" for roc in report.rocs),
    ]
    np.testing.assert_array_equal(figure.data[1].x, report.rocs[0].fpr)
    np.testing.assert_array_equal(figure.data[1].y, report.rocs[0].tpr)


def test_a_logarithmic_roc_has_no_zero(report):
    figure = roc_chart(report.rocs, logarithmic=True)
    assert min(min(trace.x) for trace in figure.data) == pytest.approx(1 / 1000)
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"


def test_only_the_best_baseline_is_drawn_at_first(report):
    shown = shown_at_first(report.rocs)
    names = [
        roc_chart.attack for roc_chart, is_shown in zip(report.rocs, shown, strict=True) if is_shown
    ]
    assert names == ["supervised", "scalar-logistic", "gradient-norm"] * 2


def test_intervals_reach_from_low_to_high(report):
    figure = interval_charts.side_by_side(report.results.summary())
    row = report.results.summary()[0]
    trace = figure.data[0]
    assert trace.x[0] - trace.error_x.arrayminus[0] == pytest.approx(row.auc.low)
    assert trace.x[0] + trace.error_x.array[0] == pytest.approx(row.auc.high)


def test_unmeasured_rounds_are_left_out():
    points = [parts.UtilityPoint(1, 0.5, None), parts.UtilityPoint(2, None, 0.25)]
    train, test = utility_chart(points, ACCURACY).data
    assert (train.x, train.y) == ((1,), (0.5,))
    assert (test.x, test.y) == ((2,), (0.25,))


def test_each_figure_of_utility_has_its_axis():
    points = [parts.UtilityPoint(1, 31.5, 40.25)]
    perplexity = UtilityInfo(name="perplexity", unit="number", higher_is="worse")
    drawn = utility_chart(points, perplexity)
    assert drawn.layout.yaxis.title.text == "perplexity"
    assert drawn.layout.yaxis.range is None
    assert drawn.data[1].y == (40.25,)
    both = utilities_chart({"a": points, "b": points}, [ACCURACY, perplexity])
    assert both.layout.yaxis.title.text == "accuracy or perplexity"
    assert utilities_chart({"a": points}, [ACCURACY]).layout.yaxis.tickformat == ".0%"


def test_a_course_is_logarithmic_where_it_can_be(report):
    positive = report.courses[0]
    assert course(positive).layout.yaxis.type == "log"
    with_zero = parts.SignalCourse("x", "norm", [1, 2], np.zeros((2, 3)), np.ones((2, 3)))
    assert course(with_zero).layout.yaxis.type is None


def test_names_are_escaped(report):
    roc = report.rocs[0]
    evil = parts.RocTrace("<b>", '<a href="https://x">', roc.fpr, roc.tpr, roc.auc)
    figure = roc_chart([evil], logarithmic=False)
    assert "<" not in figure.data[1].name


def seen(drawn):
    return [(link.y1 > link.y2, link.kind) for link in drawn.links if link.kind]


UP, DOWN = True, False


def test_the_server_sees_what_it_sends_its_victims_and_what_comes_back(report):
    drawn = diagram(report.threats[0])
    assert drawn.server.dishonest
    assert [node.victim for node in drawn.participants] == [True, False, False, False]
    assert seen(drawn) == [(UP, "seen"), (DOWN, "seen")]
    active = diagram(replace(report.threats[0], active=True))
    assert seen(active) == [(UP, "seen"), (DOWN, "malicious")]


def test_the_participant_sees_what_is_sent_to_it(report):
    drawn = diagram(report.threats[1])
    assert not drawn.server.dishonest
    assert [node.dishonest for node in drawn.participants] == [False, False, False, True]
    assert seen(drawn) == [(DOWN, "seen")]
    active = diagram(replace(report.threats[1], active=True))
    assert seen(active) == [(UP, "malicious"), (DOWN, "seen")]


def test_who_stands_outside_sees_the_finished_model_only(report):
    drawn = diagram(replace(report.threats[0], position="outside"))
    assert not drawn.server.dishonest
    assert drawn.outsider.dishonest
    (link,) = [link for link in drawn.links if link.seen]
    assert link.y1 == link.y2 == drawn.server.y


def test_of_a_given_model_there_is_no_federation_to_draw(report):
    drawn = diagram(replace(report.threats[0], position="no federation", participants=1))
    assert drawn.server.label == "model"
    assert [node.label for node in drawn.participants] == ["data"]
    assert drawn.outsider.label == "holder"
    assert drawn.description.endswith("asked about: its training data")


def test_between_two_rounds_there_is_no_tick(report):
    few = parts.AucByRound("x", "loss", [4, 6], [0.5, 0.6], [0.4, 0.5], [0.6, 0.7])
    assert exposure([few]).layout.xaxis.dtick == 1
    assert exposure(report.exposures).layout.xaxis.dtick is None
    points = [parts.UtilityPoint(1, 0.5, 0.5), parts.UtilityPoint(2, 0.6, 0.5)]
    assert utility_chart(points, ACCURACY).layout.xaxis.dtick == 1


def test_six_adversaries_keep_to_their_attack(report):
    rows = [
        row.model_copy(update={"adversary": f"adversary {number}"})
        for row in report.results.summary()[:2]
        for number in range(6)
    ]
    figure = interval_charts.side_by_side(rows)
    places = [trace.y[0] for trace in figure.data]
    assert max(places) - min(places) < 1
    assert np.diff(places).min() == pytest.approx(0.125)


def test_exposure_grows_in_a_line_an_adversary(report):
    grown, alone = report.exposures[:2], report.exposures[2:]
    line = exposure(grown).data[0]
    assert line.name == "curious-server"
    assert (line.x, line.y) == (tuple(grown[0].rounds), tuple(grown[0].auc))
    assert line.y[0] + line.error_y.array[0] == pytest.approx(grown[0].high[0])
    several = exposure([*grown, *alone]).data
    assert several[2].name == "gradient-norm · curious-server"


def test_a_hundred_participants_are_not_all_drawn(report):
    words = report.threats[0].words
    threat = parts.ThreatSection(words, "participant", 100, (7, 50), participant=99)
    labels = [node.label for node in diagram(threat).participants]
    assert labels == ["0", "1", "7", "50", "99", "…"]
