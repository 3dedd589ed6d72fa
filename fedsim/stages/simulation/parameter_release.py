"""``snapshots.keep: features``: features are extracted each round, and parameters dropped.

After every round, each attack extracts its features from the round's snapshots, for every query and
every participant that it needs; then only the name, the round and the checksum of each snapshot
remain on the disk. The attack stage would extract the same features later, so the scores are the
same, bit for bit.

Another federation of the run may branch from this one and needs the parameters until then, so they
are dropped after the last possible branch. An attack on update alignments reads aggregates in
pairs: the last one is kept until the next one exists.
"""

import copy
from collections.abc import Set
from dataclasses import replace
from functools import partial

from fedsim.engines.threads import limited_threads
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshot_file import Snapshot
from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.attackers import Attacker
from fedsim.stages.preparation.federations import PlannedFederation
from fedsim.stages.preparation.setup import Setup
from fedsim.stages.preparation.views import view_of


def release_parameters(
    setup: Setup, federation: PlannedFederation, run: RunDirectory, branches: Set[int], after: int
) -> None:
    """Extract the features that attacks need from existing snapshots, and drop their parameters.

    Parameters
    ----------
    setup, federation, run
        The experiment, the federation whose attackers have seen something, and where it lives.
    branches
        Rounds after which other federations may branch from this one.
    after
        The round that has ended.
    """
    if setup.experiment.snapshots.keep != "features":
        return
    with limited_threads(setup.experiment.engine.threads):
        for attacker in federation.attackers:
            kept = _extract(setup, attacker, run, any(branch >= after for branch in branches))
            if after >= setup.experiment.federation.rounds:
                _forget(kept)


def _extract(
    setup: Setup, attacker: Attacker, run: RunDirectory, keep: bool
) -> tuple[Snapshot, ...]:
    """Extract features; return the last aggregate if the next one will be paired with it."""
    experiment = setup.experiment
    store = attacker.store(experiment, run)
    model = setup.computing_model()  # built once: every snapshot's parameters replace its own
    # Layers by name first: what is extracted for one of those has what the others need.
    attacks = sorted(setup.attacks.values(), key=lambda attack: not attack.needs.names_layers)
    needed = tuple(attack.needs for attack in attacks)
    fresh = [s for s in store.series(*attacker.keys(experiment)) if s.has_parameters]
    in_pairs = any(needs.update_alignment for needs in needed)
    last_aggregate: tuple[Snapshot, ...] = ()
    for number in sorted({snapshot.round for snapshot in fresh}):
        seen = tuple(snapshot for snapshot in fresh if snapshot.round == number)
        aggregate = tuple(s for s in seen if in_pairs and s.kind is SnapshotKind.AGGREGATE)
        seen = (*last_aggregate, *seen)
        for query in attacker.queries:
            wanted = set(attacker.seen_keys(query, experiment))
            answering = tuple(snapshot for snapshot in seen if snapshot.key in wanted)
            if not answering:
                continue
            view = view_of(setup, run, attacker, query, answering)
            view = replace(view, new_model=partial(copy.deepcopy, model), needed=needed)
            for attack in attacks:
                # `which` is left aside: which snapshot is the last one is known at the end only.
                attack.extract(view.given(attack.needs, every=True), SILENCE)
        last_aggregate = aggregate or last_aggregate
        if not keep:
            _forget(tuple(snapshot for snapshot in seen if snapshot not in last_aggregate))
    return last_aggregate


def _forget(snapshots: tuple[Snapshot, ...]) -> None:
    for snapshot in snapshots:
        snapshot.let_go()
