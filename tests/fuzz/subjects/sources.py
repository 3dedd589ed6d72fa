"""Data of a user's own without Python: CSV, parquet, images, and what `datasets` saves."""

import io
import json
from pathlib import Path
from random import Random
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from fedsim.data.loading import load_dataset
from fuzz.corpus import Corpus
from fuzz.harness import Subject
from fuzz.mutators import raw, tables, texts

SIDE = 12
CELLS = (
    *("", " ", "nan", "inf", "-1e400", "9" * 30, "x" * 70_000, '"', "\0", "\xff", "1,2", "true"),
    *("2020-01-01", "\r", "'", "-0", "0x1f", "NA", "null"),
)
SETTINGS: tuple[dict[str, Any], ...] = (
    {"label": "label"},
    {"label": "label", "user": "who"},
    {"label": "label", "split": "split", "features": ["a", "b"]},
    {"label": ["a", "b"], "objective": "regression"},
    {"label": "b", "text": "said", "max_length": 8},
    {"text": "said", "max_length": 8, "objective": "next-token"},
    {"label": "label", "features": ["a", "said"], "categories": "one-hot"},
)


def _table() -> pa.Table:
    random = np.random.default_rng(0)
    return pa.table(
        {
            "a": random.normal(size=30),
            "b": np.arange(30) % 4,
            "who": [f"u{n % 5}" for n in range(30)],
            "said": [f"word {n}" for n in range(30)],
            "split": ["test" if n % 3 else "train" for n in range(30)],
            "label": np.arange(30) % 3,
        }
    )


def _load(name: str, corpus: Corpus, data: Path, settings: dict[str, Any]) -> None:
    dataset = load_dataset(
        name,
        settings,
        data_dir=data,
        cache_dir=corpus.folder / "cache of sources",
        seed=0,
        test_records=None if {"split", "train"} & {*settings} else 1,
    )
    inputs, labels = dataset.batch(np.arange(len(dataset)))
    assert len(inputs) == len(labels) == len(dataset)
    assert dataset.features.nbytes < 1 << 28


def csv_files(corpus: Corpus) -> Subject:
    """CSV files."""
    rows = _table().to_pylist()
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    sound = ("\n".join(lines) + "\n").encode()
    folder = corpus.folder / "csv"
    folder.mkdir()

    def make(random: Random) -> tuple[bytes, dict[str, Any]]:
        settings = random.choice(SETTINGS)
        if random.random() < 0.5:
            return raw.mutated(sound, random), settings
        broken = sound.decode().split("\n")
        for _ in range(random.choice((1, 1, 2, 5))):
            row = random.randrange(len(broken))
            parts = broken[row].split(",")
            parts[random.randrange(len(parts))] = random.choice(CELLS)
            broken[row] = ",".join(parts)
        return random.choice(("\n", "\r\n")).join(broken).encode("latin1"), settings

    def read(broken: tuple[bytes, dict[str, Any]], _: Path) -> None:
        content, settings = broken
        (folder / "t.csv").write_bytes(content)
        _load("csv", corpus, folder, {"path": "t.csv", **settings})

    return Subject("csv", make, read)


def parquet_files(corpus: Corpus) -> Subject:
    """Parquet files of any columns."""
    folder = corpus.folder / "parquet"
    folder.mkdir()
    pictures = [_picture("PNG")] * 30
    table = _table().append_column("picture", pa.array(pictures))
    pq.write_table(table, folder / "sound.parquet")
    content = (folder / "sound.parquet").read_bytes()
    names = (*table.column_names, "label", "x")
    settings = (*SETTINGS, {"label": "label", "image": "picture", "size": 6})

    def make(random: Random) -> tuple[bytes, dict[str, Any]]:
        return tables.mutated(table, content, random, names), random.choice(settings)

    def read(broken: tuple[bytes, dict[str, Any]], _: Path) -> None:
        given, chosen = broken
        (folder / "t.parquet").write_bytes(given)
        _load("parquet", corpus, folder, {"path": "t.parquet", **chosen})

    return Subject("parquet", make, read)


def saved_data_sets(corpus: Corpus) -> Subject:
    """A folder that `datasets` saved, or one of parquet files, in which one file is broken."""
    folder = corpus.folder / "saved data sets"
    datasets.disable_progress_bars()
    split = datasets.Dataset(_table())
    datasets.DatasetDict(train=split, test=split).save_to_disk(str(folder / "saved"))
    (folder / "files").mkdir()
    pq.write_table(_table(), folder / "files" / "train.parquet")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sound = {path: path.read_bytes() for path in files}
    keys = ("features", "splits", "_data_files", "filename", "_type", "dtype", "train", "..")
    without_split = [one for one in SETTINGS if "split" not in one]

    def make(random: Random) -> tuple[Path, bytes, dict[str, Any]]:
        path = random.choice(files)
        settings = random.choice(without_split)
        if path.suffix == ".json" and random.random() < 0.7:
            return path, texts.as_json(json.loads(sound[path]), random, keys), settings
        if path.suffix == ".parquet" and random.random() < 0.7:
            names = (*_table().column_names, "x")
            return path, tables.mutated(_table(), sound[path], random, names), settings
        return path, raw.mutated(sound[path], random, list(sound.values())), settings

    def read(broken: tuple[Path, bytes, dict[str, Any]], _: Path) -> None:
        path, content, settings = broken
        path.write_bytes(content)
        try:
            _load(
                "huggingface",
                corpus,
                folder,
                {"path": path.relative_to(folder).parts[0], "train": "train", **settings},
            )
        finally:
            path.write_bytes(sound[path])

    return Subject("huggingface folder", make, read)


def image_folders(corpus: Corpus) -> Subject:
    """A folder of images, one of them broken."""
    folder = corpus.folder / "pictures"
    sound = {kind: _picture(kind) for kind in ("PNG", "JPEG", "TIFF")}
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for kind, content in sound.items():
            (folder / name / f"1.{kind.lower()}").write_bytes(content)

    def make(random: Random) -> tuple[str, bytes, dict[str, Any]]:
        kind = random.choice(list(sound))
        content = raw.mutated(sound[random.choice(list(sound))], random, list(sound.values()))
        return kind, content, random.choice(({}, {"size": 8}, {"size": [3, 5], "channels": 1}))

    def read(broken: tuple[str, bytes, dict[str, Any]], _: Path) -> None:
        kind, content, settings = broken
        path = folder / "a" / f"1.{kind.lower()}"
        path.write_bytes(content)
        try:
            _load("image-folder", corpus, folder, {"path": ".", **settings})
        finally:
            path.write_bytes(sound[kind])

    return Subject("image folder", make, read)


def _picture(kind: str) -> bytes:
    sink = io.BytesIO()
    colours = np.random.default_rng(0).integers(255, size=(SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(colours).save(sink, kind)
    return sink.getvalue()


READERS = {
    "csv": csv_files,
    "parquet": parquet_files,
    "image folder": image_folders,
    "huggingface folder": saved_data_sets,
}
