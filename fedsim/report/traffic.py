"""The size of a federation's messages, for `results.json`."""

from typing import Annotated

from pydantic import Field

from fedsim.report.strict_model import StrictModel

Bytes = Annotated[float, Field(ge=0)]


class Traffic(StrictModel):
    """Messages of training, means over the rounds, of all participants together.

    Attributes
    ----------
    sent
        Bytes a round to the participants.
    received
        Bytes a round from them, number by number, as the simulator holds them.
    encoded
        Bytes a round from them as a defence encodes them; None where none does.

    Examples
    --------
    >>> Traffic(sent=8e6, received=8e6, encoded=1e5).uploaded
    100000.0
    """

    sent: Bytes
    received: Bytes
    encoded: Bytes | None = None

    @property
    def uploaded(self) -> float:
        """Bytes per round that participants would upload, encoded if a defence does that."""
        return self.received if self.encoded is None else self.encoded


def size_text(size: float) -> str:
    """Return a number of bytes with three digits, in decimal units.

    >>> size_text(101_236), size_text(6_351_328), size_text(12)
    ('101 kB', '6.35 MB', '12 B')
    """
    for power, unit in ((9, "GB"), (6, "MB"), (3, "kB")):
        if size >= 0.9995 * 10**power:
            return f"{size / 10**power:.3g} {unit}"
    return f"{size:.3g} B"


def traffic_words(traffic: Traffic) -> str:
    """Return the size of a federation's messages in a few words.

    >>> traffic_words(Traffic(sent=8e6, received=8e6, encoded=1e5))
    'participants are sent 8 MB a round, and upload 100 kB (encoded; 8 MB as it is)'
    >>> traffic_words(Traffic(sent=8e6, received=8e6))
    'participants are sent 8 MB a round, and upload 8 MB'
    """
    as_it_is = size_text(traffic.received)
    more = "" if traffic.encoded is None else f" (encoded; {as_it_is} as it is)"
    return (
        f"participants are sent {size_text(traffic.sent)} a round, and upload "
        f"{size_text(traffic.uploaded)}{more}"
    )
