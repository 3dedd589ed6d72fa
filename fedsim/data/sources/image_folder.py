"""Folders of images as a data set, in the layout of torchvision's ImageFolder."""

import os
from pathlib import Path
from typing import Literal

import numpy as np

from fedsim.data.arrays import Arrays
from fedsim.data.cache import load_or_decode
from fedsim.data.images import checked_size, decode_images
from fedsim.data.sources.base import SourceLocation, is_folder
from fedsim.data.standardise import standardise
from fedsim.errors import DataError, listed

DECODER = 1
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
MOST_FILES = 1 << 24


class ImageFolder:
    """A folder of JPEG, PNG or TIFF images, one folder per class; no Python needed.

    Either ``PATH/CLASS/*.jpg``, or ``PATH/train/CLASS/*.jpg`` and ``PATH/test/CLASS/*.jpg``.

    Parameters
    ----------
    path
        The folder; a relative path is looked for in --data-dir, beside the experiment and here.
    size
        A side, or [height, width], that images are resized to; none means that all have one size.
    channels
        1 for grayscale, 3 for colour; images are converted.
    train
        The folder of training images in `path`, where there is one of test images.
    test
        The folder of test images in `path`; without it, test records are drawn.
    standardise
        Whether each channel gets mean 0 and standard deviation 1 over the training images.
    """

    def __init__(
        self,
        path: str,
        size: int | list[int] | None = None,
        channels: Literal[1, 3] = 3,
        train: str = "train",
        test: str = "test",
        standardise: bool = False,
    ) -> None:
        self._path, self._size, self._channels = path, checked_size(size), channels
        self._splits, self._standardise = (train, test), standardise

    def require_files(self, place: SourceLocation) -> None:
        """Raise `DataError` if the folder does not exist."""
        self._root(place)

    def _root(self, place: SourceLocation) -> Path:
        root = place.find(self._path)
        if not root.is_dir():
            raise DataError(f"{root} is no folder")
        return root

    def arrays(self, place: SourceLocation) -> Arrays:
        """Return the images in the order of their paths, training images first."""
        root = self._root(place)
        splits = [root / name for name in self._splits]
        folders = splits if all(map(is_folder, splits)) else [root]
        files = [_images_in(folder) for folder in folders]
        classes = sorted({name for found in files for name in found})
        if not classes:
            raise DataError(f"path is {root}, which has no folders of images, one per class")
        rows = [
            (path, label, split)
            for split, found in enumerate(files)
            for label, name in enumerate(classes)
            for path in found.get(name, ())
        ]
        if len(rows) > MOST_FILES:
            raise DataError(f"{root} has more than {MOST_FILES:,} images")
        stats = [path.stat() for path, *_ in rows]
        facts = [
            (str(path.relative_to(root)), stat.st_size, stat.st_mtime_ns)
            for (path, *_), stat in zip(rows, stats, strict=True)
        ]
        labels, split = np.array([row[1] for row in rows]), np.array([row[2] for row in rows])

        def decode() -> Arrays:
            place.say(f"image-folder: decoding {len(rows):,} images in {root} (once)")
            features = decode_images(
                (path for path, *_ in rows),
                len(rows),
                size=self._size,
                channels=self._channels,
                names=(str(path) for path, *_ in rows),
            )
            test = split == 1 if len(files) > 1 else None
            return Arrays(
                features, labels, test=test, num_classes=len(classes), class_names=tuple(classes)
            )

        made = repr([str(root.resolve()), facts, self._size, self._channels])
        arrays = load_or_decode(place, "image-folder", decoder=DECODER, source=made, decode=decode)
        return standardise(arrays) if self._standardise else arrays


def _images_in(folder: Path) -> dict[str, list[Path]]:
    """Return the images of each class in a folder, by path; other files are skipped."""
    found: dict[str, list[Path]] = {}
    try:
        with os.scandir(folder) as entries:
            classes = sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
        for name in classes:
            with os.scandir(folder / name) as entries:
                images = sorted(
                    entry.name
                    for entry in entries
                    if entry.name.lower().endswith(SUFFIXES) and entry.is_file()
                )
            if not images:
                raise DataError(
                    f"class folder {folder / name} has no images ({listed(SUFFIXES)}); put some "
                    "there, or remove it"
                )
            found[name] = [folder / name / image for image in images]
    except OSError as error:
        raise DataError(f"cannot look into {folder}: {error.strerror}") from error
    return found
