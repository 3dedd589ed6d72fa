"""Checks of a defence: both halves exist, it has an effect, and runs with it resume."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fedsim.config.choice import LabelledChoice
from fedsim.config.experiment import Experiment
from fedsim.conformance import toy
from fedsim.conformance.adversary_trial import Stopping
from fedsim.conformance.checklist import Check, Failed
from fedsim.conformance.federation_trial import FederationTrial, require_alike
from fedsim.defences import Defence, FederationFacts
from fedsim.defences.composition import build_defences

STOP = 3
"""After how many rounds the federation is stopped."""


@dataclass(frozen=True)
class DefenceTrial(FederationTrial):
    """A defence by name and settings."""

    @property
    def choice(self) -> LabelledChoice:
        """The defence as an experiment names it."""
        return LabelledChoice(name=self.name, label=toy.LABEL, **self.settings)

    @property
    def experiment(self) -> Experiment:
        """The federation, with the defence."""
        return self.plain.model_copy(update={"defences": (self.choice,)})

    @property
    def facts(self) -> FederationFacts:
        """What it may know of the federation."""
        plain = self.plain
        return FederationFacts(
            rounds=plain.federation.rounds,
            participants=toy.PARTICIPANTS,
            present=toy.PARTICIPANTS,
            records=(plain.partition.records or 0,) * toy.PARTICIPANTS,
            trainable=frozenset(),
            local=plain.federation.local,
            seed=plain.seed,
        )

    @property
    def defence(self) -> Defence:
        """The defence, freshly built."""
        return build_defences([self.choice], self.facts)[toy.LABEL]


def defence_checks(name: str, settings: Mapping[str, Any], folder: Path) -> Sequence[Check]:
    """Return the checks of a defence."""
    trial = DefenceTrial(name, settings, folder)
    claims: Mapping[str, Callable[[DefenceTrial], str | None]] = {
        "says in words what it does": speaks,
        "changes what is sent, or what is aggregated": changes_something,
        "gives the same parameters to the same seed": repeats,
        "stopped and gone on, ends as if it had not been": resumes,
    }
    return [
        Check("every half that it names acts", partial(has_its_halves, trial), gate=True),
        Check("a federation of six rounds ends with it", partial(ends, trial), gate=True),
        *(Check(claim, partial(check, trial)) for claim, check in claims.items()),
        Check("what it guarantees, and hides", partial(guarantees, trial), decides=False),
    ]


def has_its_halves(trial: DefenceTrial) -> str:
    """A half alone protects nothing; building it must fail."""
    return " and ".join(sorted(trial.defence.halves)) or "it names none"


def ends(trial: DefenceTrial) -> str:
    """Snapshots of every round are there."""
    return f"{len(trial.end)} files"


def speaks(trial: DefenceTrial) -> str:
    """Its description is printed with the threat models and in the report."""
    words = trial.defence.in_words()
    if not words.strip() or "\n" in words or words.endswith("."):
        raise Failed(f"in_words() is {words!r}; it must be one sentence without its stop")
    return words


def changes_something(trial: DefenceTrial) -> str:
    """Settings without effect, such as a norm above all updates, defend nothing."""
    plain = trial.simulated("plain", experiment=trial.plain)
    changed = [name for name in plain if trial.end.get(name) != plain[name]]
    if not changed and trial.defence.hides():
        return "it changes no bit, and hides some from a position"
    if not changed:
        raise Failed("with it, all files have the bits that they have without it")
    return f"{len(changed)} of {len(plain)} files have other bits than without it"


def repeats(trial: DefenceTrial) -> None:
    """Its draws come from `facts.seed`."""
    require_alike(trial.simulated("again"), trial.end, "run again")


def resumes(trial: DefenceTrial) -> None:
    """The state of the server's half must fit into a checkpoint."""
    with suppress(KeyboardInterrupt):
        trial.simulated("stopped", Stopping(STOP))
    require_alike(trial.simulated("stopped"), trial.end, f"stopped after {STOP} rounds and resumed")


def guarantees(trial: DefenceTrial) -> str:
    """The guarantee as a report shows it."""
    defence = trial.defence
    found = defence.guarantee(defence.facts or trial.facts)
    stated = [found.in_words() if found else "nothing is guaranteed"]
    stated += [
        f"hides {', '.join(sorted(kind.value for kind in one.kinds))} from the {one.position}"
        for one in defence.hides()
    ]
    return "; ".join(stated)
