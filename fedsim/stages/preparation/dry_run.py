"""A dry run before round 1: every attack is tried once on the initial model.

What could only fail after all rounds fails here, in one sentence: a model that an attack cannot
read, too few known records, scores that cannot be used. Each attack sees what its attacker will
keep in one round, with the initial parameters in it, and a handful of the audit's records; its
scores are thrown away.
"""

import copy
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord
from torch import nn

from fedsim import seeds
from fedsim.attacks import Attack, AuxiliaryRecords, ShadowFederation, View
from fedsim.data import AuditSet, MembershipQuery
from fedsim.engines.threads import limited_threads
from fedsim.errors import FedsimError, PluginError, SnapshotError
from fedsim.evaluation import Scores
from fedsim.models import exchanged_state
from fedsim.observation.snapshots import SnapshotStore
from fedsim.plugins.error_sentences import place_in_module
from fedsim.progress import Watcher
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.attackers import Attacker
from fedsim.stages.preparation.attribute_reset import reset_attributes
from fedsim.stages.preparation.setup import Setup
from fedsim.stages.preparation.views import HiddenAudit, hidden_audit, view_of

KNOWN, TESTED = 24, 4
"""How many members, and how many non-members, of the known and of the tested records are taken."""


def try_attacks(setup: Setup, watcher: Watcher) -> None:
    """Try every attack of a setup on what its attackers will keep, before anything is simulated.

    Raises
    ------
    FedsimError
        If an attack cannot be made; the sentence says which.
    """
    with (
        tempfile.TemporaryDirectory(prefix="fedsim-dry-run-") as folder,
        limited_threads(setup.experiment.engine.threads),
        seeds.global_draws(setup.experiment.seed, "dry run"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # few records and an untrained model may well cause some
        model = setup.on_device(setup.new_model)()
        for number, (attacker, query) in enumerate(_different(setup)):
            hidden = hidden_audit(setup, query)
            try:
                place = RunDirectory(Path(folder) / str(number))
                view = _view(setup, model, attacker, query, hidden, place)
            except SnapshotError:
                return  # no room for temporary files: the run itself says where it needs room
            for label, attack in copy.deepcopy(dict(setup.attacks)).items():
                with reset_attributes(type(attack)):
                    _try(label, attack, view, hidden.audit)


def _different(setup: Setup) -> Iterator[tuple[Attacker, MembershipQuery]]:
    """Yield one query for each set of snapshot kinds that attacks will be given."""
    seen = set()
    for attacker in setup.attackers:
        for query in attacker.queries:
            keys = (*attacker.answering(query), *attacker.answering_while_acting(query))
            kinds = frozenset(key.kind for key in keys)
            if kinds not in seen:
                seen.add(kinds)
                yield attacker, query


def _view(
    setup: Setup,
    model: nn.Module,
    attacker: Attacker,
    query: MembershipQuery,
    hidden: HiddenAudit,
    place: RunDirectory,
) -> View:
    """Return the view of one round in which training changes nothing."""
    store, state = SnapshotStore(place.path / "seen"), ArrayRecord(exchanged_state(model))
    keys = [*attacker.answering(query), *attacker.answering_while_acting(query)]
    if attacker.reads_others:
        keys += attacker.others(query, setup.experiment)
    for key in keys:
        store.keep(1, key, state)
    view = view_of(setup, place, attacker, query, store.series(*keys), hidden=hidden)
    return replace(view, new_model=partial(copy.deepcopy, model))


def _try(label: str, attack: Attack, view: View, audit: AuditSet) -> None:
    """Try an attack on a handful of records, or on all if a handful is too few for it.

    A setting that needs many known records is thus not refused because of the small trial.
    """
    try:
        _tried(label, attack, view, _handful(audit))
    except Exception:
        _tried(label, attack, replace(view, features=view.features / "all"), audit)


def _tried(label: str, attack: Attack, view: View, audit: AuditSet) -> None:
    known = AuxiliaryRecords(audit.records[audit.known], audit.member[audit.known])
    learned = replace(view, records=known.records)
    shadow = ShadowFederation(learned, known.member, overlapping=0, drawn=len(audit))
    shadows = (shadow,) * attack.needs.shadow_federations
    if attack.needs.shadow_targets:
        turns = np.arange(len(audit)) % 2
        shadows = tuple(
            replace(shadow, trained=((turns + n) % 2).astype(np.int8))
            for n in range(attack.needs.shadow_federations)
        )
    view = replace(view, records=audit.records, shadows=shadows)
    try:
        scores = attack.dry_run(view.given(attack.needs), known, audit.records)
        if scores is not None:
            Scores(audit.records, np.asarray(scores)[None])
    except FedsimError as error:
        raise type(error)(f"{_prefix(label, str(error))}{error}") from error
    except (ValueError, TypeError, RuntimeError, LookupError, AttributeError) as error:
        raise PluginError(
            f"attack {label}, tried before round 1: {type(error).__name__}: "
            f"{' '.join(str(error).split())}"
            f"{place_in_module(error, type(attack).__module__)}"
        ) from error


def _prefix(label: str, sentence: str) -> str:
    """Return the prefix that names the attack, if an error message does not name it."""
    return "" if sentence.startswith(f"attack {label}") else f"attack {label}: "


def _handful(audit: AuditSet) -> AuditSet:
    """Return a few records of each of the four kinds of an audit."""
    chosen = np.zeros(len(audit), dtype=np.bool_)
    for known, count in ((True, KNOWN), (False, TESTED)):
        for member in (True, False):
            places = np.flatnonzero((audit.known == known) & (audit.member == member))
            chosen[places[:count]] = True
    return AuditSet(audit.records[chosen], audit.member[chosen], audit.known[chosen])
