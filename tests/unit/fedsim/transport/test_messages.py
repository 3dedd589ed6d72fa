"""Whatever arrives is checked before it is used; the sentence says who sent what."""

import io

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, RecordDict
from toys import new_model

from fedsim.errors import MessageError
from fedsim.models.exchange import exchanged_shapes
from fedsim.transport import messages
from fedsim.transport.messages import (
    arrays_of,
    require_usable,
    round_of,
    with_arrays,
)

EXPECTED = {"w": (2, 3), "b": ()}


def good() -> dict[str, Array]:
    return {
        "w": Array(np.ones((2, 3), dtype=np.float32)),
        "b": Array(np.zeros((), dtype=np.float32)),
    }


def refused(arrays: dict[str, Array]) -> str:
    with pytest.raises(MessageError) as error:
        require_usable(ArrayRecord(arrays), EXPECTED, "participant 3 in round 7")
    assert str(error.value).startswith("participant 3 in round 7 sent ")
    assert "\n" not in str(error.value)
    return str(error.value)


def encoded(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


def declared(data: bytes, stype: str = "numpy.ndarray") -> Array:
    return Array(dtype="float32", shape=(2, 3), stype=stype, data=data)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64, np.int64, np.bool_])
def test_what_fits_is_accepted(dtype: type) -> None:
    require_usable(ArrayRecord(good() | {"w": Array(np.ones((2, 3), dtype))}), EXPECTED, "x")


def test_names_must_be_the_models() -> None:
    told = refused({"w": good()["w"], "c": good()["b"]})
    assert told.endswith("do not fit the model: missing b; not known c")
    assert "missing b, w; not known none" in refused({})


def test_shapes_must_be_the_models() -> None:
    told = refused(good() | {"w": Array(np.ones((3, 2), dtype=np.float32))})
    assert told.endswith("sent 'w' with shape (3, 2) instead of (2, 3)")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_must_be_finite(value: float) -> None:
    array = np.ones((2, 3), dtype=np.float32)
    array[1, 2] = value
    assert "sent 'w' with values that are not finite" in refused(good() | {"w": Array(array)})


@pytest.mark.parametrize(
    "array",
    [
        declared(b""),
        declared(b"not an npy file"),
        declared(encoded(np.ones((2, 3), np.float32))[:-4]),
        declared(encoded(np.ones((2, 3), np.float32)), stype="torch.pickle"),
        declared(encoded(np.array([[{}] * 3] * 2, dtype=object), allow_pickle=True)),
    ],
    ids=["empty", "garbage", "truncated", "foreign", "pickled"],
)
def test_bytes_must_be_an_array(array: Array) -> None:
    assert "sent 'w' in a form that cannot be read" in refused(good() | {"w": array})


@pytest.mark.parametrize(
    "content", [np.ones(6, np.float32), np.ones((2, 3), "S1"), np.ones((2, 3), np.complex64)]
)
def test_the_content_must_be_what_is_declared(content: np.ndarray) -> None:
    assert "not as declared" in refused(good() | {"w": declared(encoded(content))})


def test_an_absurd_declared_size_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    absurd = Array(dtype="float32", shape=(10**9, 10**9), stype="numpy.ndarray", data=b"x")

    def decoded(array: Array) -> np.ndarray:
        raise AssertionError("its content is looked at")

    monkeypatch.setattr(messages, "_values", decoded)
    told = refused(good() | {"w": absurd})
    assert "with shape (1000000000, 1000000000) instead of (2, 3)" in told


def test_a_header_that_lies_about_an_absurd_size_is_refused() -> None:
    header = encoded(np.ones((2, 3), np.float32))
    lie = header.replace(b"(2, 3), }" + b" " * 13, b"(2, 3000000000000), }" + b" ")
    assert len(lie) == len(header)
    assert lie != header
    assert "in a form that cannot be read" in refused(good() | {"w": declared(lie)})


@pytest.mark.parametrize("count", [0, 2])
def test_a_message_carries_one_set_of_arrays(count: int) -> None:
    content = RecordDict({f"a{i}": ArrayRecord(good()) for i in range(count)})
    with pytest.raises(MessageError, match=f"node 5 sent {count} sets of arrays instead of one"):
        arrays_of(content, "node 5")


def test_with_arrays_leaves_the_original_alone() -> None:
    config = ConfigRecord({"server-round": 1})
    content = RecordDict({"mine": ArrayRecord(good()), "config": config})
    other = ArrayRecord({"w": good()["w"]})
    changed = with_arrays(content, other)
    assert changed["mine"] is other
    assert list(content.array_records["mine"]) == ["w", "b"]
    assert changed.config_records["config"] == config


@pytest.mark.usefixtures("flower")
def test_a_message_says_its_round() -> None:
    def message(**config: int | str) -> Message:
        return Message(RecordDict({"c": ConfigRecord(config)}), 9, MessageType.TRAIN)

    assert round_of(message(**{"server-round": 12})) == 12
    for wrong in ({}, {"server-round": "12"}):
        with pytest.raises(MessageError, match=r"to node 9 does not say its round; .*server-round"):
            round_of(message(**wrong))


def test_shapes_of_a_model() -> None:
    assert exchanged_shapes(new_model()) == {
        "linear1.weight": (16, 12),
        "linear1.bias": (16,),
        "classifier.weight": (4, 16),
        "classifier.bias": (4,),
    }
