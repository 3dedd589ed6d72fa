"""Guarantees of an experiment's defences and trainer, and the last round within a budget.

A guarantee depends only on facts that are known before round 1: who trains in which round, on how
many records, with which noise. It is therefore the same before a run, after a stop, and on any
engine.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from fedsim.config.experiment import Experiment
from fedsim.defences.base import Defence
from fedsim.defences.composition import wraps_training
from fedsim.errors import ConfigError
from fedsim.privacy import FederationFacts, Guarantee, NoGuarantee
from fedsim.training.trainer import LocalTrainer, build_trainer

Guaranteed = Callable[[FederationFacts], Guarantee | NoGuarantee | None]


@dataclass(frozen=True)
class StatedGuarantee:
    """The guarantee of one defence or of the trainer."""

    defence: str
    found: Guarantee | NoGuarantee


def stated_guarantees(
    experiment: Experiment, defences: Mapping[str, Defence], facts: FederationFacts
) -> tuple[StatedGuarantee, ...]:
    """Return the guarantee of each defence and of the local trainer, or why there is none."""
    return tuple(
        StatedGuarantee(label, found)
        for label, _, guaranteed, known in _promising(experiment, defences, facts)
        if (found := guaranteed(known)) is not None
    )


def last_round_within_budget(
    experiment: Experiment,
    defences: Mapping[str, Defence],
    facts: FederationFacts,
    say: Callable[[str], None],
) -> int:
    """Return the last round within all budgets, and report the rounds that are cut.

    Raises
    ------
    ConfigError
        If the first round exceeds a budget, or there is no epsilon to compare with a budget.
    """
    rounds = facts.rounds
    for label, budget, guaranteed, known in _promising(experiment, defences, facts):
        if budget is None:
            continue
        last = _last_round(label, budget, guaranteed, known)
        if last < facts.rounds:
            say(
                f"{label}: the federation ends after round {last} of {facts.rounds}; the next "
                f"would exceed the budget of epsilon {budget:g}"
            )
        rounds = min(rounds, last)
    return rounds


def ended(experiment: Experiment, rounds: int) -> Experiment:
    """Return an experiment that ends earlier; its last round is observed."""
    observed = [r for r in experiment.observed_rounds if r <= rounds]
    federation, snapshots = experiment.federation, experiment.snapshots
    present = {r: who for r, who in federation.attendance.items() if r <= rounds}
    return experiment.model_copy(
        update={
            "federation": federation.model_copy(update={"rounds": rounds, "attendance": present}),
            "snapshots": snapshots.model_copy(update={"rounds": tuple(observed) or (rounds,)}),
        }
    )


def may_promise(experiment: Experiment) -> bool:
    """Return whether an experiment has a defence, or a trainer that gives a guarantee."""
    return bool(experiment.defences) or _promises(build_trainer(experiment.federation.local))


def _promises(trainer: LocalTrainer) -> bool:
    return type(trainer).guarantee is not LocalTrainer.guarantee


def _promising(
    experiment: Experiment, defences: Mapping[str, Defence], facts: FederationFacts
) -> Iterator[tuple[str, float | None, Guaranteed, FederationFacts]]:
    """Yield each possible source of a guarantee: label, budget, its function, and the facts."""
    for label, defence in defences.items():
        yield f"defence {label}", defence.budget, defence.guarantee, defence.facts or facts
    local = experiment.federation.local
    trainer = build_trainer(local)
    if _promises(trainer):
        asked: Guaranteed = trainer.guarantee
        if wraps_training(defences.values()):
            asked = _wrapped
        yield f"trainer {local.trainer.name}", trainer.budget, asked, facts


def _wrapped(facts: FederationFacts) -> Guarantee | NoGuarantee | None:
    return NoGuarantee("a defence wraps the local trainer, and may use the records in other ways")


def _last_round(label: str, budget: float, guaranteed: Guaranteed, facts: FederationFacts) -> int:
    """Return the last round within a budget: epsilon grows with the rounds."""

    def exceeds(last: int) -> bool:
        found = guaranteed(facts.until(last))
        if not isinstance(found, Guarantee):
            why = "nothing is guaranteed" if found is None else found.why
            raise ConfigError(f"{label}: budget {budget:g} cannot be kept: {why}")
        if last == 1 and found.epsilon > budget:
            raise ConfigError(
                f"{label}: round 1 alone has an epsilon of {found.epsilon:.3g}, which exceeds the "
                f"budget of {budget:g}; allow more, or add more noise"
            )
        return found.epsilon > budget

    if not exceeds(facts.rounds):
        return facts.rounds
    within, beyond = 1, facts.rounds
    exceeds(1)
    while beyond - within > 1:
        middle = (within + beyond) // 2
        within, beyond = (within, middle) if exceeds(middle) else (middle, beyond)
    return within
