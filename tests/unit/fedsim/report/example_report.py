"""A report of a realistic shape from drawn scores, for the tests of tables and pages."""

from functools import cache

import numpy as np

from fedsim.evaluation import EvaluationResult, Scores, Truth, curves, evaluate_attack
from fedsim.evaluation.metric_choice import default_metrics
from fedsim.report import data as parts
from fedsim.report.comparison_page import ComparedRun, ComparisonData
from fedsim.report.comparison_rows import compared_rows, contenders_of, differences
from fedsim.report.result_rows import metric_infos, result_row
from fedsim.report.result_schema import ThreatModel
from fedsim.report.results import Results

RECORDS = 2000
MEMBER = np.arange(RECORDS) % 2 == 0
# How far members stand above non-members, in standard deviations; attack seeds; baseline.
ATTACKS = {
    "supervised": (1.95, 3, False),
    "scalar-logistic": (1.8, 1, False),
    "gradient-norm": (1.45, 1, True),
    "loss": (1.35, 1, True),
    "label": (0.0, 1, True),
    "random": (0.0, 1, True),
}
ADVERSARIES = {"curious-server": 1.0, "curious-participant": 0.9}
QUESTIONS = {"curious-server": "participant-0", "curious-participant": "all-but-3"}
ROUNDS = np.arange(5, 41, 5)


@cache
def evaluation_results(seed: int = 0) -> dict[tuple[str, str], EvaluationResult]:
    """Return results on Gaussian scores, those of one adversary sharing half of their noise."""
    rng = np.random.default_rng(seed)
    found = {}
    for adversary, strength in ADVERSARIES.items():
        ids = np.sort(rng.permutation(50_000)[:RECORDS])
        shared = rng.normal(size=(2, RECORDS))
        for attack, (shift, seeds, _) in ATTACKS.items():
            tested, known = (
                0.8 * base + 0.6 * rng.normal(size=(seeds, RECORDS)) + shift * strength * MEMBER
                for base in (shared if shift else rng.normal(size=(2, RECORDS)))
            )
            found[adversary, attack] = evaluate_attack(
                Scores(ids, tested),
                Scores(ids + 100_000, known),
                Truth(ids, MEMBER),
                Truth(ids + 100_000, MEMBER),
                seed=1,
                resamples=200,
            )
    return found


def results(seed: int = 0) -> Results:
    """Return the evaluation results as a results file holds them: each query, and the mean."""
    rows = [
        result_row(adversary, attack, victim, evaluation_result, baseline=ATTACKS[attack][2])
        for (adversary, attack), evaluation_result in evaluation_results(seed).items()
        for victim in (QUESTIONS[adversary], "mean")
    ]
    utility = {"train_accuracy": 0.991, "test_accuracy": 0.372}
    metrics = metric_infos(default_metrics())
    return Results(metrics=metrics, utility=utility, results=tuple(rows))


def with_rows(figures: Results, rows: list[dict[str, object]]) -> Results:
    """Return the results with other rows."""
    return Results.model_validate(figures.model_dump() | {"results": tuple(rows)})


@cache
def report() -> parts.ReportData:
    """Return everything that a page shows."""
    found, figures = evaluation_results(), results()
    against = differences(
        {("first", *who): evaluation_result for who, evaluation_result in found.items()},
        {"first": "x"},
        seed=1,
        resamples=200,
    )
    return parts.ReportData(
        name="cifar100-alexnet-small",
        findings=[
            _finding("a curious server", "participant 0's training data", "curious-server"),
            _finding("a fellow participant", "all others' data", "curious-participant"),
        ],
        facts=[
            ("data", "CIFAR-100"),
            ("model", "alexnet, 2.47 million parameters"),
            ("participants", "4 x 5,000 records"),
            ("rounds", "40, 8 observed"),
            ("judged on", "1,000 members, 1,000 non-members"),
        ],
        results=figures,
        threats=_threats(),
        utility=[
            parts.UtilityPoint(int(r), float(1 - np.exp(-r / 9)), 0.38 * float(1 - np.exp(-r / 6)))
            for r in ROUNDS
        ],
        rocs=[
            parts.RocTrace(*who, roc.fpr, roc.tpr, evaluation_result.auc.value, ATTACKS[who[1]][2])
            for who, evaluation_result in found.items()
            for roc in [curves.mean_roc(evaluation_result.cases)]
        ],
        histograms=[
            parts.ScoreHistogram(*who, h.edges, h.members, h.nonmembers, ATTACKS[who[1]][2])
            for who, evaluation_result in found.items()
            for h in [curves.score_histogram(evaluation_result.cases[0])]
        ],
        courses=[_course(adversary, power) for adversary, power in ADVERSARIES.items()],
        config_yaml="seed: 0\ndata: cifar100\nmodel: alexnet\n",
        provenance={"commit": "0123abc", "fedsim": "0.1.0", "torch": "2.14"},
        commands=["fedsim run configs/cifar100-alexnet-small.yaml --out runs/first"],
        cautions=["One federation was trained; the interval speaks of its records only."],
        compared=compared_rows({"first": figures}, against),
        by_class=[
            parts.ByClass(adversary, "supervised", curves.accuracy_by_class(case, ids, ids % 100))
            for adversary in ADVERSARIES
            for case in found[adversary, "supervised"].cases
            for ids in [case.joined.records]
        ],
        exposures=[
            *(_exposure(adversary, "scalar-logistic", alone=False) for adversary in ADVERSARIES),
            *(_exposure(adversary, "gradient-norm", alone=True) for adversary in ADVERSARIES),
        ],
        standing_out=[
            parts.ExposedSummary(
                *(adversary, "supervised", "participant 0's training data", 1000, 1000),
                found={"1 %": 388, "0.1 %": 90},
            )
            for adversary in ADVERSARIES
        ],
    )


@cache
def comparison() -> ComparisonData:
    """Return two runs beside each other, the second with other scores."""
    seeds = {"first": 0, "second": 1}
    found = {
        (run, *who): evaluation_result
        for run, seed in seeds.items()
        for who, evaluation_result in evaluation_results(seed).items()
    }
    against = differences(found, dict.fromkeys(seeds, "x"), seed=1, resamples=200)
    rows = compared_rows({run: results(seed) for run, seed in seeds.items()}, against)
    contenders = contenders_of(rows)
    course = report().utility
    return ComparisonData(
        runs=[
            ComparedRun(run, {"data": "CIFAR-100", "rounds": "40"}, results().utility, course)
            for run in seeds
        ],
        rows=rows,
        contenders=contenders,
        rocs=[
            parts.RocTrace(
                *(contenders[run, adversary], attack, roc.fpr, roc.tpr),
                evaluation_result.auc.value,
                ATTACKS[attack][2],
            )
            for (run, adversary, attack), evaluation_result in found.items()
            for roc in [curves.mean_roc(evaluation_result.cases)]
        ],
        settings=[("federation.local.learning_rate", ["0.02", "0.004"])],
    )


def _finding(who: str, whose: str, adversary: str) -> parts.AttackFigures:
    accuracy = evaluation_results()[adversary, "supervised"].accuracy
    return parts.AttackFigures(who, whose, accuracy.value, accuracy.low, accuracy.high)


def _threats() -> list[parts.ThreatSection]:
    knows = "1,000 members and 1,000 non-members"
    server = ThreatModel(
        adversary="curious-server",
        who="the server",
        sees="each participant's parameters after its local training, in the observed rounds",
        does="nothing: it follows the protocol",
        knows=knows,
    )
    participant = ThreatModel(
        adversary="curious-participant",
        who="participant 3",
        sees="the aggregate that the server sends, in the observed rounds",
        does="nothing: it follows the protocol",
        knows=knows,
    )
    return [
        parts.ThreatSection(server, "server", 4, (0,)),
        parts.ThreatSection(participant, "participant", 4, (0, 1, 2), participant=3),
    ]


def _exposure(adversary: str, attack: str, *, alone: bool) -> parts.AucByRound:
    auc = 0.95 - 0.4 * ADVERSARIES[adversary] * np.exp(-ROUNDS / 12)
    return parts.AucByRound(
        *(adversary, attack, ROUNDS.tolist()),
        auc=auc.tolist(),
        low=(auc - 0.02).tolist(),
        high=(auc + 0.02).tolist(),
        alone=alone,
    )


def _course(adversary: str, power: float) -> parts.SignalCourse:
    rng = np.random.default_rng(2)
    falling = np.exp(-ROUNDS / 12 * power)[:, None]
    norms = 8 * np.exp(0.8 * rng.normal(size=(len(ROUNDS), 1000)))
    return parts.SignalCourse(
        adversary,
        "gradient norm",
        ROUNDS,
        curves.quartiles(norms * falling),
        curves.quartiles(norms * np.sqrt(falling)),
    )
