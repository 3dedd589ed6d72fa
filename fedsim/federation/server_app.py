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
    """What the server of a federation needs.

    Attributes
    ----------
    strategy
        The honest strategy; the adversaries wrap it.
    adversaries
        The attackers in the server's position.
    participants
        How many participants there must be.
    schedule
        How many rounds, and when to evaluate.
    start
        Where to begin, or to go on.
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
    """Return the ServerApp; any engine that has a Grid runs it."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        serve(server, grid, identify_nodes(grid, server.participants, server.schedule.timeout))

    return app


def serve(server: Server, grid: Grid, participant_of: Mapping[int, int]) -> Progress:
    """Run the rounds that are left, and return where they end.

    Parameters
    ----------
    server
        What is to be run.
    grid
        What reaches the participants.
    participant_of
        Which participant each node is; see `identify_nodes`.
    """
    return run_rounds(
        grid,
        AdversarialStrategy(server.strategy, server.adversaries, participant_of),
        server.start,
        server.schedule,
        participant_of,
        server.after_round,
    )
