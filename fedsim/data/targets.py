"""Checking labels by objective, and mapping a source's values to classes 0..C-1.

A source names the objective that its labels are for (`Arrays.objective`; none means
classification). There are rules for each objective of fedsim; labels for a user's own objective
are checked for what every objective needs: finite numbers, one row per record.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedsim.errors import DataError

MOST_CLASSES = 1_000_000
IGNORED = -100
"""The next-token label of a position that is ignored, as in `torch.nn.CrossEntropyLoss`."""
SHOWN = 5


@dataclass(frozen=True, eq=False)
class Targets:
    """Labels in the form that the rest of fedsim uses.

    Attributes
    ----------
    labels
        Shape (N,) or (N, k): int64, or float32 for regression and multilabel.
    outputs
        The number of a model's outputs: classes, regressed values, or tokens of the vocabulary.
    values
        The source's names of classes 0..C-1; None if they are these numbers.
    """

    labels: NDArray[Any]
    outputs: int
    values: tuple[int | str, ...] | None = None


def checked_targets(
    labels: object, *, objective: str | None, outputs: int | None, tokens: NDArray[Any] | None
) -> Targets:
    """Check `labels`, and convert them to the form that an objective needs.

    Parameters
    ----------
    labels
        The source's labels.
    objective
        The name of the objective; None is classification.
    outputs
        The number of outputs that the source states; None counts them.
    tokens
        Integer features, whose largest token counts for the vocabulary of ``next-token``.

    Raises
    ------
    DataError
        If the labels do not fit the objective.
    """
    if outputs is not None and (
        isinstance(outputs, bool) or not isinstance(outputs, int) or outputs > MOST_CLASSES
    ):
        raise DataError(
            f"the number of classes is {outputs!r}; valid: a whole number up to {MOST_CLASSES:,}"
        )
    if isinstance(labels, np.ndarray) and labels.size == 0:
        raise DataError("labels are empty; a data set needs at least one record")
    rule = RULES.get(objective or "classification", _of_users_own)
    return rule(labels, outputs, tokens)


def _of_classification(labels: object, outputs: int | None, tokens: object) -> Targets:
    if isinstance(labels, np.ndarray) and labels.ndim == 1 and _holds_texts(labels):
        values, codes = np.unique(labels.astype(str), return_inverse=True)
        return _mapped(codes, tuple(map(str, values)), outputs)
    if not isinstance(labels, np.ndarray) or labels.ndim != 1 or labels.dtype.kind not in "iub":
        raise DataError(
            f"labels must be a numpy array of integers or texts with one axis, not {_kind(labels)}"
            "; labels that are no classes need an objective (regression, multilabel, next-token)"
        )
    lowest, highest = int(labels.min()), int(labels.max())
    if outputs is None:
        values, codes = np.unique(labels, return_inverse=True)
        if lowest != 0 or highest != len(values) - 1:
            return _mapped(codes, tuple(int(value) for value in values), None)
    classes = highest + 1 if outputs is None else outputs
    if classes > MOST_CLASSES:
        raise DataError(f"there are {classes:,} classes; valid: up to {MOST_CLASSES:,}")
    if lowest < 0 or highest >= classes:
        raise DataError(
            f"labels run from {lowest} to {highest}; valid for {classes} classes: 0..{classes - 1}"
        )
    return Targets(labels.astype(np.int64, copy=False), classes)


def _holds_texts(labels: NDArray[Any]) -> bool:
    if labels.dtype.kind == "O":
        return all(isinstance(label, str) for label in labels)
    return labels.dtype.kind == "U"


def _mapped(codes: NDArray[np.intp], values: tuple[int | str, ...], outputs: int | None) -> Targets:
    if len(values) > (MOST_CLASSES if outputs is None else outputs):
        raise DataError(
            f"labels hold {len(values):,} different values; valid: up to "
            f"{MOST_CLASSES if outputs is None else outputs:,}"
        )
    classes = len(values) if outputs is None else outputs
    return Targets(codes.reshape(-1).astype(np.int64), classes, values)


def _of_regression(labels: object, outputs: int | None, tokens: object) -> Targets:
    if not isinstance(labels, np.ndarray) or labels.ndim > 2 or labels.dtype.kind not in "iuf":
        raise DataError(
            f"labels of regression must be numbers of shape (N,) or (N, k), not {_kind(labels)}"
        )
    width = 1 if labels.ndim == 1 else labels.shape[1]
    return Targets(_finite(labels), _stated(width, outputs, "values per record"))


def _of_multilabel(labels: object, outputs: int | None, tokens: object) -> Targets:
    if not isinstance(labels, np.ndarray) or labels.ndim != 2 or labels.dtype.kind not in "iufb":
        raise DataError(
            f"labels of multilabel must be 0 and 1 of shape (N, k), not {_kind(labels)}"
        )
    if not np.isin(labels, (0, 1)).all():
        raise DataError("labels of multilabel must be 0 and 1 only")
    return Targets(
        labels.astype(np.float32), _stated(labels.shape[1], outputs, "labels per record")
    )


def _of_next_token(labels: object, outputs: int | None, tokens: NDArray[Any] | None) -> Targets:
    if not isinstance(labels, np.ndarray) or labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise DataError(
            "labels of next-token must be the token ids that follow, integers of shape (N, T), "
            f"not {_kind(labels)}"
        )
    labels = labels.astype(np.int64, copy=False)
    counted = labels != IGNORED
    silent = np.flatnonzero(~counted.reshape(len(labels), -1).any(1))
    if silent.size:
        raise DataError(
            f"record {silent[0]} has no token to predict (every label is {IGNORED}, which is "
            "ignored); leave such records out"
        )
    highest = int(labels.max())
    if tokens is not None and tokens.size:
        highest = max(highest, int(tokens.max()))
    size = highest + 1 if outputs is None else outputs
    lowest = int(labels.min(where=counted, initial=highest))
    if size > MOST_CLASSES or lowest < 0 or highest >= size:
        raise DataError(
            f"tokens run from {lowest} to {highest}; valid for a vocabulary of {size:,}: "
            f"0..{min(size, MOST_CLASSES) - 1}, or {IGNORED} where nothing is to be predicted"
        )
    return Targets(labels, size)


def _of_users_own(labels: object, outputs: int | None, tokens: object) -> Targets:
    if not isinstance(labels, np.ndarray) or labels.ndim < 1 or labels.dtype.kind not in "iufb":
        raise DataError(f"labels must be numbers, a row per record, not {_kind(labels)}")
    if labels.dtype.kind != "f":
        labels = labels.astype(np.int64, copy=False)
        few = int(labels.max()) + 1 if labels.ndim == 1 else labels.shape[1]
        return Targets(labels, few if outputs is None else outputs)
    width = 1 if labels.ndim == 1 else labels.shape[1]
    return Targets(_finite(labels), width if outputs is None else outputs)


RULES: Mapping[str, Callable[[object, int | None, NDArray[Any] | None], Targets]] = {
    "classification": _of_classification,
    "multilabel": _of_multilabel,
    "regression": _of_regression,
    "next-token": _of_next_token,
}


def _finite(labels: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # values beyond float32 become infinite; checked below
        numbers = labels.astype(np.float32, copy=False)
    wrong = np.argwhere(~np.isfinite(numbers))
    if wrong.size:
        value = numbers[tuple(wrong[0])]
        raise DataError(
            f"the label of row {wrong[0][0]} is {value}; every label must be finite, not NaN or "
            "infinite"
        )
    return numbers


def _stated(found: int, stated: int | None, what: str) -> int:
    if stated is not None and stated != found:
        raise DataError(f"labels have {found} {what}, but num_classes says {stated}")
    if not 0 < found <= MOST_CLASSES:
        raise DataError(f"labels have {found} {what}; valid: 1 to {MOST_CLASSES:,}")
    return found


def _kind(labels: object) -> str:
    if isinstance(labels, np.ndarray):
        return f"{labels.dtype} of shape {labels.shape}"
    return type(labels).__name__


def mapping_sentence(values: tuple[int | str, ...], records: int) -> str:
    """Return the sentence that reports the mapping of labels to classes.

    >>> mapping_sentence(("cat", "dog"), records=100)
    'labels cat, dog are classes 0 to 1'
    """
    shown = ", ".join(map(str, values[:SHOWN]))
    more = f", ... ({len(values):,} values, in order)" if len(values) > SHOWN else ""
    sentence = f"labels {shown}{more} are classes 0 to {len(values) - 1}"
    if 2 * len(values) > records:
        sentence += f", of {records:,} records; if they are quantities, set objective: regression"
    return sentence
