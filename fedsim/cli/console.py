"""What the terminal shows before and during a run: threat models, the plan, progress bars.

Names and sentences come from configs and plugins. They are printed as plain text, never as markup,
on any console.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from fedsim.errors import plural
from fedsim.progress import Advance
from fedsim.report.formatting import knowledge_lines
from fedsim.stages.preparation.plan import Plan, StatedThreat


class _TimeLeft(TimeRemainingColumn):
    """The time left of a task, followed by "left"."""

    def render(self, task: Task) -> Text:
        """Return the time left, or nothing if it is unknown or the task is finished."""
        known = task.time_remaining is not None and not task.finished
        return super().render(task).append(" left") if known else Text()


class ConsoleWatcher:
    """A watcher that draws progress bars with the time left."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            _TimeLeft(),
            TextColumn("{task.fields[standing]}", markup=False),
            console=console,
        )

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self._console.print(text, highlight=False, markup=False, emoji=False)

    @contextmanager
    def task(self, what: str, total: int, done: int = 0) -> Iterator[Advance]:
        """Draw a bar for the duration of a block; the outermost starts and stops the display."""
        outermost = not self._progress.live.is_started
        if outermost:
            self._progress.start()
        task = self._progress.add_task(what, total=total, completed=done, standing="")

        def advance(standing: str) -> None:
            self._progress.update(task, advance=1, standing=standing)

        try:
            yield advance
        finally:
            if outermost:
                self._progress.stop()
                for shown in self._progress.task_ids:
                    self._progress.remove_task(shown)
            else:
                self._progress.remove_task(task)


def show_threats(console: Console, threats: Sequence[StatedThreat]) -> None:
    """Print each threat model: who attacks, what it sees, does, knows and asks."""
    for stated in threats:
        grid = Table.grid(padding=(0, 2))
        learned = "\n".join(knowledge_lines(stated.learns_from))
        for name, text in (
            ("who", stated.threat.who),
            ("sees", stated.threat.sees),
            ("does", stated.threat.does),
            ("knows", stated.knows),
            *([("learns from", learned)] if learned else []),
            ("asks", f"was this record in the training data of {' / '.join(stated.asks)}?"),
        ):
            grid.add_row(Text(name, "dim"), Text(text))
        title = Text(f"threat model: {stated.adversary}")
        console.print(Panel(grid, title=title, title_align="left", expand=False))


MOST_ROUNDS = 100
"""The largest number of observed rounds that a plan lists."""


def show_plan(console: Console, plan: Plan) -> None:
    """Print the size of the run."""
    for label, description in plan.defences:
        console.print(f"defence {label}: {description}", highlight=False, markup=False)
    for sentence in plan.guarantees:
        console.print(sentence, highlight=False, markup=False)
    idle = f" (without records, in no round: {plan.idle})" if plan.idle else ""
    rounds = ", ".join(map(str, plan.observed_rounds[:MOST_ROUNDS]))
    if len(plan.observed_rounds) > MOST_ROUNDS:
        rounds += f", ... {plan.observed_rounds[-1]} ({len(plan.observed_rounds):,} of them)"
    console.print(
        f"plan: {plural(plan.participants, 'participant')}{idle}, {plural(plan.rounds, 'round')}, "
        f"a model of {plan.parameters:,} parameters; observed rounds {rounds}; "
        f"{plan.snapshot_bytes / 1e6:,.1f} MB of snapshots; "
        f"{plan.audited_records:,} audited records",
        highlight=False,
    )
