"""`fedsim.compare`: several runs beside each other."""

from fedsim.api.arguments import PathLike, RunLike, as_path, run_folder
from fedsim.api.result_objects import ComparedRuns
from fedsim.errors import ConfigError
from fedsim.report.comparison_page import write_comparison
from fedsim.stages.compare import compare_runs, comparison


def compare(*runs: RunLike, page: PathLike | None = None) -> ComparedRuns:
    """Put runs side by side, paired where their records coincide.

    Parameters
    ----------
    runs
        Run directories, or what `run` returned. One run compares its adversaries.
    page
        Where to write the comparison as one HTML page; None writes none.

    Raises
    ------
    FedsimError
        If no run is given, or one is missing, unfinished or damaged.
    """
    if not runs:
        raise ConfigError("compare needs at least one run directory")
    folders, target = [run_folder(one) for one in runs], as_path(page, "the page")
    if target is None:
        return ComparedRuns(compare_runs(folders))
    compared = comparison(folders)
    write_comparison(target, compared)
    return ComparedRuns(compared.rows)
