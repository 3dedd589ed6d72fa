"""The base class of defences in which participants upload a transformed update.

A participant trains, and uploads what it received plus a transformed update. With error feedback
(Seide et al., "1-bit stochastic gradient descent", Interspeech 2014; Karimireddy et al., "Error
Feedback Fixes SignSGD and other Gradient Compression Schemes", ICML 2019, algorithm 2) it remembers
what the transformation left out, and adds it to its next update.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MessageType
from flwr.clientapp.typing import Mod
from numpy.typing import NDArray

from fedsim import seeds
from fedsim.defences.base import Defence, Half
from fedsim.models.trainable import required_names
from fedsim.transport.messages import PARTICIPANT, arrays_of, round_of, with_arrays

Update = Mapping[str, NDArray[np.float64]]
"""The change of each parameter by local training, by name, without buffers."""


class TransformedUpdates(Defence):
    """A defence that changes what participants upload, update by update.

    Attributes
    ----------
    error_feedback
        Whether a participant adds what was left out to its next update.

    Examples
    --------
    Participants upload only every second entry of an update:

    >>> class EverySecond(TransformedUpdates):
    ...     def in_words(self):
    ...         return "participants upload every second entry of an update"
    ...
    ...     def transform(self, update, generator):
    ...         changed = {}
    ...         for name, values in update.items():
    ...             changed[name] = values.copy()
    ...             changed[name].flat[1::2] = 0
    ...         return changed
    >>> EverySecond().transform({"w": np.ones(4)}, np.random.default_rng(0))
    {'w': array([1., 0., 1., 0.])}
    """

    halves: ClassVar[frozenset[Half]] = frozenset({"participants"})
    error_feedback: bool = False

    @abstractmethod
    def transform(
        self, update: Update, generator: np.random.Generator
    ) -> dict[str, NDArray[np.float64]]:
        """Return what is uploaded in the place of an update.

        Parameters
        ----------
        update
            By parameter; not to be changed in place.
        generator
            For draws; it depends on the experiment's seed, the round and the participant.
        """

    def client_mods(self) -> Sequence[Mod]:
        """Return the mod that transforms."""
        return (self.upload_transformed,)

    def upload_transformed(
        self, message: Message, context: Context, call_next: Callable[[Message, Context], Message]
    ) -> Message:
        """Train, and transform what is uploaded; other messages pass."""
        trains = message.metadata.message_type.partition(".")[0] == MessageType.TRAIN
        sent = arrays_of(message.content, "the server") if trains else None
        reply = call_next(message, context)
        if sent is None or not reply.has_content():
            return reply
        upload = arrays_of(reply.content, "local training")
        names = required_names(None if self.facts is None else self.facts.trainable, sent, upload)
        update = {
            name: array.numpy().astype(np.float64) - sent[name].numpy()
            for name, array in upload.items()
            if name in names
        }
        memory = context.state.get(self._memory_key) if self.error_feedback else None
        if isinstance(memory, ArrayRecord):
            update = {name: value + memory[name].numpy() for name, value in update.items()}
        changed = self.transform(update, self._generator(message, context))
        if self.error_feedback:
            context.state[self._memory_key] = ArrayRecord(
                {name: Array(update[name] - changed[name]) for name in update}
            )
        reply.content = with_arrays(
            reply.content,
            ArrayRecord(
                {
                    name: _moved(sent[name], changed[name], array) if name in changed else array
                    for name, array in upload.items()
                }
            ),
        )
        return reply

    def trainable_in(self, upload: ArrayRecord) -> frozenset[str]:
        """Return the names of an upload's arrays that are transformed; the others are not."""
        return required_names(None if self.facts is None else self.facts.trainable, upload)

    @property
    def _memory_key(self) -> str:
        return f"fedsim.defences.{self.label or type(self).__name__}"

    def _generator(self, message: Message, context: Context) -> np.random.Generator:
        seed = 0 if self.facts is None else self.facts.seed
        participant: Any = context.node_config.get(PARTICIPANT, context.node_id)
        return seeds.generator(
            seed, "defence", self.label or type(self).__name__, round_of(message), int(participant)
        )


def _moved(sent: Array, change: NDArray[np.float64], like: Array) -> Array:
    return Array(np.asarray(sent.numpy() + change, like.numpy().dtype))


def joined(update: Update) -> NDArray[np.float64]:
    """Return all entries of an update as one vector, in the order of its parameters."""
    return np.concatenate([values.ravel() for values in update.values()] or [np.empty(0)])


def split_like(vector: NDArray[np.float64], update: Update) -> dict[str, NDArray[np.float64]]:
    """Return a vector as `joined` made it, parameter by parameter."""
    found, start = {}, 0
    for name, values in update.items():
        found[name] = vector[start : start + values.size].reshape(values.shape)
        start += values.size
    return found
