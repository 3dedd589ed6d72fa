"""The data sets of torchvision, with small classes in place of its own: splits and refusals."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
import torchvision
from PIL import Image

from fedsim import TableFile
from fedsim.data.images import MOST_BYTES
from fedsim.data.sources import torchvision as source
from fedsim.data.sources.base import SourceLocation
from fedsim.data.sources.torchvision import TorchVision
from fedsim.errors import DataError


def picture(shade: int, side: int = 4) -> Image.Image:
    return Image.new("L", (side, side), shade)


class Listed:
    """A data set of a list."""

    records: ClassVar[list[Any]] = [(picture(10), 0), (picture(20), 1)]

    def __init__(self, root: str) -> None:
        self.root = root

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, row: int) -> Any:
        return self.records[row]


class BySplit(Listed):
    """It has a parameter `split`, and downloads."""

    classes: ClassVar[list[str]] = ["cat", "dog"]
    made: ClassVar[list[tuple[str, bool]]] = []

    def __init__(self, root: str, split: str, download: bool) -> None:
        super().__init__(root)
        self.split = split
        self.made.append((split, download))

    def __len__(self) -> int:
        return 2 if self.split == "train" else 1


class Pairs(Listed):
    """Its labels are tuples."""

    records: ClassVar[list[Any]] = [(picture(1), (0, 1))]


class TwoSizes(Listed):
    """Its second image is larger."""

    records: ClassVar[list[Any]] = [(picture(1), 0), (picture(2, 5), 1)]


class Empty(Listed):
    """It has no records."""

    records: ClassVar[list[Any]] = []


def arrays(
    kind: type, folder: Path, monkeypatch: pytest.MonkeyPatch, said: list[str], **settings: Any
) -> Any:
    """Return the records of a class, as if torchvision had it and it were to be downloaded."""
    name = kind.__name__
    monkeypatch.setattr(torchvision.datasets, "__all__", (name,))
    monkeypatch.setattr(torchvision.datasets, name, kind, raising=False)
    return TorchVision(name, channels=1, **settings).arrays(
        SourceLocation(folder / "cache", say=said.append)
    )


def test_a_set_by_splits_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    BySplit.made.clear()
    found = arrays(BySplit, tmp_path, monkeypatch, said, test="val")
    assert BySplit.made == [("train", True), ("val", True)]
    assert said == [
        f"torchvision: BySplit is downloaded into {tmp_path}/cache/torchvision if it is not there",
        "torchvision: decoding 3 images of BySplit (once)",
    ]
    assert np.asarray(found.features)[:, 0, 0, 0].tolist() == [10, 20, 10]
    assert (found.labels.tolist(), found.test.tolist()) == ([0, 1, 0], [False, False, True])
    assert (found.num_classes, found.class_names) == (2, ("cat", "dog"))


def test_a_set_without_splits_has_no_test_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    found = arrays(Listed, tmp_path, monkeypatch, said)
    assert said == ["torchvision: decoding 2 images of Listed (once)"]
    assert (found.features.shape, found.test, found.class_names) == ((2, 1, 4, 4), None, None)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (
            Pairs,
            "image 0 of torchvision's Pairs is a Image with a tuple; valid: images with a class "
            "each",
        ),
        (
            TwoSizes,
            "image 1 of torchvision's TwoSizes has another size than the first; give a size",
        ),
        (Empty, "torchvision's Empty is empty"),
    ],
)
def test_sets_that_are_not_images_of_one_size(
    kind: type, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError) as found:
        arrays(kind, tmp_path, monkeypatch, [])
    assert str(found.value) == sentence


def test_images_that_do_not_fit_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_BYTES == 16 << 30
    monkeypatch.setattr(source, "MOST_BYTES", 31)  # two images of 16 bytes take one more
    with pytest.raises(DataError) as found:
        arrays(Listed, tmp_path, monkeypatch, [])
    assert str(found.value) == (
        "image 0 of torchvision's Listed is too large for 2 of them; give a size"
    )


class InMemory(TableFile):
    """A table that is handed over."""

    def read(self, path: Path) -> pa.Table:
        raise NotImplementedError


def test_tables_that_cannot_be_put_together(tmp_path: Path) -> None:
    place = SourceLocation(tmp_path)
    table = InMemory("t", label="label")
    train = pa.table({"a": [1.0, 2.0], "label": [0, 1]})
    test = pa.table({"a": pa.array([[1], [2]]), "label": [0, 1]})
    with pytest.raises(DataError, match=r"^t: it and its test records have different columns: "):
        table.read_records([train, test], "t", place)


def test_a_text_that_is_not_utf_8(tmp_path: Path) -> None:
    raw = pa.array([b"\xff", b"a"])
    texts = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    broken = pa.table({"a": [1.0, 2.0], "label": texts})
    with pytest.raises(DataError, match=r"^t: a text in it is not UTF-8$"):
        InMemory("t", label="label").read_records([broken], "t", SourceLocation(tmp_path))
