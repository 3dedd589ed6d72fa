"""A plugin as an experiment names it."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Choice(BaseModel):
    """A plugin by name, with its settings beside the name; a bare string is a name alone."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    name: str

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value

    @property
    def settings(self) -> dict[str, Any]:
        """Everything given beside the fields that fedsim itself reads."""
        return dict(self.model_extra or {})
