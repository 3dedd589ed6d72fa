import numpy as np
import pytest

from fedsim.data import Arrays, SourceLocation, fetch, load_dataset
from fedsim.data.cache import load_or_decode
from fedsim.errors import DataError, PluginError

HERE = __name__


def function(rows: int = 10) -> tuple[np.ndarray, np.ndarray]:
    return np.eye(rows, dtype=np.float64), np.arange(rows) % 3


def function_with_arrays() -> Arrays:
    features, labels = function()
    return Arrays(features, labels, test=labels == 0)


def empty() -> tuple[np.ndarray, np.ndarray]:
    return np.empty((0, 3)), np.empty(0, dtype=np.int64)


def wrong() -> dict[str, int]:
    return {}


class Saying:
    def __init__(self, records: int = 6) -> None:
        self._records = records

    def arrays(self, place: SourceLocation) -> Arrays:
        place.say("working")
        return load_or_decode(
            place, "saying", decoder=1, source=str(self._records), decode=self._made
        )

    def _made(self) -> Arrays:
        features, labels = function(self._records)
        return Arrays(features, labels)


def load(name, settings=None, **more):
    return load_dataset(f"{HERE}:{name}", settings or {}, data_dir=None, seed=1, **more)


def test_function_of_a_user_is_a_data_set():
    dataset = load("function", {"rows": 20}, test_records=5)
    assert (len(dataset), dataset.num_classes, dataset.input_shape) == (20, 3, (20,))
    assert (len(dataset.pool_records), len(dataset.test_records)) == (15, 5)
    assert dataset.batch(np.array([7]))[0].argmax() == 7


def test_function_may_bring_its_own_test_split():
    assert load("function_with_arrays").test_records.tolist() == [0, 3, 6, 9]


def test_class_of_a_user_gets_a_place_and_a_cache(tmp_path):
    said = []
    dataset = load("Saying", {"records": 8}, cache_dir=tmp_path / "cache", say=said.append)
    assert said == ["working"]
    assert isinstance(dataset.features, np.memmap)


@pytest.mark.parametrize(
    ("name", "settings", "error", "sentence"),
    [
        ("empty", {}, DataError, "data set .*:empty: features must have at least one row"),
        ("wrong", {}, DataError, "data set .*:wrong: it returned a dict; valid: Arrays"),
        ("function", {"row": 1}, PluginError, "'row'; valid: rows"),
        ("function", {"rows": 1}, DataError, "cannot hold out 0 test records of 1"),
        ("absent", {}, PluginError, "absent"),
    ],
)
def test_mistakes_get_a_sentence_with_the_name(name, settings, error, sentence):
    with pytest.raises(error, match=sentence):
        load(name, settings)


def test_fetch_says_what_is_stored_where(tmp_path):
    fetched = fetch(f"{HERE}:Saying", {}, cache_dir=tmp_path)
    assert (fetched.records, fetched.num_classes, fetched.input_shape) == (6, 3, (6,))
    assert fetched.size_in_bytes == 6 * 6 * 4 + 6 * 8
    assert fetched.folder is not None
    assert fetched.folder.parent == tmp_path
    assert fetch(f"{HERE}:function", {}).folder is None
