"""What of Flower's log is let through."""

import logging

from fedsim.federation.log_filters import only_warnings_of_flower


def test_a_warning_is_heard_once_in_a_block() -> None:
    """A strategy warns of its settings each time it is built."""
    logger = logging.getLogger("flwr")
    heard: list[str] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    logger.addHandler(listener := Listening())
    try:
        for _ in range(2):
            with only_warnings_of_flower(), only_warnings_of_flower():
                for _ in range(3):
                    logger.warning("no %s", "mu")
                    logger.error("no nodes")
                    logger.info("a round")
    finally:
        logger.removeHandler(listener)
    assert heard == ["no mu", "no nodes"] * 2
