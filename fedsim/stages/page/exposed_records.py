"""The most exposed members: how many, and on request which, with their images.

Only evaluation records are ever named, and only true members: the reader has the ledger anyway.
Records are sorted by how far their score lies above the threshold that was chosen on the known
records, mean over the attack's seeds.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fedsim.data import Dataset
from fedsim.data.arrays import IMAGE_AXES
from fedsim.evaluation.joined_scores import EvaluationCase
from fedsim.evaluation.metrics import TprAtFpr
from fedsim.report.data import ExposedRecord, ExposedSummary
from fedsim.stages.figures.evaluate import EvaluatedRun
from fedsim.stages.page.report_text import leading_attack, whose

_LARGEST_SIDE = 96
_CHANNELS = (1, 3)


@dataclass(frozen=True)
class ExposedRequest:
    """How many records of each adversary to show, and the data set."""

    records: int
    dataset: Dataset


def standing_out(evaluated: EvaluatedRun, asked: ExposedRequest | None) -> Iterator[ExposedSummary]:
    """Yield the most exposed records by the leading attack of each attacker, first victim only.

    Parameters
    ----------
    evaluated
        The evaluation results.
    asked
        None for counts alone.
    """
    for attacker in evaluated.attackers:
        query, attack = attacker.queries[0], leading_attack(attacker, evaluated)
        evaluation_result = evaluated.evaluation_results[attacker.label, query.key, attack]
        case = evaluation_result.cases[0]
        yield ExposedSummary(
            adversary=attacker.label,
            attack=attack,
            whose=whose(query, evaluated.experiment),
            members=case.joined.members,
            nonmembers=case.joined.nonmembers,
            found={
                metric.percent: round(
                    evaluation_result.figures[metric.name].value * case.joined.members
                )
                for metric in evaluation_result.metrics
                if isinstance(metric, TprAtFpr) and metric.name in evaluation_result.figures
            },
            records=[] if asked is None else list(_most_exposed(case, asked)),
        )


SHOWN_TARGETS = 8


def _most_exposed(case: EvaluationCase, asked: ExposedRequest) -> Iterator[ExposedRecord]:
    joined = case.joined
    above = (joined.scores - case.thresholds[:, None]).mean(axis=0)
    members = np.flatnonzero(joined.member)
    for place in members[np.argsort(-above[members], kind="stable")][: asked.records]:
        record = int(joined.records[place])
        yield ExposedRecord(
            record,
            _class_of(record, asked.dataset),
            as_high=int((above[~joined.member] >= above[place]).sum()),
            image=picture(np.asarray(asked.dataset.features[record])),
        )


def _class_of(record: int, dataset: Dataset) -> str:
    label = dataset.labels[record]
    if np.ndim(label) or label.dtype.kind == "f":  # no class: numbers, several labels, tokens
        return ", ".join(f"{value:g}" for value in np.ravel(label)[:SHOWN_TARGETS])
    return str(int(label)) if dataset.class_names is None else dataset.class_names[int(label)]


def picture(features: NDArray[np.generic]) -> bytes | None:
    """Return a record as a PNG, or None if it is no image.

    Parameters
    ----------
    features
        As stored; (1 or 3, height, width) is an image. Other types than uint8 are scaled from the
        record's smallest value to its largest.
    """
    if features.ndim != IMAGE_AXES - 1 or len(features) not in _CHANNELS:
        return None
    values = features.astype(np.float64)
    if features.dtype != np.uint8:
        values = 255 * (values - values.min()) / (float(np.ptp(values)) or 1.0)
    pixels = values.round().astype(np.uint8).transpose(1, 2, 0)
    image = Image.fromarray(pixels[..., 0] if len(features) == 1 else pixels)
    image.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return stream.getvalue()
