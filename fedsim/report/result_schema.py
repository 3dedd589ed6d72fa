"""The parts of a results file: metrics, figures with intervals, result rows."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from fedsim.errors import FedsimError
from fedsim.evaluation.metric import Unit
from fedsim.evaluation.metric_choice import HEADLINE
from fedsim.report.guarantees import CeilingFigure
from fedsim.report.strict_model import Name, StrictModel

Fraction = Annotated[float, Field(ge=0, le=1)]


RecordCount = Annotated[int, Field(ge=1, le=2**53)]


Words = Annotated[str, Field(max_length=1000)]


class ResultsError(FedsimError):
    """A results file is missing, damaged, or of another schema."""


class MetricInfo(StrictModel):
    """How a metric's figures are printed; see `fedsim.Metric` for the attributes."""

    heading: Name
    title: Words = ""
    explanation: Words = ""
    unit: Unit = "number"
    higher_is: Literal["better", "worse"] = "better"
    guessing: float | None = None

    @property
    def long_heading(self) -> str:
        """The title, or the heading where there is none."""
        return self.title or self.heading


class MetricFigure(StrictModel):
    """One figure with its interval: an exact binomial one, or a bootstrap over records.

    Further keys are details of the metric, numbers from 0 up: the false positives behind a TPR.

    Attributes
    ----------
    value, low, high, method
        The figure, its central interval, and how that was found.
    least, most
        One-sided limits at the same confidence, which gates go by; None in older files.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[Name, Annotated[float, Field(ge=0)]]

    value: float
    low: float
    high: float
    method: Literal["bootstrap", "exact", "bound"]
    least: float | None = None
    most: float | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self

    @property
    def details(self) -> dict[str, float]:
        """Details beside the figure."""
        return dict(self.__pydantic_extra__ or {})


class DifferenceFigure(StrictModel):
    """A difference of two figures on the same records, with its interval and p-value."""

    value: float
    low: float
    high: float
    p: Fraction


class ResultRow(StrictModel):
    """The result of one attack by one adversary against one victim, or on average (`mean`).

    Attributes
    ----------
    figures
        By metric; the threshold of an accuracy was chosen on the auxiliary records.
    refused
        By metric, why it was refused: too few records.
    confidence, resamples
        Of the intervals.
    attack_seeds
        How many seeds of the attack the figures are means over.
    baseline
        Whether the attack is a baseline.
    over_label
        By metric, the gain over the label baseline, where that beats guessing; else empty.
    ceiling
        The ceiling that a guarantee puts on the attack; None where none binds it.
    refutes
        The sentence that the attack exceeds the ceiling; empty if it does not.
    """

    adversary: Name
    attack: Name
    victim: Name
    figures: dict[Name, MetricFigure]
    members: RecordCount
    nonmembers: RecordCount
    refused: dict[Name, Name] = Field(default_factory=dict)
    confidence: Fraction = 0.95
    resamples: RecordCount = 2000
    attack_seeds: RecordCount = 1
    baseline: bool = False
    over_label: dict[Name, DifferenceFigure] = Field(default_factory=dict)
    ceiling: CeilingFigure | None = None
    refutes: Words = ""

    @model_validator(mode="after")
    def _figures_agree(self) -> Self:
        if missing := [name for name in HEADLINE if name not in self.figures]:
            raise ValueError(f"figures lack {missing[0]!r}")
        if both := self.figures.keys() & self.refused.keys():
            raise ValueError(f"{min(both)} is both reported and refused")
        return self

    @property
    def key(self) -> tuple[str, str, str]:
        """The key of the row: adversary, attack, victim."""
        return self.adversary, self.attack, self.victim

    @property
    def accuracy(self) -> MetricFigure:
        """The balanced accuracy."""
        return self.figures["accuracy"]

    @property
    def auc(self) -> MetricFigure:
        """The area under the ROC."""
        return self.figures["auc"]


class ThreatModel(StrictModel):
    """One adversary in words: who it is, what it sees, does, and knows.

    `learns_from` says what each attack learns from, by the attack's label.
    """

    adversary: Name
    who: str
    sees: str
    does: str
    knows: str = ""
    learns_from: dict[Name, Words] = Field(default_factory=dict)
