"""The results file: round trip, and one sentence for whatever is wrong with it."""

import json
import stat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.errors import FedsimError
from fedsim.evaluation import Scores, Truth, evaluate_attack
from fedsim.report.result_rows import metric_infos, result_row
from fedsim.report.result_schema import ThreatModel
from fedsim.report.results import Results
from fedsim.report.results_file import parse_results, read_results, write_results


@pytest.fixture(scope="module")
def results():
    member = np.arange(1000) % 2 == 0
    scores = np.random.default_rng(1).normal(size=(3, 1000)) + 2 * member
    evaluation_result = evaluate_attack(
        Scores(np.arange(1000), scores),
        Scores(np.arange(1000) + 5000, scores),
        Truth(np.arange(1000), member),
        Truth(np.arange(1000) + 5000, member),
        seed=1,
        resamples=200,
    )
    return Results(
        metrics=metric_infos(evaluation_result.metrics),
        utility={"train_accuracy": 0.9, "test_accuracy": 0.4},
        results=(
            result_row("server", "supervised", "participant-0", evaluation_result),
            result_row("server", "supervised", "mean", evaluation_result),
            result_row("server", "chance", "participant-0", evaluation_result, baseline=True),
        ),
        threat_models=(ThreatModel(adversary="server", who="w", sees="s", does="d"),),
        provenance={"commit": None, "cores": 2},
    )


@pytest.fixture(scope="module")
def content(results):
    return json.loads(results.model_dump_json())


def damaged(content, path, value):
    """Return the JSON with the value at `path` replaced."""
    copy = json.loads(json.dumps(content))
    place = copy
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return json.dumps(copy).encode()


def test_round_trip_and_owner_only(results, tmp_path):
    path = tmp_path / "results.json"
    write_results(path, results)
    assert read_results(path) == results
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def test_the_documented_shape(content):
    assert content["schema"] == 2
    assert content["metrics"]["tpr@0.01"] == {
        "heading": "TPR @ 1 %",
        "title": "TPR at 1 % FPR",
        "explanation": "TPR @ 1 %: the share of members found while at most 1 % of non-members "
        "are accused.",
        "unit": "percent",
        "higher_is": "better",
        "guessing": 0.01,
    }
    assert content["utility"] == {"train_accuracy": 0.9, "test_accuracy": 0.4}
    assert content["utility_figure"] == {
        "name": "accuracy",
        "unit": "percent",
        "higher_is": "better",
    }
    row = content["results"][0]
    assert row["victim"] == "participant-0"
    assert list(row["figures"]) == ["accuracy", "auc", "tpr@0.01"]
    assert row["refused"] == {"tpr@0.001": "needs >= 1,000 non-members, has 500"}
    assert row["figures"]["tpr@0.01"]["false_positives"] == 5.0
    assert (row["members"], row["nonmembers"], row["attack_seeds"]) == (500, 500, 3)
    auc = row["figures"]["auc"]
    assert list(auc) == ["value", "low", "high", "method", "least", "most"]
    assert auc["low"] < auc["value"] < auc["high"]


def test_the_example_of_the_documentation_is_valid():
    from fedsim.report import results as module

    example = module.__doc__.split("Required::")[1].split("Figures whose")[0]
    parsed = parse_results(example.encode(), "the example")
    assert parsed.results[0].accuracy.value == 0.85
    assert parsed.results[0].figures["tpr@0.01"].details == {"false_positives": 10.0}


def test_the_summary_prefers_the_mean(results):
    rows = [row.key for row in results.summary()]
    assert rows == [("server", "supervised", "mean"), ("server", "chance", "participant-0")]


ROW = ("results", 0)
FIGURE = (*ROW, "figures", "auc")


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("schema",), 3, "schema: Input should be less than or equal to 2"),
        (("schema",), True, "schema: Input should be a valid integer"),
        (("extra",), 1, "extra: Extra inputs are not permitted"),
        (("utility", "train_accuracy"), 1.01, "utility.train_accuracy is outside 0..1"),
        (("utility", "train_accuracy"), float("nan"), "utility.train_accuracy: .*finite"),
        (
            ("utility", "test_error"),
            0.5,
            "utility has 'test_error'; valid: test_accuracy, train_acc",
        ),
        (("utility_figure", "unit"), "metre", "utility_figure.unit: .*'percent' or 'number'"),
        (("utility", "test_accuracy"), "0.5", "utility.test_accuracy: .*valid number"),
        ((*FIGURE, "value"), -0.1, "row 0: auc is outside 0..1"),
        ((*FIGURE, "value"), "x", "results.0.figures.auc.value: .*valid number"),
        ((*FIGURE, "low"), float("nan"), "results.0.figures.auc.low: .*finite"),
        ((*FIGURE, "own"), -1.0, "results.0.figures.auc.own: .*greater than or equal to 0"),
        ((*ROW, "members"), 0, "results.0.members: .*greater than or equal to 1"),
        ((*ROW, "members"), 10**30, "results.0.members"),
        ((*ROW, "adversary"), "", "results.0.adversary: .*at least 1 character"),
        ((*ROW, "figures"), {}, "results.0: .*figures lack 'accuracy'"),
        ((*ROW, "refused"), {"auc": "x"}, "auc is both reported and refused"),
        ((*ROW, "refused"), {"own": "x"}, "row 0 has 'own', which is not among the metrics"),
        (("metrics", "auc", "unit"), "metre", "metrics.auc.unit"),
        ((*FIGURE, "low"), 1.0, "results.0.figures.auc: .*low 1.0 is above high"),
        ((*FIGURE, "method"), "guess", "results.0.figures.auc.method"),
        ((*ROW, "victim"), "mean", "two rows for server / supervised / mean"),
        (("results",), {}, "results: .*valid (tuple|array)"),
    ],
)
def test_what_is_wrong_is_named(content, path, value, sentence):
    with pytest.raises(FedsimError, match=sentence) as caught:
        parse_results(damaged(content, path, value), "results.json")
    schema = "1, 2" if path == ("schema",) else "2"
    assert str(caught.value).startswith(f"results.json is not a results file of schema {schema}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_schema_or_file_is_named(content, tmp_path):
    without = {key: value for key, value in content.items() if key != "schema"}
    with pytest.raises(FedsimError, match="schema: Field required"):
        parse_results(json.dumps(without).encode(), "x")
    with pytest.raises(FedsimError, match=r"none.json cannot be read \(No such file"):
        read_results(tmp_path / "none.json")
    with pytest.raises(FedsimError, match="cannot be read"):
        read_results(tmp_path)


def test_any_truncation_is_refused(results):
    whole = results.model_dump_json().encode()
    for length in range(0, len(whole) - 1, 7):
        with pytest.raises(FedsimError, match="Invalid JSON"):
            parse_results(whole[:length], "x")


@given(st.binary(max_size=200))
def test_noise_has_its_sentence(noise):
    with pytest.raises(FedsimError, match=r"^x is not a results file of schema 1, 2: "):
        parse_results(noise, "x")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


def places(value, path=()):
    """Yield the path of every value inside."""
    if path:
        yield path
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from places(inner, (*path, key))


def complaint(content):
    """Return the sentence about the content, or None when it was read."""
    try:
        parsed = parse_results(content, "x")
    except FedsimError as error:
        return str(error)
    assert parse_results(parsed.model_dump_json().encode(), "y") == parsed
    return None


@given(st.data())
def test_any_value_anywhere_is_read_or_has_its_sentence(content, data):
    path = data.draw(st.sampled_from(list(places(content))))
    sentence = complaint(damaged(content, path, data.draw(JSON)))
    assert sentence is None or (sentence.isprintable() and len(sentence) < 400)


@given(st.data())
def test_any_flipped_byte_is_read_or_has_its_sentence(results, data):
    whole = bytearray(results.model_dump_json().encode())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    sentence = complaint(bytes(whole))
    assert sentence is None or (sentence.isprintable() and len(sentence) < 400)


OLD = {
    "schema": 1,
    "name": "old",
    "utility": {"train_accuracy": 0.99, "test_accuracy": 0.37},
    "costs": [{"adversary": "ascent", "test_accuracy": 0.25, "honest_test_accuracy": 0.375}],
    "results": [
        {
            "adversary": "curious-server",
            "attack": "supervised",
            "victim": "mean",
            "accuracy": 0.85,
            "auc": 0.92,
            "tpr_at_fpr": {"0.01": 0.2},
            "members": 1000,
            "nonmembers": 500,
            "refused_fprs": {"0.001": "needs more"},
            "false_positives": {"0.01": 4.5},
            "attack_seeds": 3,
            "interval": {
                "confidence": 0.9,
                "resamples": 100,
                "accuracy": {"low": 0.84, "high": 0.86, "method": "exact"},
                "auc": {"low": 0.91, "high": 0.93, "method": "bootstrap"},
                "tpr_at_fpr": {"0.01": {"low": 0.1, "high": 0.3, "method": "bootstrap"}},
            },
        }
    ],
}


def test_schema_1_is_read_as_schema_2():
    results = parse_results(json.dumps(OLD).encode(), "x")
    (row,) = results.results
    assert results.schema_version == 2
    assert list(results.metrics) == ["accuracy", "auc", "tpr@0.01", "tpr@0.001"]
    assert {name: figure.value for name, figure in row.figures.items()} == {
        "accuracy": 0.85,
        "auc": 0.92,
        "tpr@0.01": 0.2,
    }
    tpr = row.figures["tpr@0.01"]
    assert (tpr.low, tpr.high, tpr.method) == (0.1, 0.3, "bootstrap")
    assert tpr.details == {"false_positives": 4.5}
    assert row.refused == {"tpr@0.001": "needs more"}
    assert (row.confidence, row.resamples, row.attack_seeds) == (0.9, 100, 3)
    assert results.utility == {"train_accuracy": 0.99, "test_accuracy": 0.37}
    assert results.costs[0].utility_cost(results.utility_figure) == 0.125
    assert parse_results(results.model_dump_json().encode(), "y") == results


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("utility", "train_accuracy"), 1.01, "utility.train_accuracy: .*less than or equal to 1"),
        (("metrics",), {}, "metrics: Extra inputs"),
        ((*ROW, "tpr_at_fpr"), {"1%": 0.5}, "results.0.tpr_at_fpr.1%"),
        ((*ROW, "tpr_at_fpr"), {"0.1": 0.5}, "must have the same FPRs"),
        ((*ROW, "refused_fprs"), {"0.01": "x"}, "FPR 0.01 is both reported and refused"),
        ((*ROW, "refused_fprs"), {"0.0": "x"}, "an FPR is 0.0; it must be between 0 and 1"),
        ((*ROW, "refused_fprs"), {"1e-02": "x"}, "an FPR is there twice"),
        ((*ROW, "interval", "auc", "low"), 1.0, "results.0.interval.auc: .*low 1.0 is above high"),
    ],
)
def test_schema_1_is_read_strictly(path, value, sentence):
    with pytest.raises(FedsimError, match=sentence) as caught:
        parse_results(damaged(OLD, path, value), "results.json")
    assert str(caught.value).startswith("results.json is not a results file of schema 1: ")


@given(st.data())
def test_any_value_anywhere_in_schema_1_is_read_or_has_its_sentence(data):
    path = data.draw(st.sampled_from(list(places(OLD))))
    sentence = complaint(damaged(OLD, path, data.draw(JSON)))
    assert sentence is None or (sentence.isprintable() and len(sentence) < 400)
