"""`fedsim.gate`: check a run against the limits of a release."""

from collections.abc import Mapping
from types import MappingProxyType

from fedsim.api.arguments import PathLike, RunLike, as_path, run_folder
from fedsim.api.result_objects import FinishedRun, GatedRun
from fedsim.report.gate import JudgedBy, check_limits
from fedsim.report.junit import write_junit
from fedsim.report.limits import Limit

_NONE: Mapping[str, float] = MappingProxyType({})


def gate(
    run: RunLike,
    *,
    maximum: Mapping[str, float] = _NONE,
    minimum: Mapping[str, float] = _NONE,
    judged_by: JudgedBy = "cautious",
    each_victim: bool = False,
    junit: PathLike | None = None,
) -> GatedRun:
    """Check the figures of a finished run against limits.

    Parameters
    ----------
    run
        A run directory, or what `run` returned.
    maximum, minimum
        The largest and smallest number allowed, by metric (``{"auc": 0.6}``) or figure of utility
        (``{"test_accuracy": 0.5}``).
    judged_by
        ``cautious``: the figure's one-sided 95 % limit on the side of a breach must keep the
        limit; ``value``: the figure itself; ``lenient``: the one-sided limit on the other side.
    each_victim
        Whether to check the figures of each victim, too, not only their mean.
    junit
        Where to write the checks as a JUnit report; None writes none.

    Raises
    ------
    FedsimError
        If there is no such run, it is unfinished, or a limit names a figure that it does not have.
    """
    folder = run_folder(run)
    results = FinishedRun.read(folder).results
    limits = [Limit(name, "max", number) for name, number in maximum.items()]
    limits += [Limit(name, "min", number) for name, number in minimum.items()]
    checks = check_limits(results, limits, judged_by=judged_by, each_victim=each_victim)
    if (target := as_path(junit, "the JUnit report")) is not None:
        write_junit(target, folder.name, checks)
    return GatedRun(folder, checks)
