"""Filters for the logs and warnings of Flower and Ray."""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_QUIET_RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # What Ray would warn of at every start: it leaves CUDA_VISIBLE_DEVICES alone.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@contextmanager
def only_warnings_of_flower() -> Iterator[None]:
    """Let through what Flower warns of, each once, and nothing below, within the context.

    A strategy warns of its settings whenever it is built, which it is several times.
    """
    heard: set[str] = set()

    def worth_hearing(record: logging.LogRecord) -> bool:
        said = record.getMessage()
        new = record.levelno >= logging.WARNING and said not in heard
        heard.add(said)
        return new

    with _filtered(worth_hearing):
        yield


@contextmanager
def no_warnings_of_flower() -> Iterator[None]:
    """Let through nothing that Flower logs below an error, within the context.

    For building a strategy: it warns of settings that the user has chosen (``fraction_evaluate: 0``
    switches evaluation off), and it is built more than once.
    """
    with _filtered(lambda record: record.levelno >= logging.ERROR):
        yield


@contextmanager
def _filtered(worth_hearing: Callable[[logging.LogRecord], bool]) -> Iterator[None]:
    """Let Flower log what is worth hearing only, within the context."""
    logger = logging.getLogger("flwr")
    # A filter and not a level: Flower sets its level when it is imported.
    logger.addFilter(worth_hearing)
    try:
        yield
    finally:
        logger.removeFilter(worth_hearing)


@contextmanager
def quiet_ray() -> Iterator[None]:
    """Have a Ray that starts, is joined or ends in a block report nothing, and warn of nothing.

    It leaves files and processes of its own to Python's garbage collection, which Python warns of.
    """
    before = {name: os.environ.get(name) for name in _QUIET_RAY}
    os.environ.update(_QUIET_RAY)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
