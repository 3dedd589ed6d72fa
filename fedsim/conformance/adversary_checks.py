"""Checks of the contract of an adversary (`fedsim.adversary.base`)."""

import re
from collections.abc import Sequence
from functools import partial

from fedsim import plugins
from fedsim.conformance import toy
from fedsim.conformance.adversary_trial import AdversaryTrial, Checksums, contents
from fedsim.conformance.checklist import Check, Failed, NotApplicable
from fedsim.conformance.traffic import first_difference
from fedsim.observation.keys import SnapshotKey
from fedsim.stages.simulation.checkpointing import read_taken_over

SHORTEST_WORDS, LONGEST_WORDS = 2, 300


def adversary_checks(trial: AdversaryTrial) -> Sequence[Check]:
    """Return the checks of an adversary, in the order in which they make sense."""
    checks = {
        "says in one line what it is": is_described,
        "tells its threat model in words": has_words,
        "threat() and acts_from() agree": agrees_with_itself,
    }
    gates = {
        "asks queries that can be answered": asks_well,
        "takes part in a tiny federation": takes_part,
    }
    more = {
        "keeps what its queries are answered from": keeps_what_it_needs,
        "changes no bit of any message before it acts": is_honest_until_it_acts,
        "acts when it says so": acts,
        "does the same in a second run, bit for bit": repeats,
        "goes on after a stop as if there had been none": resumes,
        "has all that it remembers in `memory`": remembers_in_memory,
        "branches from an honest federation as if it had been there": branches,
    }
    return [
        *(Check(claim, partial(check, trial)) for claim, check in checks.items()),
        *(Check(claim, partial(check, trial), gate=True) for claim, check in gates.items()),
        *(Check(claim, partial(check, trial)) for claim, check in more.items()),
    ]


def is_described(trial: AdversaryTrial) -> None:
    """`fedsim list adversaries` shows the first line of its documentation."""
    if not plugins.resolve("adversaries", trial.name).__doc__:  # its own, not an inherited one
        raise Failed("it has no docstring; its first line is what `fedsim list` shows")


def has_words(trial: AdversaryTrial) -> None:
    """Who, sees and does are printed before anything runs, and stand in the report."""
    threat = trial.adversary.threat()
    for name in ("who", "sees", "does"):
        said = getattr(threat, name)
        if not isinstance(said, str) or not said.strip():
            raise Failed(f"threat().{name} is {said!r}; say it in words")
        if "\n" in said or not SHORTEST_WORDS <= len(said.split()) <= LONGEST_WORDS:
            raise Failed(f"threat().{name} is {said!r}; say it in a few words on one line")


def agrees_with_itself(trial: AdversaryTrial) -> None:
    """Passive ones share the honest federation; an active one has a federation to itself."""
    active, start = trial.adversary.threat().active, trial.start
    if active and start is None:
        raise Failed("threat() says that it is active, but acts_from() is None")
    if start is not None and not active:
        raise Failed(f"acts_from() is {start}, but threat() does not say active=True")
    if start is not None and start < 1:
        raise Failed(f"acts_from() is {start}; rounds are numbered from 1")


def asks_well(trial: AdversaryTrial) -> str:
    """Whose data is asked about must exist, and never change."""
    victims, attacker = (0,), trial.attacker
    asked = trial.adversary.queries(victims, toy.PARTICIPANTS)
    if not asked:
        raise Failed("questions() is empty; an adversary asks about at least one participant")
    if asked != trial.adversary.queries(victims, toy.PARTICIPANTS):
        raise Failed("questions() gives other queries when it is called again")
    for query in asked:
        third_parties = {*query.victims, *query.holders} - set(range(toy.PARTICIPANTS))
        if third_parties or not query.victims:
            raise Failed(
                f"query {query.key!r} is about participants {list(query.victims)}; valid: "
                f"some of 0 to {toy.PARTICIPANTS - 1}"
            )
        if not attacker.answering(query):
            raise Failed(f"answering({query.key!r}) is empty: nothing would answer that query")
    trial.setup.ledger.audit(asked[0])  # drawn with the setup; an error where it cannot be
    return "about " + ", ".join(query.key for query in asked)


def takes_part(trial: AdversaryTrial) -> str:
    """Its hooks run in every round, on a federation of three."""
    passed = trial.with_it
    last = max(message.round for message in passed)
    return f"{toy.PARTICIPANTS} participants, {last} rounds"


def keeps_what_it_needs(trial: AdversaryTrial) -> str:
    """An attack reads the snapshots of `answering`, of each observed round."""
    store = trial.attacker.store(trial.experiment, trial.run)
    rounds = trial.experiment.observed_rounds
    kept = {(snapshot.round, snapshot.key) for snapshot in store.index()}
    for query in trial.attacker.queries:
        for key in trial.attacker.answering(query):
            lost = [r for r in rounds if (r, key) not in kept]
            if lost:
                raise Failed(
                    f"answering({query.key!r}) names {key.name!r}, but nothing is recorded of it "
                    f"in round {lost[0]}; call self.record(round_number, {_written(key)}, arrays)"
                )
        for key in trial.attacker.answering_while_acting(query):
            if not any(there == key for _, there in kept):
                raise Failed(
                    f"answering_while_acting({query.key!r}) names {key.name!r}, but nothing is "
                    "ever recorded of it"
                )
    return f"{len(kept)} snapshots of {', '.join(sorted({key.name for _, key in kept}))}"


def _written(key: SnapshotKey) -> str:
    """Return a key as a plugin author writes it."""
    number = "" if key.participant is None else "participant"
    return f"SnapshotKind.{key.kind.name}.of({number})"


def is_honest_until_it_acts(trial: AdversaryTrial) -> str:
    """Until it acts its federation is the honest one, message by message."""
    found = first_difference(trial.honest, trial.with_it)
    if found is not None and (trial.start is None or found.round < trial.start):
        promise = (
            "acts_from() is None: it says that it never does"
            if trial.start is None
            else f"acts_from() is {trial.start}"
        )
        raise Failed(f"in round {found.round} {found.what} is not the honest one, but {promise}")
    until = "all" if trial.start is None else f"before round {trial.start}"
    same = [m for m in trial.honest if trial.start is None or m.round < trial.start]
    return f"{len(same)} messages and aggregates compared, {until}"


def acts(trial: AdversaryTrial) -> str:
    """An active adversary that changes nothing wastes a federation."""
    if trial.start is None:
        raise NotApplicable("it is passive")
    found = first_difference(trial.honest, trial.with_it)
    if found is None:
        last = trial.experiment.federation.rounds
        raise Failed(
            f"acts_from() is {trial.start}, but every message up to round {last} is the honest one"
        )
    return f"first in round {found.round}: {found.what}"


def repeats(trial: AdversaryTrial) -> str:
    """Every draw comes from the seed of its resources, never from global state or the clock."""
    again = trial.simulated("again")
    return _require_same(contents(trial.run), contents(again), "of a second run", trial)


def resumes(trial: AdversaryTrial) -> str:
    """A run that was stopped goes on with freshly built adversaries and their memories."""
    last = trial.experiment.federation.rounds
    start = trial.start or 1
    stops = sorted({1, start - 1, start, start + 1, last - 1} & set(range(1, last)))
    for after in stops:
        name = f"stopped-{after}"
        trial.stopped(name, after)
        resumed = trial.simulated(name)
        what = f"of a run that was stopped after round {after}"
        _require_same(contents(trial.run), contents(resumed), what, trial)
    return "stopped after round " + ", ".join(map(str, stops))


def remembers_in_memory(trial: AdversaryTrial) -> str | None:
    """Only `memory` survives a stop; other attributes are lost, which only caches may be."""
    changed = trial.changed_attributes
    if not changed:
        return None
    named = ", ".join(f"self.{name}" for name in changed)
    try:
        resumes(trial)
    except Failed as reason:
        raise Failed(f"a run changes {named}, which a stop forgets; use self.memory") from reason
    return f"a run changes {named} too; forgetting it changed nothing here"


def branches(trial: AdversaryTrial) -> str:
    """Its memory when it begins to act depends only on the last honest round."""
    if trial.start is None:
        raise NotApplicable("it is passive")
    if trial.start == 1:
        raise NotApplicable("it acts from round 1 on, so there is no honest round before")
    run = trial.simulated("branched", trial.beside_an_onlooker())
    taken = read_taken_over(run.history(toy.LABEL))
    if taken != trial.start - 1:
        raise NotApplicable(
            "it keeps snapshots that no honest federation has, so it never branches"
        )
    ours = {k: v for k, v in contents(trial.run).items() if "history" not in k}
    theirs = {k: v for k, v in contents(run).items() if "history" not in k}
    return _require_same(ours, theirs, f"of a run that branched after round {taken}", trial)


def _require_same(ours: Checksums, theirs: Checksums, what: str, trial: AdversaryTrial) -> str:
    for name, content in ours.items():
        if theirs.get(name) != content:
            hint = "".join(f"; a run changes self.{one}" for one in trial.changed_attributes)
            raise Failed(f"{_in_words(name)} {what} differs from the uninterrupted one{hint}")
    return f"{len(ours)} files compared"


def _in_words(name: str) -> str:
    snapshot = re.search(r"round-0*(\d+)\.(.+)\.safetensors", name)
    if snapshot:
        return f"the snapshot of {SnapshotKey.parse(snapshot[2]).in_words} in round {snapshot[1]}"
    return {
        "checkpoint.safetensors": "where the federation stands at its end",
        "history.json": "the federation's utility",
        "malicious_updates.json": "the list of malicious messages",
    }.get(name.rpartition("/")[2], name)
