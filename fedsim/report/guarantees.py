"""Guarantees of differential privacy for `results.json` and the page."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from fedsim.privacy import Guarantee, NoGuarantee, Position
from fedsim.privacy.guarantee import PrivacyUnit
from fedsim.report.strict_model import StrictModel

Epsilon = Annotated[float, Field(ge=0)]
Words = Annotated[str, Field(max_length=1000)]


class GuaranteeFigures(StrictModel):
    """The guarantee of one defence or of the trainer; `why` says why there is no epsilon.

    See `fedsim.Guarantee` for the attributes.
    """

    defence: Words
    epsilon: Epsilon | None = None
    delta: Epsilon | None = None
    unit: PrivacyUnit = "record"
    against: tuple[Position, ...] = ()
    assumptions: tuple[Words, ...] = ()
    each: tuple[Epsilon, ...] = ()
    changed: tuple[Epsilon, ...] = ()
    accountant: Words = ""
    why: Words = ""

    @model_validator(mode="after")
    def _has_figures_or_a_reason(self) -> Self:
        if (self.epsilon is None or self.delta is None) != bool(self.why):
            raise ValueError("a guarantee has epsilon and delta, or the reason why there is none")
        return self

    def guarantee(self) -> Guarantee | None:
        """Return the guarantee, if there is one."""
        if self.epsilon is None or self.delta is None:
            return None
        return Guarantee(
            *(self.epsilon, self.delta, self.unit, self.against, self.assumptions),
            *(self.each, self.changed, self.accountant),
        )

    def in_words(self) -> str:
        """Return the guarantee as a phrase, or why there is none."""
        return (self.guarantee() or NoGuarantee(self.why)).in_words()


class CeilingFigure(StrictModel):
    """The ceiling that a guarantee's epsilon and delta put on an attack.

    Attributes
    ----------
    defence
        The defence, or the trainer.
    epsilon, delta
        Of changing the victim's data by one record.
    accuracy
        The ceiling of the accuracy.
    """

    defence: Words
    epsilon: Epsilon
    delta: Epsilon
    accuracy: Annotated[float, Field(ge=0, le=1)]


class KeptGuarantees(StrictModel):
    """The file of a run directory."""

    guarantees: tuple[GuaranteeFigures, ...]
