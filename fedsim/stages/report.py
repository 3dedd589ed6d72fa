"""The third stage: evaluate the scores, write the figures and the page.

Reads the experiment, the ledger, the history, scores, exposure and traces; writes ``results.json``
and ``report.html``. The user's plugins are not needed. The data are needed only to show exposed
records on request.
"""

from collections.abc import Iterable, Mapping, Sequence

from fedsim.config.choice import HONEST
from fedsim.files import read_json, write_text
from fedsim.finding import OwnedFinding, read_findings
from fedsim.report.comparison_rows import compared_rows, differences
from fedsim.report.data import ReportData
from fedsim.report.guarantees import GuaranteeFigures
from fedsim.report.page import render
from fedsim.report.result_rows import metric_infos, result_row
from fedsim.report.result_schema import DifferenceFigure, ResultRow
from fedsim.report.results import MEAN, Results
from fedsim.report.results_file import write_results
from fedsim.report.unseen_victims import UnseenVictims
from fedsim.rundir import RunDirectory
from fedsim.stages.figures.canary_findings import canary_finding
from fedsim.stages.figures.carried_over_figures import with_carried_over_figures
from fedsim.stages.figures.ceilings import ceiling_of, read_guarantees, refutation
from fedsim.stages.figures.evaluate import EvaluatedRun, evaluate_run
from fedsim.stages.figures.federation_seeds import seeds_finding
from fedsim.stages.figures.label_baseline import (
    gain_over_label,
    label_attack,
    label_separates_members,
)
from fedsim.stages.figures.null_check import null_finding
from fedsim.stages.figures.participant_epsilon import participant_findings
from fedsim.stages.figures.utility import (
    cost_of,
    final_utility,
    read_history,
    traffic_of,
    utility_points,
)
from fedsim.stages.page import report_charts, report_text
from fedsim.stages.page.exposed_records import ExposedRequest, standing_out
from fedsim.stages.page.rerun_commands import rerun_commands
from fedsim.stages.page.threat_sections import placed, threat_in_words
from fedsim.stages.preparation.federations import federations_of
from fedsim.stages.preparation.plan import stated_threats
from fedsim.stages.simulation.history import HistoryFile


def report(run: RunDirectory, asked: ExposedRequest | None = None) -> Results:
    """Write ``results.json`` and ``report.html`` of a run, and return the results.

    Parameters
    ----------
    run
        The run.
    asked
        How many of the most exposed records the page shows; None shows none.

    Raises
    ------
    FedsimError
        If the run was not attacked yet, or its files are damaged.
    """
    evaluated = evaluate_run(run)
    # The first is the honest one, where there is one.
    history = read_history(run, federations_of(evaluated.attackers)[0].name)
    results = _results(run, evaluated, history)
    page = render(_page(run, evaluated, history, results, asked))
    # Both are computed before either is written, so that the two files have the same scores.
    write_results(run.results, results)
    write_text(run.report, page)
    return results


def _results(run: RunDirectory, evaluated: EvaluatedRun, history: HistoryFile) -> Results:
    threats = stated_threats(evaluated.attackers, evaluated.experiment, evaluated.learns_from)
    federations = federations_of(evaluated.attackers)
    honest = history if federations[0].name == HONEST else None
    results = Results(
        name=run.path.resolve().name,
        metrics=metric_infos(evaluated.metrics),
        utility_figure=history.figure,
        utility=final_utility(history),
        results=tuple(_rows(evaluated, read_guarantees(run))),
        unseen=tuple(_unseen(evaluated)),
        guarantees=read_guarantees(run),
        traffic=traffic_of(history),
        threat_models=tuple(threat_in_words(one, evaluated.experiment) for one in threats),
        costs=tuple(cost_of(run, f, honest) for f in federations if f.name != HONEST),
        findings=tuple(_findings(run, evaluated)),
        provenance={"seed": evaluated.experiment.seed, **flat_provenance(run)},
    )
    results = with_carried_over_figures(results, run, evaluated.missing)
    found = tuple(seeds_finding(evaluated.experiment, run, results))
    return results.model_copy(update={"findings": (*results.findings, *found)})


def _unseen(evaluated: EvaluatedRun) -> Iterable[UnseenVictims]:
    """Yield what each attacker has not seen in any observed round."""
    for attacker in (*evaluated.attackers, *evaluated.unseeing):
        if keys := tuple(query.key for query in attacker.left_out):
            yield UnseenVictims(
                adversary=attacker.label, victims=keys, none_seen=attacker in evaluated.unseeing
            )


def _findings(run: RunDirectory, evaluated: EvaluatedRun) -> Iterable[OwnedFinding]:
    for federation in federations_of(evaluated.attackers):
        yield from read_findings(run.adversary_findings(federation.name))
        for number in sorted({one.participant for one in federation.participants}):
            yield from read_findings(run.participant_findings(federation.name, number))
    for place in evaluated.evaluation_results:
        yield from read_findings(run.attack_findings(*place))
    if evaluated.experiment.audit.null:
        yield null_finding(evaluated)
    if evaluated.experiment.audit.canaries:
        yield canary_finding(run, evaluated, read_guarantees(run))
    if evaluated.experiment.audit.canary_participants:
        names = [federation.name for federation in federations_of(evaluated.attackers)]
        rounds = evaluated.experiment.federation.rounds
        yield from participant_findings(run, names, rounds, read_guarantees(run))


def _rows(evaluated: EvaluatedRun, guarantees: Sequence[GuaranteeFigures]) -> Iterable[ResultRow]:
    attackers = {attacker.label: attacker for attacker in evaluated.attackers}
    for (adversary, attack), mean in evaluated.means.items():
        baseline = attack in evaluated.baselines
        gain = _over_label(evaluated, adversary, attack)
        attacker = attackers[adversary]
        ceiling = ceiling_of(attacker, attacker.queries, guarantees, evaluated.experiment)
        yield result_row(
            *(adversary, attack, MEAN, mean), baseline=baseline, over_label=gain, ceiling=ceiling
        )
        for (who, key, what), evaluation_result in evaluated.evaluation_results.items():
            if (who, what) == (adversary, attack):
                asked = [query for query in attacker.queries if query.key == key]
                ceiling = ceiling_of(attacker, asked, guarantees, evaluated.experiment)
                yield result_row(
                    *(adversary, attack, key, evaluation_result),
                    baseline=baseline,
                    ceiling=ceiling,
                    refutes=refutation(evaluation_result, ceiling, adversary, attack),
                )


def _over_label(
    evaluated: EvaluatedRun, adversary: str, attack: str
) -> dict[str, DifferenceFigure] | None:
    label = label_attack(evaluated.experiment, {one: None for _, one in evaluated.means})
    if label is None or attack == label:
        return None
    reference = evaluated.means[adversary, label]
    if not label_separates_members(reference):
        return None
    return gain_over_label(reference, evaluated.means[adversary, attack], evaluated.experiment.seed)


def _page(
    run: RunDirectory,
    evaluated: EvaluatedRun,
    history: HistoryFile,
    results: Results,
    asked: ExposedRequest | None,
) -> ReportData:
    experiment, name, made_by = evaluated.experiment, results.name, _provenance(run)
    evaluation_results = {
        (name, *key): evaluation_result for key, evaluation_result in evaluated.means.items()
    }
    paired = differences(evaluation_results, {name: name}, seed=experiment.seed)
    threats = stated_threats(evaluated.attackers, experiment, evaluated.learns_from)
    return ReportData(
        name=name,
        findings=report_text.findings(evaluated),
        facts=[
            *report_text.facts(experiment, evaluated.ledger),
            *report_text.rounds_seen(run, evaluated),
        ],
        results=report_text.shown_results(results, experiment),
        threats=[
            placed(attacker, stated, experiment)
            for attacker, stated in zip(evaluated.attackers, threats, strict=True)
        ],
        utility=utility_points(history),
        rocs=report_charts.rocs(evaluated),
        ceilings=report_charts.ceilings(results),
        histograms=report_charts.histograms(evaluated),
        courses=report_charts.courses(run, evaluated),
        config_yaml=run.experiment.read_text(encoding="utf-8"),
        provenance=_made_by(made_by),
        commands=rerun_commands(run.path, experiment, made_by),
        cautions=report_text.cautions(run, evaluated),
        compared=compared_rows({name: results}, paired),
        by_class=report_charts.by_class(evaluated),
        exposures=report_charts.exposures(run, evaluated),
        standing_out=list(standing_out(evaluated, asked)),
        utility_of=report_text.utility_of(evaluated),
        given=experiment.given is not None,
    )


def _provenance(run: RunDirectory) -> Mapping[str, object]:
    try:
        found = read_json(run.provenance)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _made_by(found: Mapping[str, object]) -> dict[str, str]:
    """Return the provenance for the page, without the folders of the machine."""
    named = {"commit": found.get("commit")}
    for group in ("versions", "machine"):
        part = found.get(group)
        named |= part if isinstance(part, dict) else {}
    return {str(name): str(value) for name, value in named.items() if value is not None}


def flat_provenance(run: RunDirectory) -> dict[str, str | int | float | bool | None]:
    """Return the provenance of a run as flat names and values, for the results file."""
    found = _provenance(run)
    versions = found.get("versions")
    named = versions if isinstance(versions, dict) else {}
    message: dict[str, str | int | float | bool | None] = {"commit": str(found.get("commit"))}
    for name, version in named.items():
        message[f"{name} version"] = None if version is None else str(version)
    return message
