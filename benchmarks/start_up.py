"""What ``fedsim --help`` and ``fedsim list adversaries`` take: processor time and memory.

Against another version's command line, the two in turn, as ratios::

    python benchmarks/start_up.py --against ../version-1/.venv/bin/fedsim

Processor time is the child's own, user and system, so other work on the machine adds little to it.
Memory is the largest resident set.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from paired import publish, ratios

COMMANDS = (("--help",), ("list", "adversaries"))
HERE = str(Path(sys.executable).with_name("fedsim"))


# A process counts what it was before it became another program: so it is started by one that is
# smaller than anything to be measured, and not by this one.
LAUNCHER = """
import posix, sys
silent = [(posix.POSIX_SPAWN_OPEN, 1, "/dev/null", posix.O_WRONLY, 0)]
child = posix.posix_spawn(sys.argv[1], sys.argv[1:], posix.environ, file_actions=silent)
_, status, used = posix.wait4(child, 0)
print(posix.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss / 1000)
"""


def cost(program: str, arguments: tuple[str, ...]) -> tuple[float, float]:
    """Return the processor seconds and the largest resident set, in MB, of one command."""
    command = [sys.executable, "-I", "-S", "-c", LAUNCHER, program, *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as empty:  # the current folder may hold modules
        said = subprocess.run(
            command, env=environment, cwd=empty, check=True, capture_output=True, text=True
        )
    code, seconds, megabytes = said.stdout.split()
    if int(code):
        raise SystemExit(f"{program} {' '.join(arguments)} ended with {code}")
    return float(seconds), float(megabytes)


def measured(
    programs: dict[str, str], arguments: tuple[str, ...], repetitions: int
) -> dict[str, object]:
    """Return seconds and MB of each program, and the ratios of the first to the others."""
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for repetition in range(-1, repetitions):
        for name, program in programs.items():
            found = cost(program, arguments)
            if repetition >= 0:  # the first fills caches of files
                costs[name].append(found)
    first, *others = programs
    found_here: dict[str, object] = {}
    for place, unit in enumerate(("processor seconds", "MB")):
        taken = {name: [one[place] for one in pairs] for name, pairs in costs.items()}
        found_here[unit] = {name: round(statistics.median(v), 3) for name, v in taken.items()}
        for other in others:
            found_here[f"{unit}, {first} / {other}"] = ratios(taken, first, other)
    return found_here


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument(
        "--against",
        type=os.path.abspath,
        metavar="FEDSIM",
        help="the command line of another version",
    )
    parser.add_argument("--repetitions", type=int, default=7)
    options = parser.parse_args()
    programs = {"this": HERE} | ({"other": options.against} if options.against else {})
    publish(
        {
            " ".join(("fedsim", *arguments)): measured(programs, arguments, options.repetitions)
            for arguments in COMMANDS
        },
        options.json,
    )


if __name__ == "__main__":
    main()
