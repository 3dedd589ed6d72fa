"""The utility cost of an active adversary, and what could reveal it."""

from typing import Annotated

from pydantic import AliasChoices, Field

from fedsim.report.strict_model import Name, StrictModel
from fedsim.report.utility_info import UtilityInfo


class Cost(StrictModel):
    """The utility of an attacked federation, and the distance of its messages from honest ones.

    Attributes
    ----------
    adversary
        Its label.
    utility
        Of the aggregate at the end of the attacked federation, on held-out records: the figure
        that the results' `utility_figure` describes.
    honest_utility
        At the end of the honest one; None where the run has none.
    norm_ratio, cosine
        Of the malicious updates against the honest ones in their place, the median over the
        messages; see `fedsim.adversary.update_distance`. None where no message could be compared.
    messages
        How many messages these are medians over.
    buffers
        Euclidean distance of the malicious buffers (BatchNorm's statistics, counters) from the
        honest ones, the median over the messages.
    remarks
        Remarks on the attack, such as the rounds in which it did not act.
    """

    adversary: Name
    # fedsim 0.1 had no other figure of utility than the accuracy.
    utility: Annotated[
        float | None, Field(validation_alias=AliasChoices("utility", "test_accuracy"))
    ] = None
    honest_utility: Annotated[
        float | None, Field(validation_alias=AliasChoices("honest_utility", "honest_test_accuracy"))
    ] = None
    norm_ratio: Annotated[float, Field(ge=0)] | None = None
    cosine: Annotated[float, Field(ge=-1.001, le=1.001)] | None = None
    messages: Annotated[int, Field(ge=0, le=2**53)] = 0
    buffers: Annotated[float, Field(ge=0)] | None = None
    remarks: tuple[Annotated[str, Field(max_length=1000)], ...] = ()

    def utility_cost(self, figure: UtilityInfo) -> float | None:
        """Return the utility that the attack costs, as a difference; below 0 where it gains."""
        if self.honest_utility is None or self.utility is None:
            return None
        return figure.cost(self.utility, self.honest_utility)
