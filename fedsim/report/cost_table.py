"""The table of active adversaries' costs, for the terminal and the page."""

from collections.abc import Sequence

from fedsim.report.costs import Cost
from fedsim.report.formatting import difference_text, figure_text
from fedsim.report.utility_info import UtilityInfo
from fedsim.report.wide_tables import TableColumn, WideTable


def cost_remarks(costs: Sequence[Cost]) -> list[str]:
    """Return the remarks on the table of costs, a sentence each."""
    sentences = []
    for cost in costs:
        sentences += [f"{cost.adversary}: {remark}." for remark in cost.remarks]
        if cost.buffers:
            sentences.append(
                f"{cost.adversary}: its messages' buffers lie {cost.buffers:.3g} from the honest "
                "ones (median); norm ratio and cosine are of the parameters alone."
            )
    return sentences


def cost_table(costs: Sequence[Cost], figure: UtilityInfo) -> WideTable:
    """Return the table of active adversaries' costs for the terminal."""
    first = TableColumn("what attacking costs")
    headings = [TableColumn(heading, number=True) for heading in cost_headings(figure)]
    table = WideTable([first, *headings])
    for cost in costs:
        table.add(cost.adversary, *cost_cells(cost, figure))
    return table


def cost_headings(figure: UtilityInfo) -> tuple[str, str, str, str]:
    """Return the headings of `cost_cells`."""
    unit = "cost in points" if figure.unit == "percent" else "cost"
    return f"test {figure.name}", unit, "norm ratio", "cosine"


def cost_cells(cost: Cost, figure: UtilityInfo) -> tuple[str, str, str, str]:
    """Return utility, its cost, norm ratio and cosine as texts.

    A fraction is in percent, its cost in points; other figures are numbers, and so their costs.
    """
    lost = cost.utility_cost(figure)
    return (
        "-" if cost.utility is None else figure_text(cost.utility, figure.unit),
        "-" if lost is None else difference_text(lost, figure.unit),
        "-" if cost.norm_ratio is None else f"{cost.norm_ratio:.2f}",
        "-" if cost.cosine is None else f"{cost.cosine:.3f}",
    )
