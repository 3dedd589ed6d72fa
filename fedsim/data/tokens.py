"""Converting texts to token ids of one length, by bytes or by a user's tokenizer.

A tokenizer is any function from a text to a list of ids, named as ``module:function``, or a class
whose instances can be called in this way or have a method ``encode``. The built-in ``bytes``
returns the bytes of UTF-8.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedsim.data.targets import IGNORED
from fedsim.errors import DataError, PluginError

BYTES = "bytes"
PADDING_OF_BYTES = 256
MOST_TOKENS = 1 << 31
MOST_LENGTH = 1 << 20
MOST_ID = 1 << 31


def byte_ids(text: str) -> list[int]:
    """Return the bytes of a text in UTF-8, 0..255.

    >>> byte_ids("né")
    [110, 195, 169]
    """
    return list(text.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True)
class TextSettings:
    """The settings that convert a text column to token ids.

    Attributes
    ----------
    tokenizer
        ``bytes``, or ``module:function`` or ``module:Class`` from a text to a list of ids.
    max_length
        The number of tokens per record; longer texts are cut, shorter ones padded at the end.
    padding
        The id that pads a short text; None: 256 for bytes, 0 for any other tokenizer.
    """

    tokenizer: str = BYTES
    max_length: int = 128
    padding: int | None = None

    @property
    def padding_id(self) -> int:
        """The id that pads a short text."""
        if self.padding is not None:
            return self.padding
        return PADDING_OF_BYTES if self.tokenizer == BYTES else 0

    @property
    def vocabulary(self) -> int | None:
        """The number of ids, if it is known."""
        return max(PADDING_OF_BYTES, self.padding_id) + 1 if self.tokenizer == BYTES else None


def encode_texts(
    texts: Sequence[str], settings: TextSettings, *, next_token: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    """Return token ids of shape (n, max_length), and for `next_token` the id that follows each.

    After the end of a text the following id is -100, which is ignored.

    Raises
    ------
    DataError
        If the tokenizer fails or does not return ids, or a text has too few.
    """
    length, padding = settings.max_length, settings.padding_id
    if not 0 < length <= MOST_LENGTH or len(texts) * length > MOST_TOKENS:
        raise DataError(
            f"max_length is {length} for {len(texts):,} texts; valid: 1 to "
            f"{min(MOST_LENGTH, MOST_TOKENS // max(len(texts), 1)):,}"
        )
    if not 0 <= padding < MOST_ID:
        raise DataError(f"padding is {padding}; valid: a token id from 0 on")
    tokenize = find_tokenizer(settings.tokenizer)
    features = np.full((len(texts), length), padding, dtype=np.int64)
    following = np.full((len(texts), length), IGNORED, dtype=np.int64) if next_token else None
    known: dict[str, NDArray[np.int64]] = {}  # repeated texts are tokenised once
    for row, text in enumerate(texts):
        if text not in known:
            known[text] = _ids(tokenize, settings.tokenizer, text, row)
        ids = known[text]
        if len(ids) < 1 + next_token:
            raise DataError(
                f"the text of row {row} has {len(ids)} tokens; valid: at least {1 + next_token}"
            )
        kept = ids[: len(ids) - next_token][:length]
        features[row, : len(kept)] = kept
        if following is not None:
            after = ids[1 : length + 1]
            following[row, : len(after)] = after
    return features, following


def find_tokenizer(name: str) -> Callable[[str], Iterable[int]]:
    """Return the tokenizer with a name.

    A class is built without settings. If the object has a method `encode`, as the tokenizers of
    most libraries have, that method is used.

    Raises
    ------
    PluginError
        If there is no such tokenizer.
    """
    if name == BYTES:
        return byte_ids
    module, colon, attribute = name.partition(":")
    if not colon:
        raise PluginError(
            f"there is no tokenizer {name!r}; valid: {BYTES}, or your own as module:function or "
            "module:Class"
        )
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        if isinstance(found, type):
            found = found()
        found = getattr(found, "encode", found)
    except Exception as error:  # importing a user's module may raise anything
        raise PluginError(f"cannot import the tokenizer {name!r}: {error}") from error
    if not callable(found):
        raise PluginError(f"the tokenizer {name!r} is a {type(found).__name__}, no function")
    return found  # type: ignore[no-any-return]


def _ids(
    tokenize: Callable[[str], Iterable[int]], name: str, text: str, row: int
) -> NDArray[np.int64]:
    try:
        given = tokenize(text)
        ids = np.asarray(given if isinstance(given, np.ndarray) else list(given))
    except Exception as error:  # a user's function may raise anything
        raise DataError(
            f"the tokenizer {name} failed on row {row}: {type(error).__name__}: {error}"
        ) from error
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise DataError(f"the tokenizer {name} gave no list of ids for row {row}")
    if ids.size and not (int(ids.min()) >= 0 and int(ids.max()) < MOST_ID):
        raise DataError(f"the tokenizer {name} gave an id below 0 or too large for row {row}")
    return ids.astype(np.int64)
