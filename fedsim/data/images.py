"""Decoding images with bounds on their size, which is checked before any pixel is decoded.

JPEG, PNG and TIFF images, grayscale or colour, are read up to a maximum size; 16-bit grayscale is
converted to 8 bits. No other format is opened, whatever the name of the file.
"""

import io
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fedsim.errors import DataError

FORMATS = ("JPEG", "PNG", "TIFF")
MOST_PIXELS = Image.MAX_IMAGE_PIXELS or 1 << 26
"""The most pixels of one image: 89 megapixels, Pillow's own bound."""
MOST_BYTES = 16 << 30
"""The most bytes of all decoded images together."""
MODES = {1: "L", 3: "RGB"}


def decode_images(
    files: Iterable[Path | bytes],
    count: int,
    *,
    size: tuple[int, int] | None,
    channels: int,
    names: Iterable[str],
) -> NDArray[np.uint8]:
    """Return images as uint8 of shape (count, channels, height, width).

    Parameters
    ----------
    files
        The `count` images, as paths or contents of files.
    size
        (height, width) to which images are resized (bilinear); None: all must have one size.
    channels
        1 for grayscale, 3 for colour; images are converted.
    names
        The name of each image in error messages.

    Raises
    ------
    DataError
        If an image is damaged, or its size is not allowed.
    """
    decoded: NDArray[np.uint8] | None = None
    for row, (file, name) in enumerate(zip(files, names, strict=True)):
        pixels = decode_image(file, size=size, channels=channels, name=name)
        if decoded is None:
            shape = (count, *pixels.shape)
            if np.prod(shape, dtype=np.float64) > MOST_BYTES:
                raise DataError(
                    f"{count:,} images of {pixels.shape[1]} x {pixels.shape[2]} take more than "
                    f"{MOST_BYTES >> 30} GB; give a smaller size"
                )
            decoded = np.empty(shape, dtype=np.uint8)
        if pixels.shape != decoded.shape[1:]:
            raise DataError(
                f"{name} has {pixels.shape[1]} x {pixels.shape[2]} pixels where the first image "
                f"has {decoded.shape[2]} x {decoded.shape[3]}; give a size that all are resized to"
            )
        decoded[row] = pixels
    if decoded is None:
        raise DataError("there are no images")
    return decoded


def decode_image(
    file: Path | bytes, *, size: tuple[int, int] | None, channels: int, name: str
) -> NDArray[np.uint8]:
    """Return one image as uint8 of shape (channels, height, width); see `decode_images`."""
    opened = io.BytesIO(file) if isinstance(file, bytes) else file
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # An image that is too large raises here, before any pixel is decoded.
            image = Image.open(opened, formats=FORMATS)
        with image:
            return pixels_of(image, size=size, channels=channels, name=name)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{name} states more than {MOST_PIXELS:,} pixels") from error
    except Exception as error:  # Pillow also raises errors of zlib, struct and its own bounds
        raise DataError(f"{name} is not a sound JPEG, PNG or TIFF image") from error


def pixels_of(
    image: Image.Image, *, size: tuple[int, int] | None, channels: int, name: str
) -> NDArray[np.uint8]:
    """Return an opened image as uint8 of shape (channels, height, width)."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise DataError(f"{name} has 32-bit pixels; valid: 8 or 16 bits per channel")
    image = image.convert(MODES[channels])
    if size is not None and image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def checked_size(size: int | list[int] | None) -> tuple[int, int] | None:
    """Return a setting `size` as (height, width).

    Raises
    ------
    DataError
        If it is not a valid size.
    """
    if size is None:
        return None
    both = [size, size] if isinstance(size, int) else list(size)
    if len(both) != 2 or min(both) < 1 or both[0] * both[1] > MOST_PIXELS:
        raise DataError(f"size is {size}; valid: a side in pixels, or [height, width]")
    return both[0], both[1]
