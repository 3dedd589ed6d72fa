"""Types of models' settings with upper bounds, so that a typing error is refused at once."""

from typing import Annotated

from pydantic import Field

Size = Annotated[int, Field(gt=0, le=1_000_000)]
"""The width of a layer, or the length of an axis of its input."""
Depth = Annotated[int, Field(gt=0, le=1_250)]
"""The number of consecutive layers."""
Share = Annotated[float, Field(ge=0, lt=1)]
"""The probability of dropout."""
Shape = Annotated[tuple[Size, ...], Field(min_length=1, max_length=5)]
"""The shape of a record."""
