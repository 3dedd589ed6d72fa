"""ROC curves as both pages show them: on linear axes and on logarithmic ones."""

from collections.abc import Iterator, Sequence

from fedsim.report import figures
from fedsim.report.data import CeilingTrace, RocTrace
from fedsim.report.rendering import Chart


def roc_charts(
    traces: Sequence[RocTrace], ceilings: Sequence[CeilingTrace] = ()
) -> Iterator[Chart]:
    """Yield both charts of these curves, under their ceilings; none where there are none."""
    if traces:
        linear = figures.roc(traces, ceilings, logarithmic=False)
        yield Chart("roc", linear, "Linear", "ROC curves on linear axes")
        low = figures.roc(traces, ceilings, logarithmic=True)
        yield Chart("roc-log", low, "Logarithmic", "ROC curves on logarithmic axes")
