"""Bytes of a round: those of the arrays in its messages, and those of real encodings."""

import io
from typing import Any

import numpy as np
import pytest
import toys
from flwr.app import Array, ArrayRecord

from fedsim.config.choice import LabelledChoice
from fedsim.config.federation import LocalTraining
from fedsim.defences import FederationFacts
from fedsim.defences.clipped_updates import ClippedUpdates
from fedsim.defences.composition import build_defences, encoding
from fedsim.defences.quantized_updates import QuantizedUpdates
from fedsim.defences.random_k import SEED_BYTES, RandomK
from fedsim.defences.top_k import TopK
from fedsim.federation.rounds import RoundFigures
from fedsim.seeds import generator

SIZE = 40 * 5 + 7
FACTS = FederationFacts(4, 3, 3, (40, 30, 20), frozenset({"w", "b"}), LocalTraining(), 3)


def of_training(crossed: list[tuple[int, str, dict[str, bytes]]]) -> int:
    """Return the bytes of the numbers in every training message, from the .npy files themselves."""
    return sum(
        np.load(io.BytesIO(data)).nbytes
        for _, kind, content in crossed
        if kind == "train"
        for name, data in content.items()
        if "/" in name
    )


@pytest.mark.usefixtures("flower")
def test_the_bytes_of_a_round_are_those_of_the_arrays_in_its_messages() -> None:
    federation = toys.Federation(rounds=2)
    first, second = federation.run().history
    assert of_training(federation.grid.sent) > 0
    for crossed, name in (
        (federation.grid.sent, "sent_bytes"),
        (federation.grid.returned, "received_bytes"),
    ):
        assert first.of(name) == second.of(name) == of_training(crossed) / 2
    # 12 features, 16 hidden units, 4 classes, 3 participants, 4 bytes a number.
    assert first.of("sent_bytes") == 3 * 4 * (12 * 16 + 16 + 16 * 4 + 4)
    assert first.of("encoded_bytes") is None


def upload(seed: int = 0) -> ArrayRecord:
    rng = np.random.default_rng(seed)
    return ArrayRecord(
        {
            "w": Array(rng.normal(size=(40, 5)).astype(np.float32)),
            "b": Array(rng.normal(size=7).astype(np.float32)),
            "seen": Array(np.arange(3)),
        }
    )


def packed(values: np.ndarray, bits: int) -> bytes:
    """Return whole numbers in so many bits each, one after the other."""
    return np.packbits((values[:, None] >> np.arange(bits)) & 1).tobytes()


def changed(defence: Any) -> np.ndarray:
    update = {n: a.numpy().astype(float) for n, a in upload().items() if n != "seen"}
    return np.concatenate([v.ravel() for v in defence.transform(update, generator(0)).values()])


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3])
def test_sparse_uploads_take_what_an_encoding_of_them_takes(share: float) -> None:
    whole = upload()["seen"].numpy().tobytes()
    for made in (TopK(share), RandomK(share)):
        made.facts = FACTS
        entries = changed(made)
        (kept,) = np.nonzero(entries)
        positions = packed(kept, bits=8) if isinstance(made, TopK) else bytes(SEED_BYTES)
        encoded = whole + entries[kept].astype(np.float32).tobytes() + positions
        assert made.upload_bytes(upload()) == len(encoded)


@pytest.mark.parametrize("bits", [1, 2, 5, 8])
def test_quantised_uploads_take_what_an_encoding_of_them_takes(bits: int) -> None:
    made = QuantizedUpdates(bits)
    made.facts = FACTS
    entries = changed(made)
    codes, scales = [], b""
    for part in (entries[:200], entries[200:]):
        steps = np.abs(part[part != 0]).min() if bits == 1 else None
        if steps is None:
            steps = np.abs(changed_scale(part, bits))
        codes.append(np.rint(part / steps).astype(int))
        scales += np.float32(steps).tobytes()
    levels = np.concatenate(codes)
    assert len(np.unique(levels)) <= 2**bits
    encoded = upload()["seen"].numpy().tobytes() + packed(levels % 2**bits, bits) + scales
    assert made.upload_bytes(upload()) == len(encoded)


def changed_scale(part: np.ndarray, bits: int) -> float:
    """Return the step between levels: the largest magnitude is the last of them."""
    return float(np.abs(part).max()) / (2 ** (bits - 1) - 1)


def test_nothing_is_encoded_to_more_than_it_was() -> None:
    made = TopK(1.0)
    made.facts = FACTS
    assert made.upload_bytes(upload()) == 4 * SIZE + 3 * 8


def test_the_last_defence_that_alters_uploads_says_how_they_are_encoded() -> None:
    def of(*choices: dict[str, Any]) -> Any:
        made = build_defences([LabelledChoice(**one) for one in choices], FACTS)
        return encoding(tuple(made.values()))

    top_k, clipping = {"name": "top-k", "share": 0.1}, {"name": "clipped-updates", "max_norm": 1.0}
    sums = {"name": "secure-aggregation"}
    assert of() is None
    assert of(clipping) is None
    assert of(top_k, clipping) is None
    assert of(clipping, top_k)(upload()) == of(top_k)(upload()) == 24 + 21 * 4 + 21
    assert of(top_k, sums)(upload()) == of(top_k)(upload())
    assert ClippedUpdates(1.0).upload_bytes(upload()) is None


def test_a_history_takes_whole_bytes_only() -> None:
    plain = {"round": 1, "sent_bytes": 8, "received_bytes": 8, "encoded_bytes": None}
    assert RoundFigures.from_plain(plain).of("sent_bytes") == 8
    for wrong in (-1, 1.5, True, "8"):
        with pytest.raises(ValueError, match="round 1 has sent_bytes, which is no figure"):
            RoundFigures.from_plain({**plain, "sent_bytes": wrong})
