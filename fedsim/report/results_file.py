"""Reading and writing ``results.json``; earlier schemas are read, too."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedsim.errors import listed
from fedsim.files import read_bytes, write_text
from fedsim.report.result_schema import ResultsError
from fedsim.report.results import SCHEMA, Results
from fedsim.report.results_v1 import parse_schema_1


def write_results(path: Path, results: Results) -> None:
    """Write the results, all or nothing, readable by their owner only."""
    write_text(path, results.model_dump_json(indent=2) + "\n")


def read_results(path: Path) -> Results:
    """Read a results file strictly, of schema 2 or 1.

    Raises
    ------
    ResultsError
        If it is missing, unreadable, not JSON, of another schema, or holds anything unexpected.
    """
    try:
        content = read_bytes(path)
    except OSError as error:
        raise ResultsError(
            f"results file {path} cannot be read ({error.strerror}); a run writes it at its end"
        ) from error
    return parse_results(content, str(path))


class _SchemaOnly(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    schema_version: Annotated[int, Field(alias="schema", ge=1, le=SCHEMA)]


def parse_results(content: bytes, where: str) -> Results:
    """Return the results in `content`, JSON; `where` names it in errors (see `read_results`)."""
    schema: int | None = None
    try:
        schema = _SchemaOnly.model_validate_json(content).schema_version
        return parse_schema_1(content) if schema == 1 else Results.model_validate_json(content)
    except ValidationError as error:
        of = listed(["1", "2"]) if schema is None else schema
        raise ResultsError(f"{where} is not a results file of schema {of}: {_said(error)}") from (
            None
        )


def _said(error: ValidationError) -> str:
    """Return the first thing wrong, in one line: the place and the complaint."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    first = problems[0]
    place = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    text = f"{place or 'the file'}: {first['msg']}{more}"
    printable = "".join(c if c.isprintable() else " " for c in text)
    return printable if len(printable) <= 300 else printable[:297] + "..."
