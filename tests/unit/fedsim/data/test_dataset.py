import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedsim.data import Arrays
from fedsim.data.dataset import from_arrays
from fedsim.data.duplicates import smallest_copies
from fedsim.errors import DataError

FEATURES = np.zeros((3, 2), dtype=np.uint8)
LABELS = np.array([0, 1, 2])
IMAGES = np.zeros((3, 3, 8, 8), dtype=np.uint8)


@pytest.mark.parametrize(
    ("features", "labels", "more", "sentence"),
    [
        (FEATURES.tolist(), LABELS, {}, "features must be a numpy array, not list"),
        (FEATURES[:0], LABELS[:0], {}, "at least one row"),
        (FEATURES[:, 0], LABELS, {}, "two axes"),
        (FEATURES.astype(object), LABELS, {}, "not object"),
        (FEATURES.astype("U1"), LABELS, {}, "uint8, bool or float"),
        (np.full((3, 2), np.nan), LABELS, {}, "NaN"),
        (np.full((3, 2), 1e300), LABELS, {}, "infinite"),
        (IMAGES.transpose(0, 2, 3, 1), LABELS, {}, r"transpose\(0, 3, 1, 2\)"),
        (FEATURES, LABELS[:2], {}, "3 rows of features but 2 labels"),
        (FEATURES, LABELS.astype(float), {}, "integers with one axis, not float64"),
        (FEATURES, LABELS.astype(object), {}, "not object"),
        (FEATURES, LABELS[:, None], {}, "one axis"),
        (FEATURES, LABELS - 1, {}, "run from -1 to 1"),
        (FEATURES, LABELS, {"num_classes": 2}, r"valid for 2 classes: 0\.\.1"),
        (FEATURES, LABELS, {"class_names": ("a",)}, "1 class names for 3 classes"),
        (FEATURES, LABELS, {"test": np.zeros(3, np.bool_)}, "both sides"),
        (FEATURES, LABELS, {"test": np.zeros(2, np.bool_)}, "3 bools"),
        (FEATURES, LABELS, {"test": np.zeros(3)}, "3 bools"),
        (FEATURES, LABELS, {"mean": (0.0, 0.0)}, "both be given"),
        (FEATURES, LABELS, {"mean": (0.0, 0.0), "std": (1.0,)}, "2 numbers each"),
        (FEATURES, LABELS, {"mean": (0.0, 0.0), "std": (1.0, 0.0)}, "above 0"),
    ],
)
def test_bad_arrays_get_a_sentence(features, labels, more, sentence):
    with pytest.raises(DataError, match=sentence):
        Arrays(features, labels, **more)


def test_float_features_and_small_label_types_are_kept_as_float32_and_int64():
    arrays = Arrays(FEATURES.astype(np.float64), LABELS.astype(np.uint8))
    assert (arrays.features.dtype, arrays.labels.dtype) == (np.float32, np.int64)
    assert arrays.num_classes == 3


def test_images_become_normalised_channels_first_float32():
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 4), dtype=np.uint8)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    labels = np.array([4, 3, 2, 1, 0])
    dataset = from_arrays("x", Arrays(images, labels, mean=mean, std=std), test_records=1, seed=0)
    records = np.array([3, 0, 3])
    inputs, classes = dataset.batch(records)
    expected = (images[records] / 255 - np.reshape(mean, (1, 3, 1, 1))) / np.reshape(
        std, (1, 3, 1, 1)
    )
    assert inputs.dtype == torch.float32
    assert classes.tolist() == [1, 4, 1]
    np.testing.assert_allclose(inputs.numpy(), expected, atol=2e-6)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        (np.array([[True, False]] * 2), [1.0, 0.0]),
        (np.array([[7, 255]] * 2, dtype=np.uint8), [7.0, 255.0]),
        (np.array([[0.5, -2.0]] * 2, dtype=np.float32), [0.5, -2.0]),
        (np.full((2, 1, 1, 2), 255, dtype=np.uint8), [[[1.0, 1.0]]]),
    ],
)
def test_features_without_statistics_keep_their_values_but_images_come_as_0_to_1(
    features, expected
):
    dataset = from_arrays("x", Arrays(features, np.array([0, 1])), test_records=1, seed=0)
    assert dataset.batch(np.array([0]))[0][0].tolist() == expected


def test_tensors_of_many_records_equal_their_batch(make_dataset):
    dataset = make_dataset(records=9000, test_records=100)
    records = np.random.default_rng(0).permutation(9000)
    for whole, batch in zip(dataset.tensors(records), dataset.batch(records), strict=True):
        assert torch.equal(whole, batch)


def test_test_split_is_drawn_by_seed(make_dataset):
    arrays = Arrays(np.eye(50, dtype=np.bool_), np.zeros(50, dtype=np.int64))
    splits = [from_arrays("x", arrays, test_records=10, seed=seed).test for seed in (1, 1, 2)]
    assert [split.sum() for split in splits] == [10, 10, 10]
    assert np.array_equal(splits[0], splits[1])
    assert not np.array_equal(splits[0], splits[2])
    default = from_arrays("x", arrays, test_records=None, seed=1)
    assert (len(default.pool_records), len(default.test_records)) == (40, 10)


def test_impossible_test_splits_get_a_sentence():
    arrays = Arrays(FEATURES, LABELS)
    with pytest.raises(DataError, match=r"cannot hold out 3 test records of 3.*1\.\.2"):
        from_arrays("x", arrays, test_records=3, seed=0)
    split = Arrays(FEATURES, LABELS, test=np.array([False, True, False]))
    with pytest.raises(DataError, match="own test split of 1 records"):
        from_arrays("x", split, test_records=1, seed=0)
    assert from_arrays("x", split, test_records=None, seed=0).test_records.tolist() == [1]


def test_every_record_of_a_group_of_duplicates_is_marked():
    features = np.array([[1, 2], [3, 4], [1, 2], [5, 6], [1, 2]], dtype=np.uint8)
    dataset = from_arrays("x", Arrays(features, np.zeros(5, np.int64)), test_records=1, seed=0)
    assert dataset.duplicate_of.tolist() == [0, 1, 0, 3, 0]
    assert dataset.duplicate.tolist() == [True, False, True, False, True]


@given(
    hnp.arrays(
        st.sampled_from([np.bool_, np.uint8, np.float32]),
        st.tuples(st.integers(1, 12), st.integers(1, 2), st.integers(1, 2)),
        elements={"min_value": 0, "max_value": 1},
    )
)
def test_smallest_copies_agree_with_comparing_every_pair(features):
    expected = [
        next(first for first in range(row + 1) if np.array_equal(features[first], features[row]))
        for row in range(len(features))
    ]
    assert smallest_copies(features).tolist() == expected
