"""Folders of images, and the data sets of torchvision by name."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedsim.data import load_dataset
from fedsim.errors import FedsimError


def load(name: str, folder: Path, data_dir: Path | None = None, **settings: object):
    return load_dataset(
        name, settings, data_dir=data_dir, cache_dir=folder / "cache", seed=0, beside=folder
    )


def draw(path: Path, side: int = 12, mode: str = "RGB", shade: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (side, side), shade).convert(mode).save(path)


def test_a_folder_a_class_in_several_formats_and_modes(tmp_path: Path) -> None:
    draw(tmp_path / "pets/cat/a.png", shade=10)
    draw(tmp_path / "pets/cat/b.JPG", mode="L", shade=20)
    draw(tmp_path / "pets/dog/c.tiff", side=33, shade=30)
    draw(tmp_path / "pets/dog/d.png", mode="RGBA", shade=40)
    Image.fromarray(np.full((12, 12), 50 * 256, np.uint16)).save(tmp_path / "pets/dog/e.png")
    (tmp_path / "pets/dog/notes.txt").write_text("passed over")
    (tmp_path / "pets/.hidden").mkdir()
    found = load("image-folder", tmp_path, path="pets", size=8)
    assert found.input_shape == (3, 8, 8)
    assert (found.labels.tolist(), found.class_names) == ([0, 0, 1, 1, 1], ("cat", "dog"))
    assert found.features.mean(axis=(1, 2, 3)).round(-1).tolist() == [10, 20, 30, 40, 50]
    again = load("image-folder", tmp_path, path="pets", size=8)
    assert isinstance(again.features, np.memmap)
    draw(tmp_path / "pets/cat/a.png", shade=200)  # an edit is decoded anew
    assert load("image-folder", tmp_path, path="pets", size=8).features[0].mean() == 200
    assert load("image-folder", tmp_path, path="pets", size=8, channels=1).input_shape == (1, 8, 8)
    with pytest.raises(FedsimError, match=r"c.tiff has 33 x 33 pixels.*give a size"):
        load("image-folder", tmp_path, path="pets")


def test_folders_train_and_test_are_the_splits(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("test", 2)):
        for name in ("a", "b"):
            for number in range(count):
                draw(tmp_path / split / name / f"{number}.png", shade=number)
    found = load("image-folder", tmp_path, path=str(tmp_path))
    assert found.test_records.tolist() == [6, 7, 8, 9]
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 1, 1]


def bomb(side: int) -> bytes:
    """Return a PNG that states a square of so many pixels and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (bomb(60_000), "states more than 89,478,485 pixels"),
        (bomb(11_000), "states more than 89,478,485 pixels"),
        (bomb(12), "not a sound"),
        (b"GIF89a", "not a sound JPEG, PNG or TIFF image"),
        (b"", "not a sound"),
    ],
)
def test_what_is_no_sound_image_is_refused_before_its_pixels_are_made(tmp_path, content, sentence):
    draw(tmp_path / "a/1.png")
    (tmp_path / "a/2.png").write_bytes(content)
    with pytest.raises(FedsimError, match=rf"a/2.png .*{sentence}"):
        load("image-folder", tmp_path, path=str(tmp_path), size=8)


def test_folders_that_are_no_data_set_get_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FedsimError, match="no folders of images"):
        load("image-folder", tmp_path, path="empty")
    draw(tmp_path / "some/a/1.png")
    (tmp_path / "some/b").mkdir()
    with pytest.raises(FedsimError, match=r"class folder .*some/b has no images"):
        load("image-folder", tmp_path, path="some")
    with pytest.raises(FedsimError, match="size is 0"):
        load("image-folder", tmp_path, path="some", size=0)


def mnist(folder: Path, records: int = 20) -> None:
    """Write FashionMNIST's files, as torchvision keeps them, with few records."""
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    random = np.random.default_rng(0)
    for kind, count in (("train", records), ("t10k", records // 2)):
        pixels = random.integers(256, size=(count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        head = struct.pack(">IIII", 2051, count, 28, 28)
        (raw / f"{kind}-images-idx3-ubyte").write_bytes(head + pixels.tobytes())
        head = struct.pack(">II", 2049, count)
        (raw / f"{kind}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())


def test_a_data_set_of_torchvision_by_name(tmp_path: Path) -> None:
    mnist(tmp_path)
    found = load("torchvision", tmp_path, tmp_path, dataset="FashionMNIST", channels=1)
    assert (found.features.shape, len(found.test_records)) == ((30, 1, 28, 28), 10)
    assert (found.num_classes, found.class_names[0]) == (10, "T-shirt/top")
    with pytest.raises(FedsimError, match="no data set 'MNIST5'; valid: "):
        load("torchvision", tmp_path, tmp_path, dataset="MNIST5")
    with pytest.raises(FedsimError, match=r"KMNIST cannot be had from .*without --data-dir"):
        load("torchvision", tmp_path, tmp_path, dataset="KMNIST")
