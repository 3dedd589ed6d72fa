"""The metrics that a study's tables may show: of attacks and of federations."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated

from pydantic import AfterValidator, Field

from fedsim import plugins
from fedsim.config.metrics import MetricChoice
from fedsim.errors import FedsimError, listed
from fedsim.evaluation.metric_choice import build_metric
from fedsim.objectives import UtilityFigure
from fedsim.report.formatting import with_unit
from fedsim.report.result_rows import metric_infos
from fedsim.report.utility_info import PARTS, UtilityInfo

OF_FEDERATION: Mapping[str, str] = {
    "train utility": "utility on training records",
    "test utility": "utility on held-out records",
    "utility cost": "utility lost on held-out records",
    "guaranteed epsilon": "guaranteed epsilon",
    "norm ratio": "norm ratio of malicious updates",
    "cosine": "cosine of malicious and honest updates",
}
"""What a federation achieves, and what is said of it where runs have different objectives."""


def is_of_federation(metric: str) -> bool:
    """Return whether a metric describes an adversary's federation, not an attack."""
    return metric in OF_FEDERATION or _part_of(metric) is not None


def utility_part(metric: str, figure: UtilityInfo) -> str | None:
    """Return whether a metric is utility on ``train`` or ``test`` records; None if neither.

    Utility is named ``utility`` or by its figure.

    >>> from fedsim.report.utility_info import ACCURACY
    >>> utility_part("test utility", ACCURACY), utility_part("test accuracy", ACCURACY)
    ('test', 'test')
    >>> utility_part("test error", ACCURACY) is None
    True
    """
    part = _part_of(metric)
    return part if part and metric in (f"{part} utility", f"{part} {figure.name}") else None


def heading(metric: str, figure: UtilityInfo | None = None) -> str:
    """Return the heading of a metric's column; `figure` is the runs' figure of utility.

    >>> from fedsim.report.utility_info import ACCURACY
    >>> heading("tpr@0.01"), heading("auc"), heading("utility cost", ACCURACY)
    ('TPR at 1 % FPR, %', 'AUC', 'test accuracy lost, points')
    >>> heading("test utility", ACCURACY), heading("test error")
    ('test accuracy, %', 'test error')
    """
    if not is_of_federation(metric):
        (info,) = metric_infos([build_metric(MetricChoice(name=metric))]).values()
        return with_unit(info)
    percent = figure is not None and figure.unit == "percent"
    if figure is not None and (part := utility_part(metric, figure)):
        return f"{part} {figure.name}" + (", %" if percent else "")
    if figure is not None and metric == "utility cost":
        lost = "lost" if figure.higher_is == "better" else "added"
        return f"test {figure.name} {lost}" + (", points" if percent else "")
    return OF_FEDERATION.get(metric, metric)


def _part_of(metric: str) -> str | None:
    part, _, kind = metric.partition(" ")
    return part if part in PARTS and kind in ("utility", *_utility_figures()) else None


@cache
def _utility_figures() -> tuple[str, ...]:
    """Return the names of the figures of utility of the objectives that are installed."""
    every = (plugins.resolve("objectives", name) for name in plugins.available("objectives"))
    figures = (getattr(one, "utility", None) for one in every)
    return tuple(dict.fromkeys(one.name for one in figures if isinstance(one, UtilityFigure)))


def _attack_metric(name: str) -> str:
    try:
        return build_metric(MetricChoice(name=name)).name
    except FedsimError as error:
        raise ValueError(f"metric {name!r}: {error}") from error


def _any_metric(name: str) -> str:
    if is_of_federation(name):
        return name
    try:
        return _attack_metric(name)
    except ValueError as error:
        of_federation = (*OF_FEDERATION, *(f"test {figure}" for figure in _utility_figures()))
        raise ValueError(f"{error}; of the federation: {listed(of_federation)}") from error


AttackMetric = Annotated[str, AfterValidator(_attack_metric)]
"""The name of a metric of attacks."""

AnyMetric = Annotated[str, AfterValidator(_any_metric)]
"""The name of a metric of attacks, or of the federation that an adversary makes."""

AnyMetrics = Annotated[
    tuple[str, ...],
    Field(min_length=1),
    AfterValidator(lambda names: tuple(_any_metric(name) for name in names)),
]
"""Several of them, at least one."""
