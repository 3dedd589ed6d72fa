"""Tiny data of every kind that plugins may ask for, and files of them for the sources that read."""

from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from objective_data import sequences
from PIL import Image

from fedsim.data import Arrays

RECORDS, FEATURES, CLASSES, USERS = 240, 12, 4, 6


def _points() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = np.arange(RECORDS) % CLASSES
    centres = random.normal(size=(CLASSES, FEATURES))
    features = centres[labels] + random.normal(size=(RECORDS, FEATURES))
    return features.astype(np.float32), labels


def points() -> Arrays:
    """Return points around the centre of their class; each record is one of six users'."""
    features, labels = _points()
    users = np.arange(RECORDS) // (RECORDS // USERS)
    return Arrays(features, labels, num_classes=CLASSES, groups=users)


def pictures() -> Arrays:
    """Return images of 32 x 32 pixels."""
    random = np.random.default_rng(0)
    features = random.integers(255, size=(RECORDS, 3, 32, 32), dtype=np.uint8)
    return Arrays(features, np.arange(RECORDS) % CLASSES, num_classes=CLASSES)


def numbers() -> Arrays:
    """Return points with two real targets."""
    features, _ = _points()
    return Arrays(features, features[:, :2].copy(), objective="regression")


def several_labels() -> Arrays:
    """Return points with four labels by coin tosses."""
    labels = np.random.default_rng(2).integers(0, 2, size=(RECORDS, CLASSES))
    return Arrays(_points()[0], labels, objective="multilabel")


def tokens() -> Arrays:
    """Return sequences of token ids."""
    return sequences()


def write_files(folder: Path) -> Path:
    """Write the points as files that sources read, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    features, labels = _points()
    columns = {f"f{n}": features[:, n] for n in range(FEATURES)}
    columns["label"] = labels
    columns["user"] = np.arange(RECORDS) // (RECORDS // USERS)
    columns["part"] = np.where(np.arange(RECORDS) % 4, "train", "test")
    columns["said"] = np.array([f"word {n % 9}" for n in range(RECORDS)])
    table = pa.table(columns)
    pyarrow.csv.write_csv(table, folder / "t.csv")
    pq.write_table(table, folder / "t.parquet")
    datasets.Dataset(table).save_to_disk(str(folder / "saved"))
    colours = np.random.default_rng(0).integers(255, size=(RECORDS, 8, 8, 3), dtype=np.uint8)
    for n, (image, label) in enumerate(zip(colours, labels, strict=True)):
        place = folder / "pictures" / f"c{label}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{n}.png")
    return folder
