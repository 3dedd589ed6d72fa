"""The parts of a federation that follow from the setup: client app, schedule, initial state."""

from collections.abc import Callable
from functools import partial

from flwr.app import ArrayRecord
from flwr.clientapp.typing import Mod
from torch import nn

from fedsim.defences.composition import encoding, mods_of
from fedsim.errors import plural
from fedsim.federation.client_app import PrefetchingApp, make_client_app, sampled
from fedsim.federation.rounds import Progress, Schedule
from fedsim.models import exchanged_state, load_exchanged
from fedsim.models.exchange import exchanged_shapes
from fedsim.objectives import UtilityFigure
from fedsim.stages.preparation.federations import PlannedFederation
from fedsim.stages.preparation.setup import Setup
from fedsim.stages.preparation.setup import strategy_of as strategy_of
from fedsim.stages.simulation.canary_cosines import canary_mods
from fedsim.training.sgd_loop import Utility, evaluate
from fedsim.training.training_memory import TrainingMemory


def client_app_of(
    setup: Setup, federation: PlannedFederation, memory: TrainingMemory | None = None
) -> PrefetchingApp:
    """Return the client app of a federation, dishonest participants included.

    `memory` has results of local training that federations of the run have in common.
    """
    # A dishonest participant is outside of the defences: they do not bind what it sends.
    mods: list[Mod] = [*federation.participants, *mods_of(tuple(setup.defences.values()))]
    mods += canary_mods(setup)  # innermost, so that the defences bind what they send
    stacked = setup.experiment.engine.stacked is True
    return make_client_app(setup.participants, mods, stacked=stacked, memory=memory)


def schedule_of(setup: Setup) -> Schedule:
    """Return the schedule of a federation: rounds, participation, evaluation."""
    settings, model = setup.experiment.federation, setup.computing_model()
    return Schedule(
        settings.rounds,
        settings.evaluation.every,
        setup.experiment.seed,
        exchanged_shapes(model),
        _tester(setup, model),
        timeout=setup.experiment.engine.timeout,
        present=partial(settings.present, participants=setup.ledger.participants),
        objective=setup.objective,
        encoded=encoding(tuple(setup.defences.values())),
    )


def beginning_of(setup: Setup) -> Progress:
    """Return the initial state of every federation: the model's initial parameters."""
    return Progress(0, ArrayRecord(exchanged_state(setup.new_model())))


def _tester(setup: Setup, model: nn.Module) -> Callable[[ArrayRecord], Utility]:
    """Return the function that evaluates an aggregate on fixed held-out records."""
    at_most, seed = setup.experiment.federation.evaluation.records, setup.experiment.seed
    records = sampled(setup.dataset.test_records, at_most, seed, "server")
    dataset = setup.placed_dataset

    def test(arrays: ArrayRecord) -> Utility:
        load_exchanged(model, arrays.to_torch_state_dict())
        return evaluate(model, dataset, records, setup.objective)

    return test


def progress_summary(
    progress: Progress, utility: UtilityFigure, took_part: int | None = None
) -> str:
    """Return the progress of a federation in a few words; `took_part` trained in its last round."""
    tested = [v for f in progress.history if (v := f.of(f"test_{utility.name}")) is not None]
    parts = []
    if (loss := progress.history[-1].of("local_loss")) is not None:
        parts.append(f"loss {loss:.3f}")
    if tested:
        shown = f"{tested[-1]:.1%}" if utility.percent else f"{tested[-1]:.3g}"
        parts.append(f"test {utility.name} {shown}")
    if took_part is not None:
        parts.append(plural(took_part, "participant"))
    return ", ".join(parts)
