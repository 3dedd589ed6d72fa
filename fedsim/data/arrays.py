"""What a data source returns, checked once so that nobody after it has to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedsim.errors import DataError

IMAGE_AXES = 4
ROWS_A_CHUNK = 4096
MOST_CLASSES = 1_000_000


@dataclass(frozen=True, eq=False)
class Arrays:
    """What a source returns: every record of a data set, and how its features become tensors.

    Parameters
    ----------
    features
        Shape (N, ...); uint8, bool or a float type (kept as float32). Images have four axes and
        are channels first, (N, channels, height, width); uint8 images are read as 0..1.
    labels
        Shape (N,); integers 0..C-1 (kept as int64).
    test
        Shape (N,), bool: which records are the source's own test split. None if it has none.
    mean, std
        One number a channel (axis 1), in the units that the tensors have (so 0..1 for uint8
        images); tensors are then (x - mean) / std.
    num_classes
        C, if some class may be absent from `labels`; otherwise the largest label plus one.
    class_names
        One name a class.

    Raises
    ------
    DataError
        If any of this does not hold, or a feature is not finite.
    """

    features: NDArray[np.generic]
    labels: NDArray[np.int64]
    test: NDArray[np.bool_] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", _checked_features(self.features))
        labels, classes = _checked_labels(self.labels, self.num_classes)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "num_classes", classes)
        if len(labels) != len(self.features):
            raise DataError(
                f"there are {len(self.features)} rows of features but {len(labels)} labels"
            )
        if self.test is not None:
            _check_test(self.test, len(labels))
        _check_normalisation(self.mean, self.std, self.features.shape)
        if self.class_names is not None:
            _check_names(self.class_names, classes)


def _checked_features(features: NDArray[np.generic]) -> NDArray[np.generic]:
    if not isinstance(features, np.ndarray):
        raise DataError(f"features must be a numpy array, not {type(features).__name__}")
    if features.ndim < 2 or features.size == 0:
        raise DataError(
            f"features must have at least one row and two axes, not the shape {features.shape}"
        )
    if features.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, seen below
            features = features.astype(np.float32, copy=False)
        for start in range(0, len(features), ROWS_A_CHUNK):
            if not np.isfinite(features[start : start + ROWS_A_CHUNK]).all():
                raise DataError("features hold NaN or infinite values; every value must be finite")
    elif features.dtype not in (np.uint8, np.bool_):
        raise DataError(f"features must be uint8, bool or float, not {features.dtype}")
    shape = features.shape
    if features.ndim == IMAGE_AXES and shape[3] in (1, 3) and shape[1] not in (1, 3):
        raise DataError(
            f"images must be channels first, (N, channels, height, width), not {shape}: "
            "features.transpose(0, 3, 1, 2) makes them so"
        )
    return features


def _checked_labels(
    labels: NDArray[np.int64], num_classes: int | None
) -> tuple[NDArray[np.int64], int]:
    if not isinstance(labels, np.ndarray) or labels.ndim != 1 or labels.dtype.kind not in "iu":
        found = (
            f"{labels.dtype} of shape {labels.shape}"
            if isinstance(labels, np.ndarray)
            else type(labels).__name__
        )
        raise DataError(f"labels must be a numpy array of integers with one axis, not {found}")
    if labels.size == 0:
        raise DataError("labels are empty; a data set needs at least one record")
    lowest, highest = int(labels.min()), int(labels.max())
    classes = highest + 1 if num_classes is None else num_classes
    if not isinstance(classes, int) or classes > MOST_CLASSES:
        raise DataError(
            f"the number of classes is {classes!r}; valid: a whole number up to {MOST_CLASSES:,}"
        )
    if lowest < 0 or highest >= classes:
        raise DataError(
            f"labels run from {lowest} to {highest}; valid for {classes} classes: 0..{classes - 1}"
        )
    return labels.astype(np.int64, copy=False), classes


def _check_test(test: NDArray[np.bool_], records: int) -> None:
    if not isinstance(test, np.ndarray) or test.dtype != np.bool_ or test.shape != (records,):
        raise DataError(f"the test mask must be {records} bools, one a record")
    if test.all() or not test.any():
        raise DataError("the test mask must leave records on both sides, training pool and test")


def _check_normalisation(
    mean: tuple[float, ...] | None, std: tuple[float, ...] | None, shape: tuple[int, ...]
) -> None:
    if mean is None and std is None:
        return
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
        raise DataError("class_names must be a tuple of texts, one a class")
    if len(names) != classes:
        raise DataError(f"there are {len(names)} class names for {classes} classes")
