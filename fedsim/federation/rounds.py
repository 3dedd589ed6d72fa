"""The server's side: rounds over any Flower strategy.

Flower's ``Strategy.start`` can neither resume a federation nor stop at a failed round, so this
module has a round loop of its own. It calls a strategy's four public hooks in the same order.
"""

import math
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.app.exception import AppExitException
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedsim import seeds
from fedsim.errors import MessageError
from fedsim.federation.node_identification import require_content
from fedsim.federation.participation import ParticipatingGrid
from fedsim.federation.round_figures import RoundFigures, mean_figure, with_utility
from fedsim.federation.schedule import Progress as Progress
from fedsim.federation.schedule import Schedule as Schedule
from fedsim.transport.lazy_arrays import record_byte_count
from fedsim.transport.messages import ROUND, arrays_of, require_finite, require_usable
from fedsim.transport.record_views import as_content, records_of_type

Result = TypeVar("Result")
Exchange = Generator[list[Message], Iterable[Message], Result]
"""A generator that yields messages, receives the replies to them, and returns a result."""


def run_rounds(
    grid: Grid,
    strategy: Strategy,
    start: Progress,
    schedule: Schedule,
    participant_of: Mapping[int, int],
    after_round: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Run the rounds after `start`, and return the progress at the end.

    Parameters
    ----------
    grid
        The grid that delivers messages to the participants.
    strategy
        Any Flower strategy.
    start
        The progress to continue from; round 0 for a new federation.
    schedule
        The number of rounds, and the rounds that are evaluated.
    participant_of
        Maps node ids to participants. Replies are sorted by participant before they are summed,
        so the aggregate does not depend on the order in which they arrive.
    after_round
        Called with the progress after each round.

    Raises
    ------
    MessageError
        If a participant fails, the strategy raises an error, or a message cannot be used. The
        sentence names the sender and the round.
    """
    rounds = exchange_rounds(grid, strategy, start, schedule, participant_of, after_round)
    try:
        messages = next(rounds)
        while True:
            try:
                replies = list(grid.send_and_receive(messages, timeout=schedule.timeout))
            except BaseException as error:
                messages = rounds.throw(error)
            else:
                messages = rounds.send(replies)
    except StopIteration as ended:
        progress: Progress = ended.value
        return progress


def exchange_rounds(
    grid: Grid,
    strategy: Strategy,
    start: Progress,
    schedule: Schedule,
    participant_of: Mapping[int, int],
    after_round: Callable[[Progress], None] = lambda progress: None,
) -> Exchange[Progress]:
    """Run rounds as `run_rounds` does, but let the caller send messages, to run several in step.

    Between two exchanges the global random number generators are those of this federation; see
    `fedsim.seeds.OwnDraws`.
    """
    progress = start
    for round_number in range(start.round + 1, schedule.rounds + 1):
        reached = _present(grid, schedule, participant_of, round_number)
        rounds = _RoundRunner(round_number, reached, strategy, schedule, participant_of)
        try:
            arrays, figures = yield from rounds.train(progress.arrays)
            if schedule.evaluates(round_number):
                figures = yield from rounds.evaluate(arrays, figures)
        # Flower's strategies raise these when they give up, or when all weights are zero.
        except (AppExitException, ZeroDivisionError) as error:
            reason = " ".join(str(error).split())
            raise MessageError(f"the strategy gave up in round {round_number}: {reason}") from error
        progress = Progress(round_number, arrays, (*progress.history, figures))
        after_round(progress)
    return progress


def _present(
    grid: Grid, schedule: Schedule, participant_of: Mapping[int, int], round_number: int
) -> Grid:
    """Return a grid with only the nodes that take part in a round."""
    if schedule.present is None:
        return grid
    here = schedule.present(round_number)
    return ParticipatingGrid(grid, (node for node, p in participant_of.items() if p in here))


@dataclass(frozen=True)
class _RoundRunner:
    number: int
    grid: Grid
    strategy: Strategy
    schedule: Schedule
    participant_of: Mapping[int, int]

    @cached_property
    def config(self) -> ConfigRecord:
        """The config record that is sent with each message."""
        return ConfigRecord(dict(self.schedule.extra_config))

    def train(self, arrays: ArrayRecord) -> Exchange[tuple[ArrayRecord, RoundFigures]]:
        with seeds.global_draws(self.schedule.seed, "strategy", self.number):
            self.config[ROUND] = self.number
            messages = [*self.strategy.configure_train(self.number, arrays, self.config, self.grid)]
            traffic = self._traffic(messages)
            replies = yield from self._replies(messages)
            for reply in replies:
                sender = self._name(reply)
                uploaded = arrays_of(reply.content, sender)
                require_usable(uploaded, self.schedule.expected, sender)
                require_finite(reply.content, sender)
                # Measured here, as a strategy may empty uploads while it aggregates them.
                traffic["received_bytes"] += record_byte_count(uploaded)
                if self.schedule.encoded is not None:
                    traffic["encoded_bytes"] += self.schedule.encoded(uploaded)
            aggregate, metrics = self.strategy.aggregate_train(self.number, replies)
        if aggregate is None:
            raise MessageError(f"round {self.number} has no aggregate: {self._why_none(replies)}")
        require_usable(aggregate, self.schedule.expected, f"the strategy in round {self.number}")
        figures = RoundFigures.unmeasured(self.number, self.schedule.objective.utility.name)
        figures = self._with(figures, "local", metrics)
        return aggregate, RoundFigures(self.number, {**figures.figures, **traffic})

    def _traffic(self, messages: Iterable[Message]) -> dict[str, int]:
        """Return the traffic figures of the messages sent in this round."""
        counted = {"sent_bytes": sum(map(_parameter_bytes, messages)), "received_bytes": 0}
        return counted if self.schedule.encoded is None else {**counted, "encoded_bytes": 0}

    def _why_none(self, replies: Sequence[Message]) -> str:
        """Return why a strategy made no aggregate; participants' failures are reported earlier."""
        if not replies:
            return "the strategy asked nobody to train"
        who = ", ".join(str(self.participant_of[r.metadata.src_node_id]) for r in replies)
        return (
            f"only participants {who} trained, and a dishonest server, or the strategy, left all "
            "that they sent out; let more take part in each round, or leave out fewer"
        )

    def evaluate(self, arrays: ArrayRecord, figures: RoundFigures) -> Exchange[RoundFigures]:
        with seeds.global_draws(self.schedule.seed, "strategy-evaluation", self.number):
            self.config[ROUND] = self.number
            messages = self.strategy.configure_evaluate(self.number, arrays, self.config, self.grid)
            replies = yield from self._replies(messages)
            for reply in replies:
                require_finite(reply.content, self._name(reply))
            metrics = self.strategy.aggregate_evaluate(self.number, replies)
        figures = self._with(figures, "train", metrics)
        test = self.schedule.test(arrays)
        if test.loss is None or not math.isfinite(test.loss):
            raise MessageError(
                f"the aggregate of round {self.number} has a loss of {test.loss} on held-out "
                "records; lower the learning rate, or the rate of an active adversary"
            )
        return with_utility(figures, "test", test.loss, test.term, self.schedule.objective)

    def _with(self, figures: RoundFigures, part: str, metrics: MetricRecord | None) -> RoundFigures:
        """Return figures with those that follow from the strategy's means over participants."""
        if metrics is None:
            return figures
        objective = self.schedule.objective
        loss, term = mean_figure(metrics, "loss"), mean_figure(metrics, objective.utility.term)
        return with_utility(figures, part, loss, term, objective)

    def _replies(self, messages: Iterable[Message]) -> Exchange[list[Message]]:
        sent = list(messages)
        for message in sent:  # on every engine a reply has the group id of its message
            message.metadata.group_id = str(self.number)
        replies = list((yield sent))
        asked = {message.metadata.dst_node_id for message in sent}
        answered: set[int] = set()
        for reply in replies:
            require_content(reply, self._name(reply))
            self._require_current(reply, sent[0].metadata.message_type)
            node = reply.metadata.src_node_id
            if node in answered or node not in asked:
                raise MessageError(f"{self._name(reply)} answered twice, or without being asked")
            answered.add(node)
            reply.content = as_content(reply.content)
        silent = [m.metadata.dst_node_id for m in sent if m.metadata.dst_node_id not in answered]
        if silent:
            raise MessageError(
                f"participant {self.participant_of.get(silent[0], silent[0])} did not answer in "
                f"round {self.number} within {self.schedule.timeout} s; give it longer with "
                "engine.timeout, or see what it waits for"
            )
        return sorted(replies, key=lambda r: self.participant_of[r.metadata.src_node_id])

    def _require_current(self, reply: Message, asked: str) -> None:
        """Raise if a reply answers another query than the current one."""
        answered, group = reply.metadata.message_type, reply.metadata.group_id
        if (answered, group) != (asked, str(self.number)):
            raise MessageError(
                f"{self._name(reply)} answered a query that is not open: it was asked to "
                f"{asked} in round {self.number}, and its reply is to {answered} in round "
                f"{group or 'unknown'}"
            )

    def _name(self, reply: Message) -> str:
        node = reply.metadata.src_node_id
        return f"participant {self.participant_of.get(node, node)} in round {self.number}"


def _parameter_bytes(message: Message) -> int:
    """Return the size of a message's parameters, in bytes."""
    return sum(
        record_byte_count(record) for _, record in records_of_type(message.content, ArrayRecord)
    )
