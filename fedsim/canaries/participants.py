"""Canary participants: they upload a random direction, far longer than any clipping norm.

Of Andrew et al., *One-shot Empirical Privacy Estimation for Federated Learning*, ICLR 2024. What a
canary participant sends is inside of the defences, as the update of an honest one is: a clipping
makes it as long as an update may be, and noise has to hide it. Directions come from the seed, so
that the auditor knows them, and as many others that nobody sent.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MessageType
from numpy.typing import NDArray

from fedsim import seeds
from fedsim.models.trainable import required_names
from fedsim.transport.messages import PARTICIPANT, arrays_of, with_arrays

LENGTH = 10_000.0
"""The Euclidean norm of a canary's update before any defence."""

Direction = NDArray[np.float64]


def canary_direction(seed: int, number: int, dimensions: int) -> Direction:
    """Return the direction of a canary, (dimensions,) of length 1, uniform on the sphere.

    Numbers of participants are of directions that are sent; negative ones of those that are not.

    >>> direction = canary_direction(0, 5, 1000)
    >>> round(float(np.linalg.norm(direction)), 9)
    1.0
    """
    who = f"participant {number}" if number >= 0 else f"nobody {-number}"
    drawn = seeds.generator(seed, "canary direction", who).standard_normal(dimensions)
    unit: Direction = drawn / np.linalg.norm(drawn)
    return unit


@dataclass(frozen=True)
class CanaryUpdates:
    """A mod of the participants' app: those from `first` on send their direction.

    Attributes
    ----------
    first
        The first canary; all participants after it are canaries, too.
    seed
        Of the directions.
    names
        The parameters that training changes; buffers are sent as they are.
    """

    first: int
    seed: int
    names: frozenset[str]

    def __call__(
        self, message: Message, context: Context, call_next: Callable[[Message, Context], Message]
    ) -> Message:
        """Train, and as a canary upload the direction instead; other messages pass."""
        trains = message.metadata.message_type.partition(".")[0] == MessageType.TRAIN
        participant = context.node_config.get(PARTICIPANT)
        canary = isinstance(participant, int) and participant >= self.first
        sent = arrays_of(message.content, "the server") if trains and canary else None
        reply = call_next(message, context)
        if sent is not None and reply.has_content() and isinstance(participant, int):
            upload = arrays_of(reply.content, "local training")
            reply.content = with_arrays(reply.content, self._crafted(sent, upload, participant))
        return reply

    def _crafted(self, sent: ArrayRecord, upload: ArrayRecord, participant: int) -> ArrayRecord:
        names = required_names(self.names, sent, upload)
        size = sum(sent[name].numpy().size for name in upload if name in names)
        left = LENGTH * canary_direction(self.seed, participant, size)
        moved = {}
        for name in (one for one in upload if one in names):
            base = sent[name].numpy()
            step, left = left[: base.size], left[base.size :]
            dtype = upload[name].numpy().dtype
            moved[name] = Array(np.asarray(base + step.reshape(base.shape), dtype))
        return ArrayRecord({name: moved.get(name, array) for name, array in upload.items()})


def canary_cosines(step: Direction, seed: int, numbers: Iterable[int]) -> NDArray[np.float64]:
    """Return the cosine of a step of released parameters with each canary's direction.

    Parameters
    ----------
    step
        (d,) in the order in which updates are joined; a step of no length has the cosine 0.
    seed
        Of the directions.
    numbers
        Which canaries.
    """
    length = float(np.linalg.norm(step)) or 1.0
    found = [float(canary_direction(seed, n, len(step)) @ step) / length for n in numbers]
    return np.array(found)


def joined_step(after: ArrayRecord, before: ArrayRecord, names: frozenset[str]) -> Direction:
    """Return by how much parameters moved, as one vector."""
    return np.concatenate(
        [
            (after[name].numpy().astype(np.float64) - before[name].numpy()).ravel()
            for name in after
            if name in names
        ]
    )
