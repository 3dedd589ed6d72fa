"""Building and checking the metrics that an experiment names.

Accuracy and AUC are always measured, because the page's first sentence, the ROC's legend and the
order of attacks need them.
"""

from collections.abc import Iterable, Sequence

from fedsim import plugins
from fedsim.config.metrics import MetricChoice
from fedsim.errors import PluginError
from fedsim.evaluation.metric import FRACTIONS, Metric
from fedsim.evaluation.metrics import Accuracy, Auc, TprAtFpr

HEADLINE = ("accuracy", "auc")


def default_metrics() -> tuple[Metric, ...]:
    """Return the metrics that are used if a caller names none.

    An experiment that names none also refuses TPRs with few false positives
    (`fedsim.config.metrics.DEFAULT_CHOICES`).
    """
    return Accuracy(), Auc(), TprAtFpr(0.01), TprAtFpr(0.001)


def build_metrics(choices: Iterable[MetricChoice]) -> tuple[Metric, ...]:
    """Return the metrics of an experiment; accuracy and AUC are put first if it omits them.

    Raises
    ------
    PluginError
        If there is no such metric, its settings are not valid, or two have one name.
    """
    chosen = [build_metric(choice) for choice in choices]
    names = [metric.name for metric in chosen]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise PluginError(f"metrics has {twice[0]!r} twice; name each once")
    return add_headline_metrics(chosen)


def add_headline_metrics(metrics: Sequence[Metric]) -> tuple[Metric, ...]:
    """Return the metrics; accuracy and AUC are put first if they are not among them."""
    names = {metric.name for metric in metrics}
    return (*(one for one in (Accuracy(), Auc()) if one.name not in names), *metrics)


def build_metric(choice: MetricChoice) -> Metric:
    """Return the metric of one choice.

    Raises
    ------
    PluginError
        If there is no such metric, or its plugin does not return a metric.
    """
    metric = plugins.build("metrics", *choice.plugin())
    if not isinstance(metric, Metric):
        raise PluginError(
            f"metric {choice.name!r} is a {type(metric).__name__}, not a fedsim.Metric"
        )
    named = all(isinstance(getattr(metric, key, None), str) for key in ("name", "heading"))
    if not named or not metric.name or not metric.heading:
        raise PluginError(f"metric {choice.name!r} has no name and heading; it needs both")
    if metric.unit not in (*FRACTIONS, "number"):
        raise PluginError(
            f"metric {choice.name!r} has the unit {metric.unit!r}; valid: percent, area, number"
        )
    return metric
