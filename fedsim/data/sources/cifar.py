"""CIFAR-10 and CIFAR-100 in the layout of the Hugging Face Hub, read through `datasets`.

Krizhevsky, "Learning multiple layers of features from tiny images", 2009: 50,000 training and
10,000 test images of 32 x 32 pixels. The Hub keeps them as parquet files of PNG images
(``uoft-cs/cifar10`` and ``uoft-cs/cifar100``); nothing but parquet and PNG is ever read.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fedsim.data.arrays import Arrays
from fedsim.data.cache import load_or_decode
from fedsim.data.sources.base import SourceLocation
from fedsim.errors import DataError, listed

DECODER = 1
SPLITS = ("train", "test")
IMAGES_A_CHUNK = 1000
SIDE = 32


@dataclass(frozen=True)
class Published:
    """A data set of the Hub: its repository, its label column, and its pixel statistics."""

    name: str
    repository: str
    revision: str
    folder: str
    label_column: str
    classes: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


CIFAR10 = Published(
    name="cifar10",
    repository="uoft-cs/cifar10",
    revision="0b2714987fa478483af9968de7c934580d0bb9a2",
    folder="plain_text",
    label_column="label",
    classes=10,
    mean=(0.49140, 0.48216, 0.44653),
    std=(0.24703, 0.24349, 0.26159),
)
CIFAR100 = Published(
    name="cifar100",
    repository="uoft-cs/cifar100",
    revision="aadb3af77e9048adbea6b47c21a81e47dd092ae5",
    folder="cifar100",
    label_column="fine_label",
    classes=100,
    mean=(0.50708, 0.48655, 0.44092),
    std=(0.26733, 0.25644, 0.27615),
)


class Cifar10:
    """CIFAR-10: 50,000 + 10,000 colour images of 32 x 32 pixels in 10 classes."""

    def arrays(self, place: SourceLocation) -> Arrays:
        """Return the images, training split first, from the data directory or the Hub."""
        return _arrays(CIFAR10, place)

    def require_files(self, place: SourceLocation) -> None:
        """Raise `DataError` if the data directory lacks them."""
        _local_files(CIFAR10, place)


class Cifar100:
    """CIFAR-100: 50,000 + 10,000 colour images of 32 x 32 pixels in 100 classes."""

    def arrays(self, place: SourceLocation) -> Arrays:
        """Return the images, training split first, from the data directory or the Hub."""
        return _arrays(CIFAR100, place)

    def require_files(self, place: SourceLocation) -> None:
        """Raise `DataError` if the data directory lacks them."""
        _local_files(CIFAR100, place)


def _arrays(published: Published, place: SourceLocation) -> Arrays:
    files = _local_files(published, place)
    source = f"{published.repository}@{published.revision}" if files is None else _identity(files)
    return load_or_decode(
        place,
        published.name,
        decoder=DECODER,
        source=source,
        decode=lambda: _decoded(published, files, place),
    )


def _local_files(published: Published, place: SourceLocation) -> dict[str, list[Path]] | None:
    """Return the parquet files of each split in the data directory, or None if none was given."""
    folders = place.folders(published.name, published.folder)
    if not folders:
        return None
    for folder in folders:
        files = {split: sorted(folder.glob(f"{split}-*.parquet")) for split in SPLITS}
        if all(files.values()):
            return files
    raise DataError(
        "needs train-*.parquet and test-*.parquet in one of "
        f"{listed(dict.fromkeys(folders))}; without a data directory it is downloaded"
    )


def _identity(files: dict[str, list[Path]]) -> str:
    """Return an identifier of files' content from their names, sizes and modification times."""
    facts = [
        (path.name, path.stat().st_size, path.stat().st_mtime_ns)
        for split in SPLITS
        for path in files[split]
    ]
    return repr(facts)


def _decoded(
    published: Published, files: dict[str, list[Path]] | None, place: SourceLocation
) -> Arrays:
    where = published.repository if files is None else str(files["train"][0].parent)
    place.say(f"{published.name}: decoding {where} (once)")
    images: list[NDArray[np.uint8]] = []
    labels: list[NDArray[np.int64]] = []
    sizes = []
    for split in SPLITS:
        rows = 0
        for chunk in _chunks(published, split, files, where):
            images.append(pixels(chunk["img"], where))
            labels.append(_labels(chunk[published.label_column], where))
            rows += len(labels[-1])
        sizes.append(rows)
    return Arrays(
        features=np.concatenate(images),
        labels=np.concatenate(labels),
        test=np.repeat([False, True], sizes),
        mean=published.mean,
        std=published.std,
        num_classes=published.classes,
    )


def _chunks(
    published: Published, split: str, files: dict[str, list[Path]] | None, where: str
) -> Iterator[dict[str, Any]]:
    """Yield a split as chunks of columns, its images still PNG bytes."""
    import datasets  # here, because importing it takes a second that a cached data set saves

    columns = ["img", published.label_column]
    try:
        if files is None:
            rows = datasets.load_dataset(
                published.repository, revision=published.revision, split=split
            )
        else:
            # Streamed, because `datasets` would otherwise keep a second copy in its own cache.
            paths = [str(path) for path in files[split]]
            rows = datasets.load_dataset(
                "parquet", data_files={split: paths}, split=split, streaming=True
            )
        if not set(columns) <= set(rows.column_names or ()):
            raise DataError(
                f"{where} is not {published.name}: it has the columns "
                f"{listed(rows.column_names or ())} but not {listed(columns)}"
            )
        rows = rows.select_columns(columns).cast_column("img", datasets.Image(decode=False))
        yield from rows.iter(batch_size=IMAGES_A_CHUNK)
    except DataError:
        raise
    except Exception as error:  # errors of `datasets`, pyarrow, fsspec and the Hub
        reason = str(error).partition("\n")[0] or type(error).__name__
        advice = "; --data-dir names a directory that has it" if files is None else ""
        raise DataError(f"cannot read {where}: {reason.rstrip('.')}{advice}") from error


def _labels(column: list[Any], where: str) -> NDArray[np.int64]:
    try:
        return np.asarray(column, dtype=np.int64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{where} holds a label that is no whole number") from error


def pixels(encoded: list[dict[str, bytes]], where: str) -> NDArray[np.uint8]:
    """Decode PNG images into (n, 3, 32, 32).

    Raises
    ------
    DataError
        If an image is damaged, or not a PNG file of this size.
    """
    decoded = np.empty((len(encoded), SIDE, SIDE, 3), dtype=np.uint8)
    for row, image in enumerate(encoded):
        try:
            with Image.open(io.BytesIO(image["bytes"]), formats=["PNG"]) as opened:
                # The size is checked before any pixel is decoded, which bounds a hostile image.
                if opened.size != (SIDE, SIDE) or opened.mode != "RGB":
                    raise DataError(
                        f"{where} holds an image of {opened.size} pixels in mode {opened.mode}; "
                        f"valid: ({SIDE}, {SIDE}) in mode RGB"
                    )
                decoded[row] = np.asarray(opened)
        except DataError:
            raise
        except Exception as error:  # Pillow also raises errors of zlib, struct and its own bounds
            raise DataError(f"{where} holds an image that is not a sound PNG file") from error
    return np.ascontiguousarray(decoded.transpose(0, 3, 1, 2))
