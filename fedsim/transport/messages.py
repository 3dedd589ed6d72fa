"""Reading and checking the content of Flower messages.

Everything that arrives from another process is checked here before it is used: exactly one set of
parameters, the expected names and shapes, finite values. The error message names the first fault,
the sender and the round.
"""

from collections.abc import Mapping

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from numpy.typing import NDArray

from fedsim.errors import MessageError, listed
from fedsim.transport.flower_records import FastArrays
from fedsim.transport.lazy_arrays import ArrayInMemory, is_finite, values_of
from fedsim.transport.npy_decoding import USABLE
from fedsim.transport.record_views import AnyRecord, Content, records_of_type

ARRAYS = "arrays"
CONFIG = "config"
METRICS = "metrics"
ROUND = "server-round"
PROXIMAL = "proximal-mu"
PARTICIPANT = "partition-id"
EXAMPLES = "num-examples"
LARGEST_METRIC = 10**300
LAST_ROUND = 10**9
Shapes = Mapping[str, tuple[int, ...]]


def arrays_of(content: RecordDict, sender: str) -> ArrayRecord:
    """Return the one `ArrayRecord` of a message's content.

    Raises
    ------
    MessageError
        If there is none or more than one.
    """
    records = [record for _, record in records_of_type(content, ArrayRecord)]
    if len(records) != 1:
        raise MessageError(f"{sender} sent {len(records)} sets of arrays instead of one")
    return records[0]


def with_arrays(content: RecordDict, arrays: ArrayRecord) -> RecordDict:
    """Return a copy of `content` with `arrays` instead of its own.

    Flower's strategies put the same content object into all messages of a round, so changing it in
    place would change all messages.
    """
    # Made in one step: Flower warns if a record replaces a record of another class, and the two
    # records here may be of Flower's class and of fedsim's faster class.
    return RecordDict(
        {
            key: arrays if isinstance(record, ArrayRecord) else record
            for key, record in content.items()
        }
    )


def with_own_record(content: RecordDict) -> RecordDict:
    """Return a copy of `content` whose records of arrays are its own; the arrays are not copied.

    Some of Flower's strategies and apps empty a record while they read it, to save memory
    (``keep_input=False``). Any other reader of the record keeps what was in it.
    """
    return Content(
        {
            key: FastArrays(dict(record.items())) if isinstance(record, ArrayRecord) else record
            for key, record in content.items()
        }
    )


def replace_records(content: RecordDict, records: Mapping[str, AnyRecord]) -> None:
    """Put records into `content`, replacing those with the same keys, whatever their class."""
    for key in records:
        content.pop(key, None)
    content.update(records)


def round_of(message: Message) -> int:
    """Return the round that a message belongs to, from 1.

    Raises
    ------
    MessageError
        If no config record states the round, as those of Flower's strategies do.
    """
    for _, record in records_of_type(message.content, ConfigRecord):
        value = dict(record.items()).get(ROUND)  # because single look-ups in the record are slow
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < LAST_ROUND:
            return value
    raise MessageError(
        f"a message to node {message.metadata.dst_node_id} does not say its round; its config "
        f"record must have {ROUND!r}, a number above 0"
    )


def proximal_of(message: Message) -> float:
    """Return the mu that FedProx sends, or 0 if no config record has one.

    Raises
    ------
    MessageError
        If it is negative or not finite.
    """
    for _, record in records_of_type(message.content, ConfigRecord):
        value = dict(record.items()).get(PROXIMAL)
        if isinstance(value, int | float):
            if not 0 <= value < LARGEST_METRIC:
                raise MessageError(
                    f"the server sent {PROXIMAL!r} as {_short(value)}, not 0 or more"
                )
            return float(value)
    return 0.0


def require_usable(arrays: ArrayRecord, expected: Shapes, sender: str) -> None:
    """Raise unless `arrays` has the expected names and shapes, and only finite values.

    The declared shape is compared before any content is decoded, so that an absurd size allocates
    no memory.

    Raises
    ------
    MessageError
        The sentence names the sender and the first array that is wrong.
    """
    if arrays.keys() != expected.keys():
        missing, surplus = expected.keys() - arrays.keys(), arrays.keys() - expected.keys()
        raise MessageError(
            f"{sender} sent parameters that do not fit the model: missing {listed(missing)}; "
            f"not known {listed(surplus)}"
        )
    for name, array in arrays.items():
        if tuple(array.shape) != expected[name]:
            raise MessageError(
                f"{sender} sent {name!r} with shape {tuple(array.shape)} instead of "
                f"{expected[name]}"
            )
        values = _values(name, array, sender)
        if values.shape != expected[name]:
            raise MessageError(
                f"{sender} sent {name!r} as {values.dtype} {values.shape}, not as declared"
            )
        if not is_finite(array):
            raise MessageError(
                f"{sender} sent {name!r} with values that are not finite; lower the learning rate, "
                "or the rate of an active adversary"
            )


def require_readable(arrays: ArrayRecord, sender: str) -> None:
    """Raise unless every array can be read and has its declared type and shape.

    Raises
    ------
    MessageError
        The sentence names the sender and the first array that is wrong.
    """
    for name, array in arrays.items():
        if isinstance(array, ArrayInMemory):
            continue
        values = _values(name, array, sender)
        if values.shape != tuple(array.shape):
            raise MessageError(
                f"{sender} sent {name!r} as {values.dtype} {values.shape}, not as declared"
            )


def _values(name: str, array: Array, sender: str) -> NDArray[np.generic]:
    """Return the values of an array that was sent."""
    try:
        values = values_of(array)
    except ValueError as error:
        raise MessageError(f"{sender} sent {name!r} in a form that cannot be read") from error
    if values.dtype not in USABLE:
        raise MessageError(
            f"{sender} sent {name!r} as {values.dtype} {values.shape}, not as declared"
        )
    return values


def require_finite(content: RecordDict, sender: str) -> None:
    """Raise unless all metrics of a reply are finite numbers, and no weight is below 0.

    Strategies weight uploads by one of the metrics, and a mean with a value that is not finite is
    meaningless.

    Raises
    ------
    MessageError
        The sentence names the sender and the first metric that is wrong.
    """
    for _, metrics in records_of_type(content, MetricRecord):
        for name, value in metrics.items():
            numbers = value if isinstance(value, list) else [value]
            if not all(abs(number) < LARGEST_METRIC for number in numbers):
                raise MessageError(
                    f"{sender} sent the metric {name!r} as {_short(value)}, which is not finite; "
                    "lower the learning rate, or the rate of an active adversary"
                )
            if name == EXAMPLES and not (isinstance(value, int | float) and value >= 0):
                raise MessageError(
                    f"{sender} sent the metric {name!r} as {_short(value)}; it must be one number, "
                    "0 or more"
                )


def _short(value: object) -> str:
    """Return a metric's value, shortened for an error message."""
    if isinstance(value, int) and abs(value) >= LARGEST_METRIC:
        return "a number of more than 300 digits"
    return f"{value:.3g}" if isinstance(value, float) else str(value)[:80]
