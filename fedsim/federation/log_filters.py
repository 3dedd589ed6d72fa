"""Filters for the logs and warnings of Flower and Ray."""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_QUIET_RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray would warn at every start that it leaves CUDA_VISIBLE_DEVICES unchanged.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@contextmanager
def only_warnings_of_flower() -> Iterator[None]:
    """Within the context, log each warning of Flower once, and nothing below that level.

    A strategy is built several times, and warns of its settings each time.
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
    """Within the context, log nothing of Flower below the level of an error.

    A strategy warns, whenever it is built, of settings that the user chose on purpose
    (``fraction_evaluate: 0`` switches evaluation off).
    """
    with _filtered(lambda record: record.levelno >= logging.ERROR):
        yield


@contextmanager
def _filtered(worth_hearing: Callable[[logging.LogRecord], bool]) -> Iterator[None]:
    """Within the context, log only those records of Flower that pass the filter."""
    logger = logging.getLogger("flwr")
    # A filter and not a level: Flower sets its level when it is imported.
    logger.addFilter(worth_hearing)
    try:
        yield
    finally:
        logger.removeFilter(worth_hearing)


@contextmanager
def quiet_ray() -> Iterator[None]:
    """Silence the logs and warnings of Ray within the context.

    Ray leaves its files and processes to Python's garbage collector, which causes warnings.
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
