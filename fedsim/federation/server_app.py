"""The server's side of the app: a Flower ServerApp around the rounds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import Strategy

from fedsim.adversary.adversarial_strategy import AdversarialStrategy
from fedsim.adversary.server_position import ServerAdversary
from fedsim.federation.node_identification import identify_nodes
from fedsim.federation.rounds import Progress, Schedule, run_rounds


@dataclass(frozen=True)
class Server:
    """Everything that the server of a federation needs.

    Attributes
    ----------
    strategy
        The honest strategy, which the adversaries wrap.
    adversaries
        The attackers in the server's position.
    participants
        The required number of participants.
    schedule
        The number of rounds, and the rounds that are evaluated.
    start
        The progress to begin with, or to continue from.
    after_round
        Called with the progress after each round.
    """

    strategy: Strategy
    adversaries: Sequence[ServerAdversary]
    participants: int
    schedule: Schedule
    start: Progress
    after_round: Callable[[Progress], None]


def make_server_app(server: Server) -> ServerApp:
    """Return the ServerApp, which runs on any engine that has a Grid."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        serve(server, grid, identify_nodes(grid, server.participants, server.schedule.timeout))

    return app


def serve(server: Server, grid: Grid, participant_of: Mapping[int, int]) -> Progress:
    """Run the remaining rounds, and return the progress at the end.

    Parameters
    ----------
    server
        The server to run.
    grid
        The grid that delivers messages to the participants.
    participant_of
        Maps node ids to participants; see `identify_nodes`.
    """
    return run_rounds(
        grid,
        AdversarialStrategy(server.strategy, server.adversaries, participant_of),
        server.start,
        server.schedule,
        participant_of,
        server.after_round,
    )
