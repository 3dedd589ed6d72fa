import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedsim.data import Arrays
from fedsim.data.duplicates import smallest_copies
from fedsim.data.splitting import from_arrays
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
        (FEATURES.astype(np.uint64), LABELS, {}, "not uint64"),
        (FEATURES.astype(int), LABELS, {"mean": (0.0,) * 2, "std": (1.0,) * 2}, "stays integers"),
        (FEATURES, LABELS, {"groups": LABELS[:2]}, "3 user ids"),
        (FEATURES, LABELS, {"groups": LABELS + 0.5}, "integers or texts"),
        (FEATURES, LABELS.astype("U"), {"num_classes": 2}, "3 different values; valid: up to 2"),
        (FEATURES, LABELS[:, None] * 1.0, {"objective": "multilabel"}, "0 and 1 only"),
        (FEATURES, LABELS, {"objective": "multilabel"}, r"shape \(N, k\)"),
        (FEATURES, LABELS * np.nan, {"objective": "regression"}, "row 0 is nan"),
        (FEATURES, LABELS, {"objective": "next-token"}, r"shape \(N, T\)"),
        (FEATURES, np.full((3, 2), -100), {"objective": "next-token"}, "no token to predict"),
        (FEATURES, np.full((3, 2), -1), {"objective": "next-token"}, "from -1 to -1"),
        (FEATURES.astype("U1"), LABELS, {}, "uint8, bool, float or integers"),
        (np.full((3, 2), np.nan), LABELS, {}, "NaN"),
        (np.full((3, 2), 1e300), LABELS, {}, "infinite"),
        (IMAGES.transpose(0, 2, 3, 1), LABELS, {}, r"transpose\(0, 3, 1, 2\)"),
        (FEATURES, LABELS[:2], {}, "3 rows of features but 2 labels"),
        (FEATURES, LABELS.astype(float), {}, "integers or texts with one axis, not float64"),
        (FEATURES, LABELS.astype(object), {}, "not object"),
        (FEATURES, LABELS[:, None], {}, "one axis"),
        (FEATURES, LABELS - 1, {"num_classes": 3}, "run from -1 to 1"),
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


def test_a_value_that_is_not_finite_is_told_with_its_row_and_column():
    features = np.ones((5000, 3))
    features[4711, 2] = np.nan
    with pytest.raises(DataError, match="nan in row 4711, column 2"):
        Arrays(features, np.zeros(5000, int))


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int32, np.int64, np.uint16, np.uint32])
def test_integers_stay_integers_and_become_int64_tensors(kind):
    tokens = np.array([[1, 2, 0], [5, 100, 7]], dtype=kind)
    dataset = from_arrays("x", Arrays(tokens, np.array([0, 1])), test_records=1, seed=0)
    for inputs, _ in (dataset.batch(np.array([1, 0])), dataset.tensors(np.array([1, 0]))):
        assert inputs.dtype == torch.int64 == dataset.input_dtype
        assert inputs.tolist() == tokens[::-1].tolist()
    assert dataset.duplicate_of.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("labels", "mapped", "names"),
    [
        (np.array([1, 2, 3]), [0, 1, 2], ("1", "2", "3")),
        (np.array([7, -2, 7]), [1, 0, 1], ("-2", "7")),
        (np.array(["b", "a", "b"]), [1, 0, 1], ("a", "b")),
        (np.array(["b", "a", "b"], dtype=object), [1, 0, 1], ("a", "b")),
        (np.array([0, 1, 2]), [0, 1, 2], None),
        (np.array([True, False, True]), [1, 0, 1], None),
    ],
)
def test_labels_that_are_not_0_to_c_are_mapped_and_the_map_is_kept(labels, mapped, names):
    arrays = Arrays(FEATURES, labels)
    assert arrays.labels.tolist() == mapped
    assert arrays.num_classes == len(set(mapped))
    assert arrays.class_names == names
    again = Arrays(**{name: getattr(arrays, name) for name in arrays.__dataclass_fields__})
    assert (again.labels.tolist(), again.label_values) == (mapped, arrays.label_values)


def test_classes_that_are_declared_may_be_absent_and_are_not_mapped():
    for more in ({"num_classes": 5}, {"class_names": tuple("abcde")}):
        arrays = Arrays(FEATURES, np.array([1, 3, 1]), **more)
        assert (arrays.labels.tolist(), arrays.num_classes) == ([1, 3, 1], 5)
        assert arrays.label_values is None


@pytest.mark.parametrize(
    ("objective", "labels", "kind", "outputs"),
    [
        ("regression", np.array([0.5, 1.5, -2.0]), torch.float32, 1),
        ("regression", np.array([[1, 2], [3, 4], [5, 6]]), torch.float32, 2),
        ("multilabel", np.array([[True, False]] * 3), torch.float32, 2),
        ("next-token", np.array([[1, 2], [-100, 6], [3, -100]]), torch.int64, 7),
        ("toys:Huber", np.array([[0.5, 1.5]] * 3), torch.float32, 2),
    ],
)
def test_labels_of_other_objectives(objective, labels, kind, outputs):
    arrays = Arrays(FEATURES, labels, objective=objective)
    dataset = from_arrays("x", arrays, test_records=1, seed=0)
    found = dataset.batch(np.array([2, 0]))[1]
    assert (found.dtype, found.tolist()) == (kind, labels[[2, 0]].astype(float).tolist())
    assert (dataset.num_classes, dataset.objective) == (outputs, objective)


def test_groups_are_numbered_and_keep_their_names():
    arrays = Arrays(FEATURES, LABELS, groups=np.array(["u9", "u1", "u9"]))
    dataset = from_arrays("x", arrays, test_records=1, seed=0)
    assert dataset.groups.tolist() == [1, 0, 1]
    assert dataset.group_names == ("u1", "u9")
