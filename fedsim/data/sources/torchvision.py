"""The image data sets of torchvision, which are named by their class."""

import inspect
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fedsim.data.arrays import Arrays
from fedsim.data.cache import load_or_decode
from fedsim.data.images import MOST_BYTES, checked_size, pixels_of
from fedsim.data.sources.base import SourceLocation
from fedsim.data.standardise import standardise
from fedsim.errors import DataError, listed

DECODER = 1


class TorchVision:
    """A classification data set of torchvision by its class's name, such as FashionMNIST.

    Its files are in --data-dir, where torchvision keeps them, or are downloaded into the cache.

    Parameters
    ----------
    dataset
        The name of a class in `torchvision.datasets`.
    size
        A side, or [height, width], that images are resized to; none means that all have one size.
    channels
        1 for grayscale, 3 for colour; images are converted.
    train
        The name of the training split, where the class has a parameter `split`.
    test
        The name of the test split there.
    standardise
        Whether each channel gets mean 0 and standard deviation 1 over the training images.
    """

    def __init__(
        self,
        dataset: str,
        size: int | list[int] | None = None,
        channels: Literal[1, 3] = 3,
        train: str = "train",
        test: str = "test",
        standardise: bool = False,
    ) -> None:
        self._name, self._size, self._channels = dataset, checked_size(size), channels
        self._splits, self._standardise = (train, test), standardise

    def require_files(self, place: SourceLocation) -> None:
        """Raise `DataError` if the data directory does not exist."""
        place.folders()

    def arrays(self, place: SourceLocation) -> Arrays:
        """Return the images, training split first."""
        import torchvision

        if self._name not in torchvision.datasets.__all__:
            raise DataError(
                f"torchvision has no data set {self._name!r}; valid: "
                f"{listed(torchvision.datasets.__all__)}"
            )
        root = place.data_dir or place.cache_dir / "torchvision"

        def decode() -> Arrays:
            return self._decoded(getattr(torchvision.datasets, self._name), root, place)

        where = None if place.data_dir is None else str(place.data_dir.resolve())
        made = repr([self._size, self._channels, self._splits, torchvision.__version__, where])
        name = f"torchvision-{self._name}"
        arrays = load_or_decode(place, name, decoder=DECODER, source=made, decode=decode)
        return standardise(arrays) if self._standardise else arrays

    def _decoded(self, kind: Any, root: Path, place: SourceLocation) -> Arrays:
        accepted = inspect.signature(kind).parameters
        if "train" in accepted:
            ways: list[dict[str, Any]] = [{"train": True}, {"train": False}]
        elif "split" in accepted:
            ways = [{"split": name} for name in self._splits]
        else:
            ways = [{}]
        if "download" in accepted:
            ways = [{**way, "download": place.data_dir is None} for way in ways]
            if place.data_dir is None:
                place.say(f"torchvision: {self._name} is downloaded into {root} if it is not there")
        try:
            parts = [kind(root=str(root), **way) for way in ways]
        except Exception as error:  # torchvision raises many types of errors
            reason = " ".join(str(error).split())
            raise DataError(
                f"torchvision's {self._name} cannot be had from {root}: {reason}; without "
                "--data-dir it is downloaded"
            ) from error
        place.say(f"torchvision: decoding {sum(map(len, parts)):,} images of {self._name} (once)")
        images = [self._images(part) for part in parts]
        labels = np.concatenate([found for _, found in images])
        names = getattr(parts[0], "classes", None)
        sizes = [len(found) for _, found in images]
        return Arrays(
            np.concatenate([pixels for pixels, _ in images]),
            labels,
            test=np.repeat([False, True], sizes) if len(sizes) > 1 else None,
            num_classes=len(names) if names and labels.max() < len(names) else None,
            class_names=tuple(map(str, names)) if names and labels.max() < len(names) else None,
        )

    def _images(self, part: Any) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        labels = np.empty(len(part), dtype=np.int64)
        pixels: NDArray[np.uint8] | None = None
        for row in range(len(part)):
            name = f"image {row} of torchvision's {self._name}"
            image, label = part[row][:2]
            if not isinstance(image, Image.Image) or not isinstance(label, int | np.integer):
                raise DataError(
                    f"{name} is a {type(image).__name__} with a {type(label).__name__}; valid: "
                    "images with a class each"
                )
            one = pixels_of(image, size=self._size, channels=self._channels, name=name)
            if pixels is None:
                if one.size * len(part) > MOST_BYTES:
                    raise DataError(f"{name} is too large for {len(part):,} of them; give a size")
                pixels = np.empty((len(part), *one.shape), dtype=np.uint8)
            if one.shape != pixels.shape[1:]:
                raise DataError(f"{name} has another size than the first; give a size")
            pixels[row], labels[row] = one, label
        if pixels is None:
            raise DataError(f"torchvision's {self._name} is empty")
        return pixels, labels
