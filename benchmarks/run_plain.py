"""A loop over the participants with one model, as anyone would write it who needs nothing else."""

import sys

import torch
from federations import WORKLOADS, train
from pace import Pace

from fedsim.engines.threads import limited_threads


def main() -> None:
    """Run rounds as they are wanted."""
    pace, work = Pace(), WORKLOADS[sys.argv[1]]
    data = [work.tensors(participant) for participant in range(work.participants)]
    model = work.new_model()
    aggregate = {name: value.clone() for name, value in model.state_dict().items()}
    round_number = 0
    while pace.may_start():
        round_number += 1
        total = {name: torch.zeros_like(value) for name, value in aggregate.items()}
        for participant in work.trained(round_number):
            model.load_state_dict(aggregate)
            train(model, data[participant], work.order(round_number, participant))
            for name, value in model.state_dict().items():
                total[name] += value / work.cohort
        aggregate = total
    pace.end({name: value.numpy() for name, value in aggregate.items()})


if __name__ == "__main__":
    with limited_threads(1):
        main()
