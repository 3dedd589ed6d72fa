"""A plugin as an experiment names it, and the label that distinguishes two of one name."""

import re
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator

from fedsim.errors import shown


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


HONEST = "honest"
"""The name of the federation that all passive attackers share."""
LONGEST_LABEL = 100
"""Bytes: files and folders are named by labels."""


def usable_label(label: str) -> str:
    """Return a label.

    Raises
    ------
    ValueError
        If it cannot name files, or is another federation's.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", label) or label == HONEST:
        raise ValueError(
            f"label {shown(label)} must be letters, digits, dots, dashes, and not {HONEST!r}"
        )
    if len(label.encode()) > LONGEST_LABEL:
        raise ValueError(
            f"label {shown(label)} is longer than {LONGEST_LABEL} bytes, and files are named by "
            "it; give a shorter `label`"
        )
    return label


class LabelledChoice(Choice):
    """A choice that may occur twice in a list, distinguished by its label (default: the name)."""

    label: str = ""

    @model_validator(mode="after")
    def _label_from_name(self) -> Self:
        label = self.label or self.name.rpartition(":")[2]
        object.__setattr__(self, "label", usable_label(label))
        return self
