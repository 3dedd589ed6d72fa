"""The verbs of the command line as functions: run, attack, report, compare, gate, study.

Each function composes the stages, writes the same files as the command of the same name (which
calls it), and returns an object that a notebook displays and that converts to a data frame
(`fedsim.api.result_objects`)::

    audit = fedsim.run("configs/quickstart.yaml", settings=["seed=1"])
    audit.to_frame().query("metric == 'auc'")

A complete example, cell by cell, is in ``docs/api_example.py``.
"""

from fedsim.api.arguments import RUNS
from fedsim.api.attacking import attack, attack_given
from fedsim.api.comparing import compare
from fedsim.api.gating import gate
from fedsim.api.runs import open_run, prepare, report, run
from fedsim.api.studies import plan_study, run_study_cells, study

__all__ = [
    "RUNS",
    "attack",
    "attack_given",
    "compare",
    "gate",
    "open_run",
    "plan_study",
    "prepare",
    "report",
    "run",
    "run_study_cells",
    "study",
]
