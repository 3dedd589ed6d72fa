"""A federation as `fedsim run` runs it: messages, checks, last-round recorder, checkpoints."""

import sys
from dataclasses import replace
from functools import partial

from federations import LOCAL, SEED, WORKLOADS
from flwr.app import ArrayRecord
from pace import NoMoreRounds, Pace

from fedsim.adversary.adversarial_strategy import AdversarialStrategy
from fedsim.devices import chosen_device
from fedsim.engines.in_process import local_identity
from fedsim.engines.multiprocess import local_grid
from fedsim.engines.threads import limited_threads
from fedsim.federation.checkpoint import Checkpoint
from fedsim.federation.client_app import Participants, make_client_app
from fedsim.federation.log_filters import only_warnings_of_flower
from fedsim.federation.node_identification import identify_nodes
from fedsim.federation.replay import LastRoundRecorder
from fedsim.federation.rounds import Progress, Schedule, run_rounds
from fedsim.federation.strategies import build_strategy
from fedsim.models.convolutions import prepare_model
from fedsim.models.exchange import exchanged_shapes
from fedsim.models.placement import placed_model
from fedsim.training.convolution_choice import convolution_ways
from fedsim.training.sgd_loop import Utility
from fedsim.training.vectorized.trainer import stacking_pays


def main() -> None:
    """Run rounds as they are wanted."""
    pace, work, workers = Pace(), WORKLOADS[sys.argv[1]], int(sys.argv[2])
    members = Participants(work.dataset, work.training_sets, work.new_model, LOCAL, None, SEED)
    device = sys.argv[4] if len(sys.argv) > 5 else "cpu"  # the last one is the file of the end
    if device == "cpu":
        small, channels_last = convolution_ways(members)
        prepared = partial(prepare_model, work.new_model, small, channels_last=channels_last)
        members = replace(members, new_model=prepared)
    else:
        placed = partial(placed_model, work.new_model, device)
        dataset = work.dataset.on(chosen_device(device))
        members = replace(members, dataset=dataset, new_model=placed)
    stacked = stacking_pays(members) if sys.argv[3] == "auto" else sys.argv[3] == "true"
    app = make_client_app(members, stacked=stacked)
    with local_grid(app, work.participants, workers, 1) as grid:
        participant_of = identify_nodes(grid, work.participants)
        sampled = {"fraction_train": work.cohort / work.participants}
        honest = build_strategy("FedAvg", sampled, work.participants)
        strategy = AdversarialStrategy(honest, [LastRoundRecorder()], participant_of)
        model = work.new_model()
        latest = Progress(0, ArrayRecord(model.state_dict()))
        schedule = Schedule(2**60, 2**60, SEED, exchanged_shapes(model), _never)

        def after_round(progress: Progress) -> None:
            nonlocal latest
            latest = progress
            Checkpoint.of(progress, grid.states(), honest)
            if not pace.may_start():
                raise NoMoreRounds

        try:
            if pace.may_start():
                run_rounds(grid, strategy, latest, schedule, participant_of, after_round)
        except NoMoreRounds:
            pace.end({name: array.numpy() for name, array in latest.arrays.items()})


def _never(arrays: ArrayRecord) -> Utility:
    raise AssertionError("no round is evaluated here")


if __name__ == "__main__":
    with limited_threads(1), local_identity(), only_warnings_of_flower():
        main()
