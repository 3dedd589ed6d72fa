"""What the parts of an experiment are made of: strict objects, and numbers within bounds."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

NaturalNumber = Annotated[int, Field(ge=0)]
# Bounded, because as many places are made in memory: a typing error is refused, not tried.
Count = Annotated[int, Field(gt=0, le=1_000_000)]
Participant = Annotated[int, Field(ge=0, lt=1_000_000)]


class Strict(BaseModel):
    """A part of an experiment: immutable, and only with keys that are known."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
