"""What an active adversary costs the federation, and what gives it away."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from fedsim.report.fitting import TableColumn, WideTable

Fraction = Annotated[float, Field(ge=0, le=1)]


class Cost(BaseModel):
    """The utility of a federation under attack, and how far its messages are from honest ones.

    Attributes
    ----------
    adversary
        Its label.
    test_accuracy
        Of the aggregate at the end of the attacked federation.
    honest_test_accuracy
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
        What a reader has to know of the attack: in which rounds it did not act, for one.
    others
        Of an objective without an accuracy its own figure: ``test_error``, ``honest_test_error``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    adversary: Annotated[str, Field(min_length=1, max_length=200)]
    test_accuracy: Fraction | None = None
    honest_test_accuracy: Fraction | None = None
    norm_ratio: Annotated[float, Field(ge=0)] | None = None
    cosine: Annotated[float, Field(ge=-1.001, le=1.001)] | None = None
    messages: Annotated[int, Field(ge=0, le=2**53)] = 0
    buffers: Annotated[float, Field(ge=0)] | None = None
    remarks: tuple[Annotated[str, Field(max_length=1000)], ...] = ()
    others: dict[str, float] = {}

    @property
    def figure(self) -> str:
        """The name of the figure of utility, such as ``test_accuracy``."""
        return next((name for name in self.others if name.startswith("test_")), "test_accuracy")

    @property
    def utility_cost(self) -> float | None:
        """Test accuracy that the attack costs, as a fraction; below 0 where it gains."""
        if self.honest_test_accuracy is None or self.test_accuracy is None:
            return None
        return self.honest_test_accuracy - self.test_accuracy


def cost_remarks(costs: Sequence[Cost]) -> list[str]:
    """Return a sentence for everything that the table of costs does not say."""
    told = []
    for cost in costs:
        told += [f"{cost.adversary}: {remark}." for remark in cost.remarks]
        if cost.buffers:
            told.append(
                f"{cost.adversary}: its messages' buffers lie {cost.buffers:.3g} from the honest "
                "ones (median); norm ratio and cosine are of the parameters alone."
            )
    return told


def cost_table(costs: Sequence[Cost]) -> WideTable:
    """Return what each active adversary costs, for a terminal."""
    first = TableColumn("what attacking costs")
    headings = cost_headings(costs)
    table = WideTable([first, *(TableColumn(heading, number=True) for heading in headings)])
    for cost in costs:
        table.add(cost.adversary, *cost_cells(cost))
    return table


def cost_headings(costs: Sequence[Cost]) -> tuple[str, str, str, str]:
    """Return what stands above `cost_cells`."""
    name = costs[0].figure if costs else "test_accuracy"
    unit = "cost in points" if name == "test_accuracy" else "change"
    return name.replace("_", " "), unit, "norm ratio", "cosine"


def cost_cells(cost: Cost) -> tuple[str, str, str, str]:
    """Return the figure of utility, what it lost, norm ratio and cosine as texts.

    An accuracy is in percent, its loss in points; other figures are numbers, and so their changes.
    """
    return (
        *_utility_cells(cost),
        "-" if cost.norm_ratio is None else f"{cost.norm_ratio:.2f}",
        "-" if cost.cosine is None else f"{cost.cosine:.3f}",
    )


def _utility_cells(cost: Cost) -> tuple[str, str]:
    lost = cost.utility_cost
    if cost.test_accuracy is not None:
        return f"{100 * cost.test_accuracy:.1f}", "-" if lost is None else f"{100 * lost:+.1f}"
    attacked, honest = cost.others.get(cost.figure), cost.others.get(f"honest_{cost.figure}")
    return (
        "-" if attacked is None else f"{attacked:.3g}",
        "-" if attacked is None or honest is None else f"{attacked - honest:+.3g}",
    )
