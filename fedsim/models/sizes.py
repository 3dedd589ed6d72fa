"""Bounds for the sizes of our models, so that a typing error is refused at once."""

from typing import Annotated

from pydantic import Field

Size = Annotated[int, Field(gt=0, le=1_000_000)]
"""Of a layer, or along an axis of its input."""
Depth = Annotated[int, Field(gt=0, le=1_250)]
"""Layers, one behind the other."""
Share = Annotated[float, Field(ge=0, lt=1)]
"""Of what is left out."""
Shape = Annotated[tuple[Size, ...], Field(min_length=1, max_length=5)]
"""Of a record."""
