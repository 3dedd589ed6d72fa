"""What a study's tables may show: any metric of attacks, and what its federations achieve."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from fedsim.config.metrics import MetricChoice
from fedsim.errors import FedsimError, listed
from fedsim.evaluation.metric_choice import built_metric
from fedsim.report.formatting import with_unit
from fedsim.report.results import metric_infos

FederationMetric = Literal[
    "train accuracy", "test accuracy", "utility cost", "norm ratio", "cosine"
]

_HEADINGS: Mapping[FederationMetric | str, str] = {
    "train accuracy": "train accuracy, %",
    "test accuracy": "test accuracy, %",
    "utility cost": "test accuracy lost, points",
    "norm ratio": "norm ratio of crafted updates",
    "cosine": "cosine of crafted and honest updates",
}


def is_of_federation(metric: str) -> bool:
    """Return whether a metric is of the federation that an adversary makes, not of an attack."""
    return metric in _HEADINGS


def heading(metric: str) -> str:
    """Return what stands above a metric's column.

    >>> heading("tpr@0.01"), heading("auc"), heading("utility cost")
    ('TPR at 1 % FPR, %', 'AUC', 'test accuracy lost, points')
    """
    if is_of_federation(metric):
        return _HEADINGS[metric]
    (info,) = metric_infos([built_metric(MetricChoice(name=metric))]).values()
    return with_unit(info)


def _attack_metric(name: str) -> str:
    try:
        return built_metric(MetricChoice(name=name)).name
    except FedsimError as error:
        raise ValueError(f"metric {name!r}: {error}") from error


def _any_metric(name: str) -> str:
    if is_of_federation(name):
        return name
    try:
        return _attack_metric(name)
    except ValueError as error:
        raise ValueError(f"{error}; of the federation: {listed(_HEADINGS)}") from error


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
