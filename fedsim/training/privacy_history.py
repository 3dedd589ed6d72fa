"""The accountant's history of a participant that trains with DP-SGD, as plain values."""

import math

from fedsim.config.federation import LocalTraining
from fedsim.privacy import Accountant, Release, total_epsilon


def rate_and_steps(local: LocalTraining, records: int) -> tuple[float, int]:
    """Return the sampling rate of a step, and the number of steps of a round."""
    rate = min(1.0, local.batch_size / records)
    return rate, local.epochs * math.ceil(records / local.batch_size)


def epsilon_of_history(
    history: list[list[float]], delta: float, accountant: Accountant = "rdp"
) -> float:
    """Return the epsilon of a participant's training so far.

    Parameters
    ----------
    history
        One ``[noise multiplier, sampling rate, steps]`` a kind of step.
    delta, accountant
        The delta that it is for, and whose figure it is.
    """
    taken = tuple(Release(noise, rate, int(steps)) for noise, rate, steps in history)
    return total_epsilon(taken, delta, accountant)


def extended_history(history: list[list[float]], new: list[float]) -> list[list[float]]:
    """Return a history with more steps; those like the last ones are counted with them."""
    if history and history[-1][:2] == new[:2]:
        return [*history[:-1], [*new[:2], history[-1][2] + new[2]]]
    return [*history, new]
