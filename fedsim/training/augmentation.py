"""Augmentation of images during training only."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from fedsim.errors import MessageError

Augmentation = Literal["flip", "crop"]
PADDING = 4  # pixels, as He et al. (CVPR 2016, section 4.2) for images of 32 x 32
IMAGE_AXES = 4


def augmented(inputs: Tensor, kinds: Sequence[Augmentation], generator: torch.Generator) -> Tensor:
    """Return images changed at random, each by draws of its own.

    Parameters
    ----------
    inputs
        Shape (n, channels, height, width), normalised.
    kinds
        ``flip``: left and right exchanged, with probability one half. ``crop``: four pixels of
        zeros added on each side, and a window of the old size cut out anywhere.
    generator
        What the draws are from.

    Raises
    ------
    MessageError
        If the inputs are no images.
    """
    if inputs.dim() != IMAGE_AXES:
        raise MessageError(
            "augmentation is for images of shape (channels, height, width), but a record has "
            f"shape {tuple(inputs.shape[1:])}; leave it out of federation.local.trainer"
        )
    for kind in kinds:
        inputs = (_flipped if kind == "flip" else _cropped)(inputs, generator)
    return inputs


def _flipped(inputs: Tensor, generator: torch.Generator) -> Tensor:
    chosen = (torch.rand(len(inputs), generator=generator) < 0.5).to(inputs.device)
    return torch.where(chosen[:, None, None, None], inputs.flip(3), inputs)


def _cropped(inputs: Tensor, generator: torch.Generator) -> Tensor:
    count, _, height, width = inputs.shape
    padded = functional.pad(inputs, [PADDING] * 4)
    drawn = torch.randint(2 * PADDING + 1, (2, count, 1), generator=generator)
    top, left = drawn.to(inputs.device)
    rows = top + torch.arange(height, device=inputs.device)
    columns = left + torch.arange(width, device=inputs.device)
    image = torch.arange(count, device=inputs.device)[:, None, None]
    # The three indices stand around the channels' axis, so that it comes last.
    return padded[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
