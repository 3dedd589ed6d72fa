"""The participants' side on Flower's runtime: one ClientApp for every federation of an experiment.

Each message names its federation. What a node remembers (its optimiser's state, and a dishonest
participant's memory) is of one federation of one run; it is forgotten when the next one begins, and
never leaves the node. Data and model are loaded once a process: simulated nodes share a few
processes, a SuperNode starts one for each message.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message
from flwr.clientapp import ClientApp

from fedsim.defences.secure_aggregation import with_protocol
from fedsim.engines.threads import limited_threads
from fedsim.errors import MessageError
from fedsim.federation.client_app import answer_identification, participant_of
from fedsim.flower.paths import RunPaths, place_of
from fedsim.flower.secagg_plus import answer_masked, is_masked
from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.experiment_faults import load_experiment
from fedsim.stages.preparation.federations import PlannedFederation
from fedsim.stages.preparation.setup import Setup
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.simulate import placed_federations
from fedsim.stages.simulation.checkpointing import (
    write_malicious_updates,
    write_participant_findings,
)
from fedsim.stages.simulation.federation_parts import client_app_of

FEDERATION = "federation"
RUN = "run"
TURN = "fedsim-turn"


def new_client_app(experiment: Path) -> ClientApp:
    """Return the app of an experiment's participants; a node's ``partition-id`` says which one.

    Parameters
    ----------
    experiment
        The experiment (YAML), in the app's folder.
    """
    app = ClientApp()

    def train(message: Message, context: Context) -> Message:
        if is_masked(message):
            return answer_masked(message, context, answer)
        _require_unmasked(experiment, context)
        return answer(message, context)

    def answer(message: Message, context: Context) -> Message:
        return _answer(experiment, message, context)

    app.train()(train)
    app.evaluate()(answer)
    app.query()(answer_identification)
    return app


def _require_unmasked(experiment: Path, context: Context) -> None:
    """Raise if an experiment's uploads are masked: a server that asks for others gets none."""
    setup = _setup(experiment, place_of(context).data_dir)
    if with_protocol(setup.defences.values()):
        raise MessageError(
            "the server asks for an upload that is not masked, and the experiment says that they "
            "are (secure-aggregation, protocol secagg+)"
        )


@dataclass(frozen=True)
class _NodeRuntime:
    """A federation as this process takes part in it: its app, and where its attackers write."""

    federation: PlannedFederation
    app: ClientApp
    run: RunDirectory
    threads: int


def _answer(experiment: Path, message: Message, context: Context) -> Message:
    name = _federation(message)
    position = _position(experiment, place_of(context), name)
    _forget_other_turns(context, name)
    with limited_threads(position.threads):
        reply = position.app(message, context)
    _write_own(position, participant_of(context))
    return reply


def _federation(message: Message) -> str:
    for record in message.content.config_records.values():
        if isinstance(name := record.get(FEDERATION), str):
            return name
    raise MessageError(
        f"a message to node {message.metadata.dst_node_id} names no federation; the server must be "
        "the ServerApp of the same app"
    )


def _forget_other_turns(context: Context, federation: str) -> None:
    """Begin anew if what the node remembers is of another federation, or of another run."""
    turn = ConfigRecord({FEDERATION: federation, RUN: str(context.run_id)})
    if context.state.get(TURN) != turn:
        context.state.clear()
        context.state[TURN] = turn


def _write_own(position: _NodeRuntime, participant: int) -> None:
    """Write what this dishonest participant found, and how far its uploads lie from honest ones."""
    own = [one for one in position.federation.participants if one.participant == participant]
    write_participant_findings(position.run, position.federation, own)
    if own and position.federation.acts_from() is not None:
        write_malicious_updates(position.run.malicious_updates(position.federation.name), own)


@lru_cache(maxsize=1)
def _position(experiment: Path, place: RunPaths, name: str) -> _NodeRuntime:
    setup, run = _setup(experiment, place.data_dir), RunDirectory(place.out)
    found = {federation.name: federation for federation in placed_federations(setup, run)}
    if name not in found:
        raise MessageError(f"the server runs a federation {name!r} that {experiment} has not")
    threads = setup.experiment.engine.threads
    return _NodeRuntime(found[name], client_app_of(setup, found[name]), run, threads)


@lru_cache(maxsize=1)
def _setup(experiment: Path, data_dir: Path | None) -> Setup:
    """Return an experiment's setup without its attacks: they do not concern a participant."""
    read = load_experiment(experiment, with_files=True, data_dir=data_dir)
    return build_setup(read.model_copy(update={"attacks": ()}), data_dir, SILENCE)
