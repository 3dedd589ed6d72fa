"""Adversaries that share a position, as an experiment writes them."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from fedsim.config.choice import Choice, usable_label
from fedsim.config.strict import Strict


class AttackerSettings(Strict):
    """Adversaries that act together in one position, in this order; most often there is one.

    Written as a plugin's name, as a mapping with `name` and its settings, as a list of those, or in
    full. Passive attackers share the honest federation; an active one has a federation of its own.
    """

    label: str = ""
    together: Annotated[tuple[Choice, ...], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _written_shortly(cls, value: object) -> object:
        if isinstance(value, list | tuple):
            return {"together": tuple(value)}
        if isinstance(value, str):
            return {"together": (value,)}
        if isinstance(value, dict) and "name" in value:
            label = {"label": value["label"]} if "label" in value else {}
            return label | {"together": ({k: v for k, v in value.items() if k != "label"},)}
        if isinstance(value, dict) and isinstance(value.get("together"), list):
            return value | {"together": tuple(value["together"])}
        return value

    @model_validator(mode="after")
    def _label_from_names(self) -> Self:
        label = self.label or "+".join(c.name.rpartition(":")[2] for c in self.together)
        object.__setattr__(self, "label", usable_label(label))
        return self
