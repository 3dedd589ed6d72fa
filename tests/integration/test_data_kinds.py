"""Each kind of data end to end without Python: a federation, an attack that learns, a report.

Labels have nothing to do with features, so what a model fits it knows by heart: attacks must find
members. Where no parameter moves nothing may be found, at 1 % false positives neither.
"""

import io
import struct
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import null_figures
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toys
from PIL import Image
from torch import Tensor, nn

import fedsim
from fedsim.api.result_objects import FinishedRun
from fedsim.data import read_ledger
from fedsim.progress import SILENCE, Advance
from fedsim.rundir import RunDirectory

Audited = tuple[str, FinishedRun, list[str]]
RECORDS, HELD_OUT, SIDE = 330, 130, 8
MEMBERS, NONMEMBERS = 70, 110


class Flat(nn.Sequential):
    """A network for images."""

    def __init__(self, num_classes: int, input_shape: tuple[int, ...]) -> None:
        width = int(np.prod(input_shape))
        super().__init__(nn.Flatten(), nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, num_classes))


class Bag(nn.Module):
    """A network for token ids: the mean of their embeddings."""

    def __init__(self, num_classes: int, vocabulary: int = 257) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 32)
        self.hidden, self.last = nn.Linear(32, 64), nn.Linear(64, num_classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (n, classes)."""
        return self.last(self.hidden(self.embedding(tokens).mean(1)).relu())


class Recurrent(nn.Module):
    """A language model."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_classes, 32)
        self.lstm = nn.LSTM(32, 64, batch_first=True)
        self.last = nn.Linear(64, num_classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (n, T, vocabulary)."""
        return self.last(self.lstm(self.embedding(tokens))[0])


def columns(seed: int = 0) -> dict[str, list[object]]:
    random = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    return {
        "age": random.normal(size=RECORDS).round(3).tolist(),
        "city": random.choice(["Rome", "Oslo", "Bern"], RECORDS).tolist(),
        **{f"x{n}": random.normal(size=RECORDS).round(3).tolist() for n in range(10)},
        "said": ["".join(random.choice(letters, 12)) for _ in range(RECORDS)],
        "who": [f"user {n % 20}" for n in range(RECORDS)],
        "label": random.choice(["yes", "no", "maybe"], RECORDS).tolist(),
    }


def pixels() -> np.ndarray:
    blocks = np.random.default_rng(1).integers(2, size=(RECORDS, 4, 4, 3), dtype=np.uint8) * 255
    return blocks.repeat(SIDE // 4, axis=1).repeat(SIDE // 4, axis=2)


def encoded(image: np.ndarray, kind: str) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(image).save(sink, kind)
    return sink.getvalue()


def csv(folder: Path) -> dict[str, object]:
    import pyarrow.csv as pa_csv

    pa_csv.write_csv(pa.table(columns()), folder / "t.csv")
    numbers = ["age", "city", *(f"x{n}" for n in range(10))]
    return {"name": "csv", "path": "t.csv", "label": "label", "user": "who", "features": numbers}


def parquet(folder: Path) -> dict[str, object]:
    images = [encoded(image, "JPEG") for image in pixels()]
    table = pa.table({"picture": images, "label": columns()["label"]})
    pq.write_table(table, folder / "t.parquet")
    return {"name": "parquet", "path": "t.parquet", "label": "label", "image": "picture", "size": 4}


def image_folder(folder: Path) -> dict[str, object]:
    labels = columns()["label"]
    for row, (image, label) in enumerate(zip(pixels(), labels, strict=True)):
        (folder / "pictures" / str(label)).mkdir(parents=True, exist_ok=True)
        path = folder / "pictures" / str(label) / f"{row}.png"
        path.write_bytes(encoded(image, "PNG"))
    return {"name": "image-folder", "path": "pictures", "channels": 1}


def huggingface(folder: Path) -> dict[str, object]:
    import datasets

    datasets.Dataset.from_dict(columns()).save_to_disk(str(folder / "saved"))
    chosen = {"label": "label", "text": "said", "max_length": 12}
    return {"name": "huggingface", "path": "saved", **chosen}


def torchvision(folder: Path) -> dict[str, object]:
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    blocks = np.random.default_rng(2).integers(2, size=(RECORDS, 7, 7), dtype=np.uint8) * 255
    images = blocks.repeat(4, axis=1).repeat(4, axis=2)
    labels = np.random.default_rng(3).integers(10, size=RECORDS).astype(np.uint8)
    for kind, part in (("train", slice(HELD_OUT, None)), ("t10k", slice(HELD_OUT))):
        head = struct.pack(">IIII", 2051, len(labels[part]), 28, 28)
        (raw / f"{kind}-images-idx3-ubyte").write_bytes(head + images[part].tobytes())
        head = struct.pack(">II", 2049, len(labels[part]))
        (raw / f"{kind}-labels-idx1-ubyte").write_bytes(head + labels[part].tobytes())
    return {"name": "torchvision", "dataset": "FashionMNIST", "channels": 1, "size": 7}


def next_token(folder: Path) -> dict[str, object]:
    pq.write_table(pa.table({"said": columns()["said"]}), folder / "t.parquet")
    return {
        "name": "parquet",
        "path": "t.parquet",
        "text": "said",
        "max_length": 12,
        "objective": "next-token",
    }


def regression(folder: Path) -> dict[str, object]:
    import pyarrow.csv as pa_csv

    pa_csv.write_csv(pa.table(columns()), folder / "t.csv")
    chosen = [f"x{n}" for n in range(10)]
    data = {"name": "csv", "path": "t.csv", "label": "age", "features": chosen}
    return {**data, "objective": "regression"}


def tokenized(folder: Path) -> dict[str, object]:
    """Texts through a tokenizer of the user's own."""
    pq.write_table(pa.table(columns()), folder / "t.parquet")
    chosen = {"label": "label", "text": "said", "tokenizer": "toys:Letters", "max_length": 12}
    return {"name": "parquet", "path": "t.parquet", **chosen}


class Letters:
    """A tokenizer: letters by their places in the alphabet."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        return [ord(letter) - ord("a") + 1 for letter in text]


KINDS: list[tuple[Callable[[Path], dict[str, object]], str]] = [
    (csv, "fully-connected"),
    (parquet, "toys:Flat"),
    (image_folder, "toys:Flat"),
    (huggingface, "toys:Bag"),
    (torchvision, "toys:Flat"),
    (next_token, "toys:Recurrent"),
    (regression, "toys:Flat"),
    (tokenized, "toys:Bag"),
]


class Said:
    """A watcher that keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        """Keep a line."""
        self.lines.append(text)

    def task(self, what: str, total: int, done: int = 0) -> AbstractContextManager[Advance]:
        """Watch nothing."""
        return SILENCE.task(what, total, done)


@pytest.fixture(params=KINDS, ids=[write.__name__ for write, _ in KINDS])
def audited(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Audited]:
    """Return what audits a federation on a kind of data; it takes rounds, epochs and a rate."""
    write, model = request.param
    monkeypatch.setenv("FEDSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for own in (Flat, Bag, Recurrent, Letters):
        monkeypatch.setattr(toys, own.__name__, own, raising=False)
    data = write(tmp_path)
    own_split = data["name"] == "torchvision"

    def audit(rounds: int, epochs: int, rate: float) -> Audited:
        local = {"batch_size": 20, "learning_rate": rate, "optimizer": "adam", "epochs": epochs}
        experiment = toys.tree(
            partition={"participants": 2, "records": 90},
            federation={
                "rounds": rounds,
                "local": {**local, "schedule": {}},
                "evaluation": {"every": rounds},
            },
            snapshots={"rounds": [rounds]},
            audit={"tested_members": MEMBERS, "tested_nonmembers": NONMEMBERS},
            adversaries=["curious-server"],
            attacks=["loss", "scalar-logistic", "random"],
            metrics=["accuracy", "auc", "tpr@0.01"],
        )
        experiment["data"] = data if own_split else {**data, "test_records": HELD_OUT}
        experiment["model"] = model
        watcher, place = Said(), tmp_path if own_split else None
        run = fedsim.run(experiment, tmp_path / "run", data_dir=place, watcher=watcher)
        return write.__name__, run, watcher.lines

    return audit


@pytest.mark.slow
def test_a_planted_leak_is_found(audited: Callable[..., Audited]) -> None:
    kind, run, said = audited(15, 10, 0.02)
    rows = {row.attack: row.figures["auc"] for row in run.results.results if row.victim != "mean"}
    assert rows["loss"].value > 0.8
    assert rows["scalar-logistic"].value > 0.6
    assert rows["random"].low < 0.5 < rows["random"].high
    directory = RunDirectory(run.path)
    assert directory.report.is_file()
    assert (read_ledger(directory.ledger).groups is not None) == (kind == "csv")
    utility = {"next_token": "perplexity", "regression": "error"}.get(kind, "accuracy")
    assert run.results.utility_figure.name == utility
    mapped = any(line.endswith("labels maybe, no, yes are classes 0 to 2") for line in said)
    assert mapped == (kind in ("csv", "parquet", "huggingface", "tokenized"))


@pytest.mark.slow
def test_where_nothing_was_learned_nothing_is_found(
    audited: Callable[..., Audited],
) -> None:
    _, run, _ = audited(1, 1, 1e-60)
    for row in run.results.results:
        null_figures.require_nothing(row, MEMBERS, NONMEMBERS)
