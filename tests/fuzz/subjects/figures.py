"""Figures that a run leaves in JSON: results, histories, crafted messages, provenance."""

import json
from pathlib import Path
from typing import Any

from fedsim.progress_sinks.tensorboard import Scalars
from fedsim.provenance import recorded_data_dir
from fedsim.report.results import Result, Results, read_results
from fedsim.rundir import RunDirectory
from fedsim.stages.checkpointing import read_taken_over
from fedsim.stages.history import read_crafted, read_history_file
from fedsim.stages.report import flat_provenance
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
    path, tree = corpus.folder / "results.json", _tree(corpus.run / "results.json")
    keys = (*Results.model_fields, *Result.model_fields, "schema")

    def read(broken: bytes, folder: Path) -> None:
        path.write_bytes(broken)
        read_results(path).summary()

    return Subject("results", lambda random: texts.as_json(tree, random, keys), read)


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
            assert figures.test_accuracy is None or 0 <= figures.test_accuracy <= 1

    return Subject("history", lambda random: texts.as_json(tree, random, keys), read)


def crafted(corpus: Corpus) -> Subject:
    """How far crafted messages lie from honest ones."""
    tree = {
        "schema": 1,
        "messages": [{"round": 3, "participant": 0, "norm_ratio": 0.5, "cosine": 0.25}] * 3,
    }
    path = corpus.folder / "crafted.json"

    def read(broken: bytes, folder: Path) -> None:
        path.write_bytes(broken)
        assert all(abs(one.cosine) <= 1.001 for one in read_crafted(path))

    return Subject("crafted", lambda random: texts.as_json(tree, random, (*tree, "round")), read)


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
                "schema": 1,
                "utility": {"train_accuracy": 1.0, "test_accuracy": 1.0},
                "results": (),
                "provenance": flat_provenance(run),
            }
        )

    return Subject("provenance", lambda random: texts.as_json(tree, random, (*tree,)), read)


READERS = {
    "results": results,
    "history": histories,
    "crafted": crafted,
    "provenance": provenances,
}
