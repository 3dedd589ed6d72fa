"""Labels by objective, and tokenizers: every refusal, by its sentence."""

from typing import Any

import numpy as np
import pytest

from fedsim.data.targets import checked_targets
from fedsim.data.tokens import TextSettings, encode_texts, find_tokenizer
from fedsim.errors import DataError, PluginError


def checked(labels: Any, objective: str | None = None, outputs: int | None = None) -> Any:
    return checked_targets(labels, objective=objective, outputs=outputs, tokens=None)


@pytest.mark.parametrize(
    ("labels", "objective", "outputs", "sentence"),
    [
        (
            np.array([0, 1_000_000]),
            None,
            2_000_000,
            "the number of classes is 2000000; valid: a whole number up to 1,000,000",
        ),
        (np.array([]), None, None, "labels are empty; a data set needs at least one record"),
        (np.array([0, 3]), None, 3, "labels run from 0 to 3; valid for 3 classes: 0..2"),
        (
            np.array(["a", "b", "c"]),
            None,
            2,
            "labels hold 3 different values; valid: up to 2",
        ),
        (
            np.array(["1.5"]),
            "regression",
            None,
            "labels of regression must be numbers of shape (N,) or (N, k), not <U3 of shape (1,)",
        ),
        (
            [1.0, 2.0],
            "regression",
            None,
            "labels of regression must be numbers of shape (N,) or (N, k), not list",
        ),
        (
            np.zeros((4, 2)),
            "regression",
            3,
            "labels have 2 values per record, but num_classes says 3",
        ),
        (
            np.zeros((1, 1_000_001), dtype=np.uint8),
            "multilabel",
            None,
            "labels have 1000001 labels per record; valid: 1 to 1,000,000",
        ),
        (
            np.array(["a"]),
            "mine:Own",
            None,
            "labels must be numbers, a row per record, not <U1 of shape (1,)",
        ),
    ],
)
def test_labels_that_do_not_fit(
    labels: Any, objective: str | None, outputs: int | None, sentence: str
) -> None:
    with pytest.raises(DataError) as found:
        checked(labels, objective, outputs)
    assert str(found.value) == sentence


def test_more_classes_than_can_be() -> None:
    labels = np.arange(1_000_001)
    with pytest.raises(DataError, match=r"^there are 1,000,001 classes; valid: up to 1,000,000$"):
        checked(labels)


@pytest.mark.parametrize(
    ("labels", "outputs"),
    [
        (np.array([0, 4, 2]), 5),
        (np.array([True, False]), 2),
        (np.zeros((3, 7), dtype=np.int8), 7),
        (np.array([0.5, 1.5]), 1),
        (np.zeros((3, 2)), 2),
    ],
)
def test_labels_for_an_objective_of_ones_own_count_its_outputs(
    labels: np.ndarray, outputs: int
) -> None:
    found = checked(labels, "mine:Own")
    assert found.outputs == outputs
    assert found.labels.dtype == (np.float32 if labels.dtype.kind == "f" else np.int64)
    assert np.array_equal(found.labels, labels)
    assert checked(labels, "mine:Own", 9).outputs == 9


def words(text: str) -> list[int]:
    """Return the length of each word."""
    return [len(word) for word in text.split()]


def negative(text: str) -> list[int]:
    return [-1]


def huge(text: str) -> np.ndarray:
    return np.array([1 << 31])


def failing(text: str) -> list[int]:
    raise KeyError(text)


class Encoder:
    """A tokenizer as most libraries have it."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]


number = 7


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            TextSettings(max_length=2_000_000),
            "max_length is 2000000 for 1 texts; valid: 1 to 1,048,576",
        ),
        (TextSettings(padding=-1), "padding is -1; valid: a token id from 0 on"),
        (TextSettings(padding=1 << 31), "padding is 2147483648; valid: a token id from 0 on"),
        (
            TextSettings(f"{__name__}:failing"),
            f"the tokenizer {__name__}:failing failed on row 0: KeyError: 'to be'",
        ),
        (
            TextSettings(f"{__name__}:negative"),
            f"the tokenizer {__name__}:negative gave an id below 0 or too large for row 0",
        ),
        (
            TextSettings(f"{__name__}:huge"),
            f"the tokenizer {__name__}:huge gave an id below 0 or too large for row 0",
        ),
    ],
)
def test_texts_that_cannot_be_encoded(settings: TextSettings, sentence: str) -> None:
    with pytest.raises(DataError) as found:
        encode_texts(["to be"], settings, next_token=False)
    assert str(found.value) == sentence


def test_a_text_of_one_token_has_no_next_one() -> None:
    with pytest.raises(DataError, match=r"^the text of row 1 has 1 tokens; valid: at least 2$"):
        encode_texts(["to be", "be"], TextSettings(f"{__name__}:words"), next_token=True)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "words",
            "there is no tokenizer 'words'; valid: bytes, or your own as module:function or "
            "module:Class",
        ),
        ("nowhere:f", "cannot import the tokenizer 'nowhere:f': No module named 'nowhere'"),
        (f"{__name__}:number", f"the tokenizer '{__name__}:number' is a int, no function"),
    ],
)
def test_what_is_no_tokenizer(name: str, sentence: str) -> None:
    with pytest.raises(PluginError) as found:
        find_tokenizer(name)
    assert str(found.value) == sentence


def test_tokens_and_the_ones_that_follow() -> None:
    settings = TextSettings(f"{__name__}:words", max_length=3)
    assert (settings.padding_id, settings.vocabulary) == (0, None)
    features, following = encode_texts(["a bb", "a bb ccc dddd eeeee"], settings, next_token=True)
    assert following is not None
    assert features.tolist() == [[1, 0, 0], [1, 2, 3]]
    assert following.tolist() == [[2, -100, -100], [2, 3, 4]]
    padded = TextSettings(max_length=4, padding=300)
    assert (padded.padding_id, padded.vocabulary) == (300, 301)
    assert encode_texts(["né"], padded, next_token=False)[0].tolist() == [[110, 195, 169, 300]]
    assert TextSettings().vocabulary == 257
    encoded, none = encode_texts(
        ["AZ"], TextSettings(f"{__name__}:Encoder", max_length=3), next_token=False
    )
    assert (encoded.tolist(), none) == ([[65, 90, 0]], None)
