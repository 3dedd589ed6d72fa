"""The arrays that a data source returns, which are checked once, when they are made."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedsim.data.targets import checked_targets
from fedsim.errors import DataError

IMAGE_AXES = 4
ROWS_A_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class Arrays:
    """All records of a data set as a source returns them, and how features become tensors.

    Parameters
    ----------
    features
        Shape (N, ...). uint8, bool and float types (stored as float32) become float32 tensors. All
        other integers, such as token ids, stay integers (int64 tensors); the source pads them.
        Images have four axes and are channels first, (N, channels, height, width); uint8 images are
        scaled to 0..1.
    labels
        They depend on `objective`. Classification: shape (N,), integers or texts; values other than
        0..C-1 are mapped to these. Regression: numbers of shape (N,) or (N, k). Multilabel: 0 and 1
        of shape (N, k). Next-token: token ids of shape (N, T), and -100 at positions without a
        prediction.
    test
        Shape (N,), bool: the records of the source's own test split. None if it has no split.
    mean, std
        One number per channel (axis 1), in the units of the tensors (0..1 for uint8 images);
        tensors are then (x - mean) / std.
    num_classes
        The number of a model's outputs. It is needed if some class may be absent from `labels`, or
        some token of the vocabulary from the records. None counts: the classes that occur, the
        values or labels per record, or the largest token plus one.
    class_names
        One name per class.
    groups
        Shape (N,), integers or texts: the user of each record. Stored as numbers 0..G-1 with
        `group_names`.
    objective
        The name of the objective that the labels are for; None is classification.
    label_values
        Set by this class if labels were mapped: the source's names of classes 0, 1, ...
    group_names
        Set by this class: the source's names of groups 0, 1, ...

    Raises
    ------
    DataError
        If an argument does not fit this description, or a feature is not finite.

    Examples
    --------
    >>> arrays = Arrays(np.eye(3), np.array(["no", "yes", "no"]), groups=np.array([7, 7, 9]))
    >>> arrays.labels, arrays.class_names, arrays.group_names
    (array([0, 1, 0]), ('no', 'yes'), ('7', '9'))
    """

    features: NDArray[np.generic]
    labels: NDArray[Any]
    test: NDArray[np.bool_] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None
    groups: NDArray[Any] | None = None
    objective: str | None = None
    label_values: tuple[int | str, ...] | None = None
    group_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        features = _checked_features(self.features)
        object.__setattr__(self, "features", features)
        if self.objective is not None and not isinstance(self.objective, str):
            raise DataError(f"objective must be the name of one, not {self.objective!r}")
        targets = checked_targets(
            self.labels,
            objective=self.objective,
            outputs=self._stated_outputs(),
            tokens=features if is_integer(features) else None,
        )
        object.__setattr__(self, "labels", targets.labels)
        object.__setattr__(self, "num_classes", targets.outputs)
        if len(self.labels) != len(features):
            raise DataError(f"there are {len(features)} rows of features but {len(self)} labels")
        if self.test is not None:
            _check_test(self.test, len(self))
        _check_normalisation(self.mean, self.std, features)
        if targets.values is not None:
            object.__setattr__(self, "label_values", targets.values)
            if self.class_names is None and targets.outputs == len(targets.values):
                object.__setattr__(self, "class_names", tuple(map(str, targets.values)))
        if self.class_names is not None:
            _check_names(self.class_names, targets.outputs)
        if self.groups is not None:
            groups, names = _checked_groups(self.groups, self.group_names, len(self))
            object.__setattr__(self, "groups", groups)
            object.__setattr__(self, "group_names", names)

    def __len__(self) -> int:
        """Return N, the number of records."""
        return len(self.labels)

    def _stated_outputs(self) -> int | None:
        """Return the number of outputs that the source states, directly or by class names."""
        names, labels = self.class_names, self.labels
        if self.num_classes is not None or not isinstance(names, tuple | list):
            return self.num_classes
        if self.objective in (None, "classification") and isinstance(labels, np.ndarray):
            numbers = labels.size and labels.dtype.kind in "iu"
            if numbers and labels.min() >= 0 and labels.max() < len(names):
                return len(names)
        return None


def is_integer(features: NDArray[Any]) -> bool:
    """Return whether features stay integers: all integer types except uint8, used for pixels."""
    return features.dtype.kind in "iu" and features.dtype != np.uint8


def _checked_features(features: NDArray[np.generic]) -> NDArray[np.generic]:
    if not isinstance(features, np.ndarray):
        raise DataError(f"features must be a numpy array, not {type(features).__name__}")
    if features.ndim < 2 or features.size == 0:
        raise DataError(
            f"features must have at least one row and two axes, not the shape {features.shape}"
        )
    if features.dtype.kind == "f":
        with np.errstate(over="ignore"):  # values beyond float32 become infinite; checked below
            features = features.astype(np.float32, copy=False)
        _check_finite(features)
    elif features.dtype.kind not in "iub" or features.dtype == np.uint64:
        raise DataError(
            f"features must be uint8, bool, float or integers up to 64 bits, not {features.dtype}"
        )
    shape = features.shape
    if features.ndim == IMAGE_AXES and shape[3] in (1, 3) and shape[1] not in (1, 3):
        raise DataError(
            f"images must be channels first, (N, channels, height, width), not {shape}: "
            "features.transpose(0, 3, 1, 2) makes them so"
        )
    return features


def _check_finite(features: NDArray[np.generic]) -> None:
    for start in range(0, len(features), ROWS_A_CHUNK):
        chunk = features[start : start + ROWS_A_CHUNK]
        if np.isfinite(chunk).all():
            continue
        row, *place = (int(index) for index in np.argwhere(~np.isfinite(chunk))[0])
        column = place[0] if len(place) == 1 else tuple(place)
        raise DataError(
            f"features hold {chunk[(row, *place)]} in row {start + row}, column {column}; every "
            "value must be finite, not NaN or infinite"
        )


def _checked_groups(
    groups: NDArray[Any], names: tuple[str, ...] | None, records: int
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the number of each record's group, and the groups' names."""
    if not isinstance(groups, np.ndarray) or groups.shape != (records,):
        shown = groups.shape if isinstance(groups, np.ndarray) else type(groups).__name__
        raise DataError(f"groups must be {records} user ids, one per record, not {shown}")
    if groups.dtype.kind == "O" and all(isinstance(group, str) for group in groups):
        groups = groups.astype(str)
    if groups.dtype.kind not in "iuU":
        raise DataError(f"groups must be integers or texts, not {groups.dtype}")
    found, codes = np.unique(groups, return_inverse=True)
    if names is not None:  # groups from the cache are numbers already
        if not isinstance(names, tuple | list) or not np.array_equal(found, range(len(names))):
            raise DataError("group_names must name the groups 0..G-1, each of which occurs")
        return groups.astype(np.int64), tuple(map(str, names))
    return codes.reshape(-1).astype(np.int64), tuple(map(str, found))


def _check_test(test: NDArray[np.bool_], records: int) -> None:
    if not isinstance(test, np.ndarray) or test.dtype != np.bool_ or test.shape != (records,):
        raise DataError(f"the test mask must be {records} bools, one per record")
    if test.all() or not test.any():
        raise DataError("the test mask must leave records on both sides, training pool and test")


def _check_normalisation(
    mean: tuple[float, ...] | None, std: tuple[float, ...] | None, features: NDArray[Any]
) -> None:
    if mean is None and std is None:
        return
    if is_integer(features):
        raise DataError(
            f"mean and std are for uint8, bool and float features; {features.dtype} stays integers"
        )
    shape = features.shape
    if not all(_are_numbers(numbers, shape[1]) for numbers in (mean, std)):
        raise DataError(f"mean and std must both be given, {shape[1]} numbers each (axis 1)")
    scale, shift = np.asarray(std, np.float64), np.asarray(mean, np.float64)
    if not np.isfinite(shift).all() or not np.isfinite(scale).all() or scale.min() <= 0:
        raise DataError("mean and std must be finite, and every std above 0")


def _are_numbers(values: object, count: int) -> bool:
    return (
        isinstance(values, Sequence)
        and len(values) == count
        and all(isinstance(value, int | float | np.number) for value in values)
    )


def _check_names(names: tuple[str, ...], classes: int) -> None:
    if not isinstance(names, tuple | list) or not all(isinstance(name, str) for name in names):
        raise DataError("class_names must be a tuple of texts, one per class")
    if len(names) != classes:
        raise DataError(f"there are {len(names)} class names for {classes} classes")
