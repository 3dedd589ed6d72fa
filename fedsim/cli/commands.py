"""The commands of fedsim: the module of each, and what it does in one sentence.

A command's module is imported when the command is called. ``fedsim --help`` imports none of them.
"""

from typing import NamedTuple


class CommandSource(NamedTuple):
    """Where a command is defined, and what it does."""

    module: str
    attribute: str
    summary: str


COMMANDS = {
    "run": CommandSource(
        "fedsim.cli.runs",
        "run",
        "Simulate, attack and report. The same command resumes what was stopped.",
    ),
    "attack": CommandSource(
        "fedsim.cli.runs",
        "attack",
        "Attack a finished run again, or a model that was trained elsewhere.",
    ),
    "report": CommandSource(
        "fedsim.cli.runs",
        "report",
        "Evaluate the scores of a run again, and write its results and its page.",
    ),
    "compare": CommandSource(
        "fedsim.cli.compare",
        "compare",
        "Compare runs: their figures, and the differences with intervals.",
    ),
    "gate": CommandSource(
        "fedsim.cli.gate",
        "gate",
        "Fail, with exit code 1, if a figure of a run is beyond a limit.",
    ),
    "study": CommandSource(
        "fedsim.cli.study",
        "study",
        "Run the cells of a study, and write its tables and figures. The same command resumes.",
    ),
    "doctor": CommandSource(
        "fedsim.cli.machine",
        "doctor",
        "Check this machine: versions, cores, disks, data sets, and a short self-test.",
    ),
    "check": CommandSource(
        "fedsim.cli.authoring",
        "check",
        "Check that a plugin keeps the contract of its group; exit code 1 if it does not.",
    ),
    "list": CommandSource(
        "fedsim.cli.machine",
        "list_",
        "List what is installed: plugins, including those of other packages, and example configs.",
    ),
    "data": CommandSource(
        "fedsim.cli.machine",
        "data_app",
        "Download and verify data sets beforehand.",
    ),
    "new": CommandSource(
        "fedsim.cli.authoring",
        "new_app",
        "Write a package with a new plugin, an experiment, or a Flower app.",
    ),
}
