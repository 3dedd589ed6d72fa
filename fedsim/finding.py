"""What an adversary or an attack reports beside its scores: a few figures, and a small table."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from fedsim.errors import FedsimError, PluginError
from fedsim.files import write_text
from fedsim.rundir.kept_json import read_kept

MOST_FINDINGS = 20
MOST_COLUMNS = 12
MOST_ROWS = 200

ShortText = Annotated[str, Field(min_length=1, max_length=100)]
TableCell = Annotated[str, Field(max_length=200)] | int | float | bool | None


class Finding(BaseModel):
    """One thing found, with its place in ``results.json``, in the terminal and on the page.

    Every reader of the report sees it: record ids do not belong in it.

    >>> Finding(title="noise", figures={"added in rounds": 3}, columns=("round", "std"),
    ...         rows=((5, 0.1), (10, 0.2))).title
    'noise'

    Attributes
    ----------
    title
        What it is about.
    figures
        Numbers or a few words, by name.
    columns, rows
        A table: its headings, and a cell per heading in each row; at most 12 columns and 200 rows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    title: ShortText
    figures: dict[ShortText, TableCell] = Field(default_factory=dict, max_length=MOST_ROWS)
    columns: Annotated[tuple[ShortText, ...], Field(max_length=MOST_COLUMNS)] = ()
    rows: Annotated[tuple[tuple[TableCell, ...], ...], Field(max_length=MOST_ROWS)] = ()

    @model_validator(mode="after")
    def _rows_fit_the_columns(self) -> Self:
        for place, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(
                    f"row {place} has {len(row)} cells for {len(self.columns)} columns"
                )
        return self


class OwnedFinding(Finding):
    """A finding, and whose it is; `attack` is empty where it is the adversary's own."""

    adversary: ShortText
    attack: Annotated[str, Field(max_length=200)] = ""
    victim: Annotated[str, Field(max_length=200)] = ""

    @property
    def owner(self) -> str:
        """Whose it is, in words."""
        return " · ".join(part for part in (self.adversary, self.victim, self.attack) if part)


_SEVERAL = TypeAdapter(Annotated[tuple[OwnedFinding, ...], Field(max_length=1000)])


def owned_findings(
    ask: Callable[[], object], adversary: str, attack: str = "", victim: str = ""
) -> tuple[OwnedFinding, ...]:
    """Return what a plugin reports when it is asked.

    Raises
    ------
    PluginError
        If it fails, or what it returns is not a short sequence of `Finding`.
    """
    whose = f"attack {attack}" if attack else f"adversary {adversary}"
    try:
        findings = ask()
    except FedsimError:
        raise
    except Exception as error:  # a third party's plugin may raise anything
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise PluginError(f"{whose} failed to report its findings: {said}") from error
    if not isinstance(findings, list | tuple) or len(findings) > MOST_FINDINGS:
        raise PluginError(f"{whose} must report a list of at most {MOST_FINDINGS} findings")
    if wrong := [one for one in findings if not isinstance(one, Finding)]:
        raise PluginError(f"{whose} reported a {type(wrong[0]).__name__}, not a fedsim.Finding")
    owner = {"adversary": adversary, "attack": attack, "victim": victim}
    return tuple(OwnedFinding(**{**dict(one), **owner}) for one in findings)


def write_findings(path: Path, findings: Iterable[OwnedFinding]) -> None:
    """Write findings, all or nothing."""
    write_text(path, _SEVERAL.dump_json(tuple(findings), indent=2).decode() + "\n")


def read_findings(path: Path) -> tuple[OwnedFinding, ...]:
    """Return the findings in a file, none where there is no file.

    Raises
    ------
    RunDirectoryError
        If it is damaged.
    """
    return read_kept(path, _SEVERAL) or ()
