"""Adversaries and attacks that each break one promise: the exact sentence that is said."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import broken_plugins
import numpy as np
import pytest

from fedsim import ParticipantAdversary, Threat
from fedsim.conformance import adversary_checks, attack_checks, checking
from fedsim.conformance.adversary_trial import AdversaryTrial
from fedsim.conformance.attack_trial import AttackTrial
from fedsim.conformance.checklist import CheckStatus, Failed, NotApplicable
from fedsim.data import MembershipQuery
from fedsim.errors import PluginError
from fedsim.observation.keys import SnapshotKey, SnapshotKind


class TwoLines(broken_plugins.Honest):
    """Says what it sees on two lines."""

    def threat(self) -> Threat:
        return Threat("the server", "what its\nvictim uploads")


class StartsPassive(broken_plugins.Honest):
    """Is passive, and acts."""

    def acts_from(self) -> int | None:
        return 4


class RoundZero(broken_plugins.Active):
    """Counts rounds from 0."""

    says = does = 0


class FirstRound(broken_plugins.Active):
    """Acts from the first round on."""

    says = does = 1


class Changing(broken_plugins.Honest):
    """Asks something else each time."""

    asked = 0

    def queries(self, victims: Sequence[int], participants: int) -> tuple[MembershipQuery, ...]:
        Changing.asked += 1
        return (MembershipQuery(f"time-{Changing.asked}", tuple(victims)),)


class Faraway(broken_plugins.Honest):
    """Asks about a participant who is not there."""

    def queries(self, victims: Sequence[int], participants: int) -> tuple[MembershipQuery, ...]:
        return (MembershipQuery("far", (0, participants)),)


class Promising(broken_plugins.Honest):
    """Promises aggregates while it acts, and keeps none."""

    def answering_while_acting(self, query: MembershipQuery) -> Iterable[SnapshotKey]:
        return (SnapshotKind.AGGREGATE.of(),)


def adversary(name: str, folder: Path) -> AdversaryTrial:
    return AdversaryTrial(f"{__name__}:{name}", {}, folder)


@pytest.mark.parametrize(
    ("plugin", "check", "sentence"),
    [
        (
            "TwoLines",
            "has_words",
            "threat().sees is 'what its\\nvictim uploads'; say it in a few words on one line",
        ),
        (
            "StartsPassive",
            "agrees_with_itself",
            "acts_from() is 4, but threat() does not say active=True",
        ),
        ("RoundZero", "agrees_with_itself", "acts_from() is 0; rounds are numbered from 1"),
        ("Changing", "asks_well", "questions() gives other queries when it is called again"),
        (
            "Faraway",
            "asks_well",
            "query 'far' is about participants [0, 3]; valid: some of 0 to 2",
        ),
        (
            "Promising",
            "keeps_what_it_needs",
            "answering_while_acting('participant-0') names 'aggregate', but nothing is ever "
            "recorded of it",
        ),
    ],
)
def test_adversaries(plugin: str, check: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(Failed) as found:
        getattr(adversary_checks, check)(adversary(plugin, tmp_path))
    assert str(found.value) == sentence


def test_who_acts_from_the_first_round_on_has_nothing_to_branch_from(tmp_path: Path) -> None:
    with pytest.raises(NotApplicable) as found:
        adversary_checks.branches(adversary("FirstRound", tmp_path))
    assert str(found.value) == "it acts from round 1 on, so there is no honest round before"


@pytest.fixture(scope="module")
def memorised(tmp_path_factory: pytest.TempPathFactory) -> AttackTrial:
    """One federation for all attacks: a trial keeps it once it was run."""
    trial = AttackTrial("broken_plugins:Sure", {}, tmp_path_factory.mktemp("memorised"))
    assert trial.scores.shape == (360,)
    return trial


class Steady(broken_plugins.Sure):
    """Calls itself stochastic, and is not."""

    stochastic = True


class DrawsByPlace(broken_plugins.Sure):
    """Adds noise in the order of the candidates."""

    stochastic = True
    noise = 0.5

    def score(self, observation: Any, known: Any, candidates: Any, seed: int, watcher: Any) -> Any:
        found = super().score(observation, known, candidates, seed, watcher)
        return found + self.noise * np.random.default_rng(seed).normal(size=len(candidates))


class SortedDraws(DrawsByPlace):
    """Returns its scores in the order of the record ids."""

    noise = 1e-3

    def score(self, observation: Any, known: Any, candidates: Any, seed: int, watcher: Any) -> Any:
        return super().score(observation, known, np.sort(candidates), seed, watcher)


class ShortTrace(broken_plugins.Sure):
    """Has a signal of one record only."""

    def trace(self, view: Any, watcher: Any) -> Any:
        return np.zeros((len(view.answering), 1))


class Tracing(broken_plugins.Sure):
    """Has a signal of every record, in every snapshot."""

    def trace(self, view: Any, watcher: Any) -> Any:
        return np.zeros((len(view.answering), len(view.records)))


class UndescribedAttack(broken_plugins.Sure):
    pass


def attempt(plugin: type[broken_plugins.Sure], of: AttackTrial) -> AttackTrial:
    """Return the trial of another attack in the same federation."""
    mine = replace(of, name=f"{__name__}:{plugin.__name__}")
    # Cached properties are kept under their names, so the federation is not run again.
    vars(mine).update({**vars(of), "name": mine.name, "attack": plugin()})
    del vars(mine)["scores"]
    return mine


def test_an_attack_without_a_docstring(memorised: AttackTrial) -> None:
    with pytest.raises(Failed) as found:
        attack_checks.is_described(attempt(UndescribedAttack, memorised))
    assert str(found.value) == ("it has no docstring; its first line is what `fedsim list` shows")


def test_two_seeds_that_agree_are_remarked_on(memorised: AttackTrial) -> None:
    assert attack_checks.is_stochastic_as_it_says(attempt(Steady, memorised)) == (
        "stochastic is True, but two seeds agree: each is computed for nothing"
    )


def test_noise_by_place_is_like_another_seed(memorised: AttackTrial) -> None:
    said = attack_checks.ignores_order(attempt(DrawsByPlace, memorised))
    assert said is not None
    assert re.fullmatch(
        r"another order is like another seed \(rank correlation 0\.[67]\d, 0\.[78]\d\)", said
    )


def test_scores_in_another_order_than_the_candidates(memorised: AttackTrial) -> None:
    told = (
        r"^the same candidates in another order have other scores \(rank correlation -?0\.[01]\d; "
        r"another seed: 1\.00\); return scores in the order of `candidates`$"
    )
    with pytest.raises(Failed, match=told):
        attack_checks.ignores_order(attempt(SortedDraws, memorised))


def test_the_signal_over_the_rounds(memorised: AttackTrial) -> None:
    with pytest.raises(Failed) as found:
        attack_checks.traces(attempt(ShortTrace, memorised))
    assert str(found.value) == "trace() returned shape (6, 1); finite numbers (6, 360) are needed"
    assert attack_checks.traces(attempt(Tracing, memorised)) == "6 snapshots"
    with pytest.raises(NotApplicable, match=r"^it has no trace\(\)$"):
        attack_checks.traces(memorised)


def test_ranks_of_equal_scores() -> None:
    equal, rising = np.zeros(5), np.arange(5.0)
    assert attack_checks._rank_correlation(equal, equal.copy()) == 1.0
    assert attack_checks._rank_correlation(equal, rising) == 0.0
    assert attack_checks._rank_correlation(rising, -(rising**3)) == pytest.approx(-1.0)


class Member(ParticipantAdversary):
    """A participant that says nothing of its position."""

    def threat(self) -> Threat:
        return Threat(f"participant {self.participant}", "what it is sent")


def network(input_shape: tuple[int, ...], num_classes: int) -> Any:
    """Return nothing: only its parameters are looked at."""


def undescribed(task: Any) -> Any:
    return [np.asarray(part) for part in np.array_split(task.pool, task.participants)]


def test_a_model_that_is_a_function_is_known_by_its_parameters() -> None:
    assert checking.identified(f"{__name__}:network") == "models"
    assert checking.identified(f"{__name__}:undescribed") == "partitioners"
    with pytest.raises(PluginError, match=r"^'builtins:iter' does not say what it is"):
        checking.identified("builtins:iter")


def test_a_function_without_a_docstring() -> None:
    first, *others = checking.findings("partitioners", f"{__name__}:undescribed", {})
    assert (first.claim, first.status) == ("says in one line what it is", CheckStatus.FAILED)
    assert first.said == "it has no docstring; its first line is what `fedsim list` shows"
    assert CheckStatus.FAILED not in {one.status for one in others}


def test_a_participant_is_chosen_where_none_is_given() -> None:
    completed = checking._completed
    assert completed("adversaries", f"{__name__}:Member", {}) == {"participant": 2}
    chosen = {"participant": 1}
    assert completed("adversaries", f"{__name__}:Member", chosen) == chosen
    assert completed("adversaries", "broken_plugins:Honest", {}) == {}
    assert completed("attacks", "broken_plugins:Sure", {"a": 1}) == {"a": 1}
