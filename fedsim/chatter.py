"""Flower's log, which has several lines a round, without what is only interesting to Flower."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def only_warnings_of_flower() -> Iterator[None]:
    """Let through what Flower warns of, and nothing below, for the length of a block."""
    logger = logging.getLogger("flwr")

    def worth_hearing(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING

    # A filter and not a level: Flower sets its level when it is imported.
    logger.addFilter(worth_hearing)
    try:
        yield
    finally:
        logger.removeFilter(worth_hearing)
