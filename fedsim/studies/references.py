"""The reference figures of the paper, each with its evidence.

A figure that nobody has checked in a source must never look like one that the paper reports, so a
figure cannot be printed without its evidence: `Reference.shown` is the only text there is of it,
and `SizeReference.shown` of a size.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import Field

from fedsim.config.strict import Strict
from fedsim.config.yaml_files import parse_yaml
from fedsim.errors import ConfigError, listed
from fedsim.studies.metric_names import AnyMetric

Certainty = Literal["read", "agrees", "recalled", "second-hand"]

MEANINGS: Mapping[Certainty, tuple[str, str]] = {
    "read": ("V", "V: read in a source"),
    "agrees": ("C", "C: recalled, and the authors' code agrees"),
    "recalled": ("recalled, unverified", "recalled, unverified: nobody has checked it"),
    "second-hand": ("second hand", "second hand: read in another source's account"),
}
"""How each kind of evidence is shown beside a figure, and what that means."""


class Reference(Strict):
    """One figure: where it belongs (coordinates of our tables), its value, its evidence."""

    at: dict[str, str]
    percent: Annotated[float, Field(ge=0, le=100)]
    evidence: Certainty
    metric: AnyMetric = "accuracy"

    @property
    def shown(self) -> str:
        """The figure as it may be printed: never without its evidence."""
        return f"{self.percent:g} ({MEANINGS[self.evidence][0]})"


class SizeReference(Strict):
    """One size of a target or an attack: where it belongs, which of ours, in words, its evidence.

    `size` is a name of `fedsim.studies.rows.sizes`.
    """

    at: dict[str, str]
    size: Literal["trained by", "known", "tested"]
    words: str
    evidence: Certainty

    @property
    def shown(self) -> str:
        """The size as it may be printed: never without its evidence."""
        return f"{self.words} ({MEANINGS[self.evidence][0]})"


class ReferenceTable(Strict):
    """The figures or sizes of one table, and remarks on all of them."""

    about: str
    figures: tuple[Reference, ...] = ()
    sizes: tuple[SizeReference, ...] = ()

    def find(self, coordinates: Mapping[str, str], metric: str) -> Reference | None:
        """Return the figure whose coordinates are all among these, or None."""
        return next(
            (
                figure
                for figure in self.figures
                if figure.metric == metric and figure.at.items() <= coordinates.items()
            ),
            None,
        )


@cache
def reference_tables() -> Mapping[str, ReferenceTable]:
    """Return all tables of reference figures by name."""
    text = (files("fedsim.studies") / "references.yaml").read_text(encoding="utf-8")
    tree = parse_yaml(text, "references.yaml")
    return {
        name: ReferenceTable.model_validate(table, strict=False) for name, table in tree.items()
    }


def reference_table(name: str) -> ReferenceTable:
    """Return one table of reference figures.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    tables = reference_tables()
    if name not in tables:
        raise ConfigError(f"there are no reference figures {name!r}; valid: {listed(tables)}")
    return tables[name]


def sizes_beside(table: str, coordinates: Mapping[str, str]) -> list[SizeReference]:
    """Return the sizes of a table that belong to a cell."""
    every = reference_table(table).sizes
    return [size for size in every if size.at.items() <= coordinates.items()]
