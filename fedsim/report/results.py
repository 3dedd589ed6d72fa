"""`results.json`: the figures of a run as a documented, versioned, strictly read file.

Schema 1. Every figure is a fraction in 0..1 and has its interval; every FPR is a string such as
``"0.01"``. Required::

    {"schema": 1,
     "utility": {"train_accuracy": 0.99, "test_accuracy": 0.37},
     "results": [{"adversary": "curious-server", "attack": "supervised", "victim": "mean",
                  "accuracy": 0.85, "auc": 0.92, "tpr_at_fpr": {"0.01": 0.2},
                  "members": 1000, "nonmembers": 1000,
                  "interval": {"confidence": 0.95, "resamples": 2000,
                               "accuracy": {"low": 0.84, "high": 0.86, "method": "exact"},
                               "auc": {"low": 0.91, "high": 0.93, "method": "bootstrap"},
                               "tpr_at_fpr": {"0.01": {"low": 0.1, "high": 0.3,
                                                       "method": "bootstrap"}}}}]}

`victim` is the key of a query (``participant-0``, ``all-but-3``) or ``mean``: the mean over the
queries of that adversary, whose `members` and `nonmembers` are sums. The remaining fields below
have defaults and may be absent. Anything else in the file is an error.
"""

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fedsim.bounded_io import read_bytes
from fedsim.errors import FedsimError
from fedsim.evaluation import Estimate, EvaluationResult
from fedsim.files import write_text
from fedsim.report.costs import Cost

MEAN = "mean"

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=2**53)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Rate = Annotated[str, Field(pattern=r"^(0\.\d{1,12}|\d(\.\d{1,12})?e-\d{2})$")]


class ResultsError(FedsimError):
    """A results file is missing, damaged, or of another schema."""


class _Strict(BaseModel):
    """Immutable; unknown keys, wrong types, NaN and infinities are errors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )


class Interval(_Strict):
    """The interval of one figure: an exact binomial one, or a bootstrap over records."""

    low: Fraction
    high: Fraction
    method: Literal["bootstrap", "exact"]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class Intervals(_Strict):
    """The intervals of one row."""

    accuracy: Interval
    auc: Interval
    tpr_at_fpr: dict[Rate, Interval]
    confidence: Fraction = 0.95
    resamples: Count = 2000


class Result(_Strict):
    """What one attack by one adversary achieves against one victim, or on average (`mean`).

    Attributes
    ----------
    accuracy
        Balanced accuracy; the threshold was chosen on the known records.
    refused_fprs
        FPRs asked for that the number of non-members cannot support, and why.
    false_positives
        How many false positives stand behind each TPR, mean over seeds and victims.
    attack_seeds
        How many seeds of the attack the figures are means over.
    baseline
        Whether the attack stands here for comparison only.
    """

    adversary: Name
    attack: Name
    victim: Name
    accuracy: Fraction
    auc: Fraction
    tpr_at_fpr: dict[Rate, Fraction]
    members: Count
    nonmembers: Count
    interval: Intervals
    refused_fprs: dict[Rate, Name] = {}
    false_positives: dict[Rate, Annotated[float, Field(ge=0)]] = {}
    attack_seeds: Count = 1
    baseline: bool = False

    @model_validator(mode="after")
    def _rates_agree(self) -> Self:
        if self.tpr_at_fpr.keys() != self.interval.tpr_at_fpr.keys():
            raise ValueError("tpr_at_fpr and interval.tpr_at_fpr must have the same FPRs")
        if both := self.tpr_at_fpr.keys() & self.refused_fprs.keys():
            raise ValueError(f"FPR {min(both)} is both reported and refused")
        return self

    @property
    def key(self) -> tuple[str, str, str]:
        """What names the row: adversary, attack, victim."""
        return self.adversary, self.attack, self.victim


class UtilityResult(_Strict):
    """What the federation's own model achieves at the end of the run."""

    train_accuracy: Fraction
    test_accuracy: Fraction

    @property
    def gap(self) -> float:
        """Train minus test accuracy."""
        return self.train_accuracy - self.test_accuracy


class ThreatModel(_Strict):
    """One adversary in words: who it is, what it sees, does, and knows."""

    adversary: Name
    who: str
    sees: str
    does: str
    knows: str = ""


class Results(_Strict):
    """A run's figures; `Results.model_json_schema()` is the schema in JSON Schema."""

    schema_version: Annotated[int, Field(alias="schema", ge=1, le=1)]
    name: str = ""
    utility: UtilityResult
    results: tuple[Result, ...]
    threat_models: tuple[ThreatModel, ...] = ()
    costs: tuple[Cost, ...] = ()
    provenance: dict[str, str | int | float | bool | None] = {}

    @model_validator(mode="after")
    def _rows_are_unique(self) -> Self:
        counts = Counter(row.key for row in self.results)
        if doubled := sorted(key for key, count in counts.items() if count > 1):
            raise ValueError(f"there are two rows for {' / '.join(doubled[0])}")
        return self

    def adversaries(self) -> tuple[str, ...]:
        """Return the adversaries in the order of their rows."""
        return tuple(dict.fromkeys(row.adversary for row in self.results))

    def attacks(self) -> tuple[str, ...]:
        """Return the attacks in the order of their rows."""
        return tuple(dict.fromkeys(row.attack for row in self.results))

    def summary(self) -> tuple[Result, ...]:
        """Return one row for each adversary and attack: the mean row, or the only one there is."""
        chosen: dict[tuple[str, str], Result] = {}
        for row in self.results:
            if row.victim == MEAN or (row.adversary, row.attack) not in chosen:
                chosen[row.adversary, row.attack] = row
        return tuple(chosen.values())


def result_row(
    adversary: str,
    attack: str,
    victim: str,
    evaluation_result: EvaluationResult,
    *,
    baseline: bool = False,
) -> Result:
    """Return an evaluation result as a row of the results."""
    return Result(
        adversary=adversary,
        attack=attack,
        victim=victim,
        accuracy=evaluation_result.accuracy.value,
        auc=evaluation_result.auc.value,
        tpr_at_fpr={rate_key(fpr): tpr.value for fpr, tpr in evaluation_result.tpr_at_fpr.items()},
        members=evaluation_result.members,
        nonmembers=evaluation_result.nonmembers,
        interval=Intervals(
            confidence=evaluation_result.confidence,
            resamples=evaluation_result.resamples,
            accuracy=_interval(evaluation_result.accuracy),
            auc=_interval(evaluation_result.auc),
            tpr_at_fpr={
                rate_key(fpr): _interval(tpr) for fpr, tpr in evaluation_result.tpr_at_fpr.items()
            },
        ),
        refused_fprs={rate_key(fpr): why for fpr, why in evaluation_result.refused_fprs.items()},
        false_positives={rate_key(fpr): n for fpr, n in evaluation_result.false_positives.items()},
        attack_seeds=evaluation_result.seeds,
        baseline=baseline,
    )


def rate_key(fpr: float) -> str:
    """Return an FPR as the files spell it.

    >>> rate_key(0.01), rate_key(0.001), rate_key(1e-5)
    ('0.01', '0.001', '1e-05')
    """
    return f"{fpr:.12g}"


def write_results(path: Path, results: Results) -> None:
    """Write the results, all or nothing, readable by their owner only."""
    write_text(path, results.model_dump_json(indent=2) + "\n")


def read_results(path: Path) -> Results:
    """Read a results file strictly.

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


def parse_results(content: bytes, where: str) -> Results:
    """Return the results in `content`, JSON; `where` names it in errors (see `read_results`)."""
    try:
        return Results.model_validate_json(content)
    except ValidationError as error:
        raise ResultsError(f"{where} is not a results file of schema 1: {_said(error)}") from (None)


def _said(error: ValidationError) -> str:
    """Return the first thing wrong, in one line: the place and the complaint."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    # Another schema explains every other complaint.
    first = next((problem for problem in problems if problem["loc"] == ("schema",)), problems[0])
    place = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    text = f"{place or 'the file'}: {first['msg']}{more}"
    printable = "".join(c if c.isprintable() else " " for c in text)
    return printable if len(printable) <= 300 else printable[:297] + "..."


def _interval(estimate: Estimate) -> Interval:
    """Return an estimate's interval; rounding errors beyond 0..1 are cut."""
    low, high = max(0.0, estimate.low), min(1.0, estimate.high)
    return Interval.model_validate({"low": low, "high": high, "method": estimate.method})
