"""Participants clip their updates: no upload lies further from what was sent than a given norm.

The clipping of McMahan et al., "Learning Differentially Private Recurrent Language Models" (ICLR
2018), section 2, flat over all parameters: ``update * min(1, max_norm / ||update||_2)``. Alone it
bounds what one participant can do to an aggregate; without noise it guarantees no privacy.
"""

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MessageType
from flwr.clientapp.typing import Mod

from fedsim.defences.base import Defence, Half, require_positive
from fedsim.models.trainable import required_names
from fedsim.transport.messages import arrays_of, with_arrays


class ClippedUpdates(Defence):
    """Participants shorten updates that are longer than a norm.

    Parameters
    ----------
    max_norm
        Euclidean length, over all trainable parameters together, that an update may have. Buffers
        are neither measured nor changed.
    """

    halves: ClassVar[frozenset[Half]] = frozenset({"participants"})

    def __init__(self, max_norm: float) -> None:
        self.max_norm = require_positive("max_norm", max_norm)

    def in_words(self) -> str:
        """Return what it does."""
        return f"participants shorten updates that are longer than {self.max_norm:g}"

    def client_mods(self) -> Sequence[Mod]:
        """Return the mod that clips."""
        return (self.clip,)

    def clip(
        self, message: Message, context: Context, call_next: Callable[[Message, Context], Message]
    ) -> Message:
        """Train, and clip what is uploaded; other messages pass."""
        trains = message.metadata.message_type.partition(".")[0] == MessageType.TRAIN
        sent = arrays_of(message.content, "the server") if trains else None
        reply = call_next(message, context)
        if sent is not None and reply.has_content():
            upload = arrays_of(reply.content, "local training")
            names = None if self.facts is None else self.facts.trainable
            clipped = clipped_update(sent, upload, self.max_norm, required_names(names, upload))
            if clipped is not upload:
                reply.content = with_arrays(reply.content, clipped)
        return reply


def clipped_update(
    sent: ArrayRecord, upload: ArrayRecord, max_norm: float, names: frozenset[str]
) -> ArrayRecord:
    """Return an upload whose update from `sent` is no longer than `max_norm`.

    An update that is short enough is returned as it is, the same object. `names` are those of the
    parameters that are measured and shortened.
    """
    updates = {
        name: array.numpy().astype(np.float64) - sent[name].numpy()
        for name, array in upload.items()
        if name in names and name in sent
    }
    norm = math.sqrt(sum(float(np.square(update).sum()) for update in updates.values()))
    if norm <= max_norm:
        return upload
    share = max_norm / norm
    return ArrayRecord(
        {
            name: Array(
                np.asarray(sent[name].numpy() + share * updates[name], upload[name].numpy().dtype)
            )
            if name in updates
            else array
            for name, array in upload.items()
        }
    )
