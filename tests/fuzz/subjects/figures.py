"""Figures that a run leaves in JSON: results, histories, malicious updates, provenance."""

import json
from pathlib import Path
from typing import Any

from fedsim.finding import OwnedFinding, read_findings
from fedsim.progress_sinks.tensorboard import Scalars
from fedsim.report.finding_tables import finding_parts
from fedsim.report.result_schema import MetricFigure, MetricInfo, ResultRow
from fedsim.report.results import Results
from fedsim.report.results_file import read_results
from fedsim.report.results_v1 import IntervalsV1, ResultsV1, RowV1
from fedsim.rundir import RunDirectory
from fedsim.rundir.provenance import recorded_data_dir
from fedsim.stages.report import flat_provenance
from fedsim.stages.simulation.checkpointing import read_taken_over
from fedsim.stages.simulation.history import read_history_file, read_malicious_updates
from fuzz.corpus import Corpus
from fuzz.harness import Subject
from fuzz.mutators import texts


class Nowhere:
    """A writer of scalars that writes nothing."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Take what TensorBoard would take."""
        float(scalar_value), int(global_step)

    def close(self) -> None:
        """Do nothing."""


def _tree(path: Path) -> Any:
    return json.loads(path.read_text())


def results(corpus: Corpus) -> Subject:
    """Results, as `compare` and studies read them."""
    tree = _tree(corpus.run / "results.json")
    models = (Results, ResultRow, MetricFigure, MetricInfo)
    return _results("results", corpus, tree, [key for one in models for key in one.model_fields])


def old_results(corpus: Corpus) -> Subject:
    """Results of schema 1, as `compare` and studies read them."""
    models = (ResultsV1, RowV1, IntervalsV1)
    keys = [key for one in models for key in one.model_fields]
    return _results("results of schema 1", corpus, as_schema_1(corpus.run / "results.json"), keys)


def as_schema_1(path: Path) -> Any:
    """Return results as version 1 wrote them."""
    tree, intervals = _tree(path), ("low", "high", "method")
    rows = []
    for row in tree["results"]:
        figures = row["figures"]
        tprs = {name[4:]: one for name, one in figures.items() if name.startswith("tpr@")}
        rows.append(
            {key: row[key] for key in ("adversary", "attack", "victim", "members", "nonmembers")}
            | {"accuracy": figures["accuracy"]["value"], "auc": figures["auc"]["value"]}
            | {"tpr_at_fpr": {rate: one["value"] for rate, one in tprs.items()}}
            | {"false_positives": {rate: one["false_positives"] for rate, one in tprs.items()}}
            | {"refused_fprs": {name[4:]: why for name, why in row["refused"].items()}}
            | {
                "interval": {
                    "accuracy": {key: figures["accuracy"][key] for key in intervals},
                    "auc": {key: figures["auc"][key] for key in intervals},
                    "tpr_at_fpr": {
                        rate: {key: one[key] for key in intervals} for rate, one in tprs.items()
                    },
                }
            }
        )
    same = ("name", "utility", "threat_models", "costs", "provenance")
    return {"schema": 1, "results": rows} | {key: tree[key] for key in same}


def _results(name: str, corpus: Corpus, tree: Any, keys: list[str]) -> Subject:
    path = corpus.folder / "results.json"

    def read(broken: bytes, folder: Path) -> None:
        path.write_bytes(broken)
        read_results(path).summary()

    names = (*keys, "schema")
    return Subject(name, lambda random: texts.as_json(tree, random, names), read)


def histories(corpus: Corpus) -> Subject:
    """Histories, as the report, the resume and TensorBoard read them."""
    tree = _tree(corpus.run / "federations" / "honest" / "history.json")
    run = RunDirectory(corpus.folder / "history")
    path = run.history("honest")
    path.parent.mkdir(parents=True, exist_ok=True)
    keys = (*tree, *tree["rounds"][0])

    def read(broken: bytes, folder: Path) -> None:
        path.write_bytes(broken)
        assert read_taken_over(path) >= 0
        Scalars(Nowhere(), run).look()
        for figures in read_history_file(path).rounds:
            found = figures.of("test_accuracy")
            assert found is None or 0 <= found <= 1

    return Subject("history", lambda random: texts.as_json(tree, random, keys), read)


def malicious_updates(corpus: Corpus) -> Subject:
    """Distances of malicious messages from honest ones."""
    tree = {
        "schema": 1,
        "messages": [{"round": 3, "participant": 0, "norm_ratio": 0.5, "cosine": 0.25}] * 3,
    }
    path = corpus.folder / "malicious_updates.json"

    def read(broken: bytes, folder: Path) -> None:
        path.write_bytes(broken)
        assert all(abs(one.cosine) <= 1.001 for one in read_malicious_updates(path).messages)

    keys = (*tree, "round")
    return Subject("malicious updates", lambda random: texts.as_json(tree, random, keys), read)


def findings(corpus: Corpus) -> Subject:
    """What adversaries and attacks report themselves."""
    one = {"title": "t", "figures": {"n": 1.5}, "columns": ["a"], "rows": [[1], ["x"], [None]]}
    tree = [one | {"adversary": "server", "attack": "loss", "victim": "mean"}] * 2
    path = corpus.folder / "findings.json"

    def read(broken: bytes, folder: Path) -> None:
        path.write_bytes(broken)
        for part in finding_parts(read_findings(path), 80):
            assert part is not None

    keys = tuple(OwnedFinding.model_fields)
    return Subject("findings", lambda random: texts.as_json(tree, random, keys), read)


def provenances(corpus: Corpus) -> Subject:
    """What a run was made with."""
    run = RunDirectory(corpus.folder / "provenance")
    run.path.mkdir(exist_ok=True)
    tree = _tree(corpus.run / "provenance.json")

    def read(broken: bytes, folder: Path) -> None:
        run.provenance.write_bytes(broken)
        recorded_data_dir(run.provenance)
        Results.model_validate(
            {
                "schema": 2,
                "metrics": {},
                "utility": {"train_accuracy": 1.0, "test_accuracy": None},
                "results": (),
                "provenance": flat_provenance(run),
            }
        )

    return Subject("provenance", lambda random: texts.as_json(tree, random, (*tree,)), read)


READERS = {
    "results": results,
    "old results": old_results,
    "history": histories,
    "malicious updates": malicious_updates,
    "findings": findings,
    "provenance": provenances,
}
