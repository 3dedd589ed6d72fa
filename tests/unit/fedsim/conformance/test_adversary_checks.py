"""Each promise of an adversary, broken by one that breaks just this, and found."""

from pathlib import Path

import broken_plugins
import pytest

from fedsim.conformance import CheckStatus, adversary_checks, check_adversary
from fedsim.conformance.adversary_trial import AdversaryTrial
from fedsim.conformance.checklist import Check, Failed, findings_of


def trial(name: str, folder: Path) -> AdversaryTrial:
    return AdversaryTrial(f"broken_plugins:{name}", {}, folder)


@pytest.mark.parametrize(
    ("plugin", "check", "told"),
    [
        ("Undocumented", "is_described", "^it has no docstring"),
        ("Speechless", "has_words", r"^threat\(\).sees is ''; say it in words$"),
        ("Undecided", "agrees_with_itself", "says that it is active, but acts_from.. is None"),
        (
            "Meddler",
            "is_honest_until_it_acts",
            "^in round 2 what participant 1 is sent for training is not the honest one, but "
            "acts_from.. is None",
        ),
        ("Dropper", "is_honest_until_it_acts", "^in round 5 the aggregate is not the honest one"),
        ("Early", "is_honest_until_it_acts", "^in round 2 what participant 0 .* acts_from.. is 3$"),
        ("Sleeper", "acts", "is 3, but every message up to round 6 is the honest one$"),
        ("Late", "acts", "^it acts from round 500 on, too late for a tiny federation of 60 rounds"),
        ("Restless", "repeats", "of a second run differs from the uninterrupted one"),
        ("Forgetful", "resumes", "stopped after round 1 differs .*; a run changes self.count$"),
        ("Forgetful", "remembers_in_memory", "^a run changes self.count, which a stop forgets"),
        ("Hoarder", "branches", "^.* of a run that branched after round 2 differs"),
        (
            "Empty",
            "keeps_what_it_needs",
            r"^answering\('participant-0'\) names 'participant-0', but nothing is recorded of it "
            r"in round 1; call self.record\(round_number, SnapshotKind.UPLOAD.of\(participant\), ",
        ),
    ],
)
def test_a_broken_promise_is_found(plugin: str, check: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(Failed, match=told) as found:
        getattr(adversary_checks, check)(trial(plugin, tmp_path))
    assert "\n" not in str(found.value)


def test_what_remembers_in_its_memory_may_keep_a_cache(tmp_path: Path) -> None:
    told = adversary_checks.remembers_in_memory(trial("Caching", tmp_path))
    assert told == "a run changes self.cache too; forgetting it changed nothing here"


def test_what_cannot_take_part_is_tried_no_further(tmp_path: Path) -> None:
    found = list(findings_of(adversary_checks.adversary_checks(trial("Failing", tmp_path))))
    (failed,) = [f for f in found if f.status is CheckStatus.FAILED]
    assert failed.claim == "takes part in a tiny federation"
    assert "KeyError: 'lost' (" in failed.said
    assert "broken_plugins.py, line " in failed.said
    assert {f.said for f in found[5:]} == {"not tried, as an earlier check failed"}


def test_no_query_is_no_adversary(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="an adversary asks about at least one participant"):
        adversary_checks.asks_well(trial("Astray", tmp_path))


def test_an_honest_one_passes() -> None:
    checklist = check_adversary(broken_plugins.Honest)
    checklist.require()
    counts = [f.status for f in checklist.findings]
    assert (counts.count(CheckStatus.PASSED), counts.count(CheckStatus.NOT_ASKED)) == (10, 2)
    compared = next(f.said for f in checklist.findings if "changes no bit" in f.claim)
    # Six rounds: three sent and three returned to train, in three rounds to evaluate, and one mean.
    assert compared == "60 messages and aggregates compared, all"


def test_an_active_one_passes() -> None:
    checklist = check_adversary("broken_plugins:Active")
    checklist.require()
    assert [f.status for f in checklist.findings] == [CheckStatus.PASSED] * 12


def test_what_fails_is_an_assertion_with_every_sentence() -> None:
    checklist = check_adversary("broken_plugins:Speechless")
    with pytest.raises(AssertionError, match=r"fails as one of the adversaries:\n- tells its") as e:
        checklist.require()
    assert str(e.value).count("\n- ") == len(checklist.failures)


def test_a_check_after_a_gate_is_not_tried() -> None:
    def fails() -> None:
        raise Failed("no")

    found = list(findings_of([Check("a", fails, gate=True), Check("b", lambda: None)]))
    assert [f.status for f in found] == [CheckStatus.FAILED, CheckStatus.NOT_ASKED]
