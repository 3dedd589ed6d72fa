"""The first stage for a model that was trained elsewhere: no federation, its weights as snapshots.

The result is an ordinary run directory, so attacks and reports work on it unchanged. Each file of
weights counts as a round, and the model's owner as the only participant. No pickle is ever loaded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from flwr.app import ArrayRecord
from torch import Tensor, nn

from fedsim.config.choice import HONEST
from fedsim.config.experiment import Experiment
from fedsim.config.loading import experiment_of_tree
from fedsim.config.sections import AuditSettings, ExternalModelSettings
from fedsim.data import AuditSet, Dataset, read_membership, write_ledger
from fedsim.errors import PluginError, SnapshotError
from fedsim.federation.round_figures import RoundFigures, with_utility
from fedsim.files import usable_path
from fedsim.files.digests import digest, digest_of_arrays
from fedsim.models import load_exchanged
from fedsim.objectives import Classification, Objective
from fedsim.observation.keys import SnapshotKey, SnapshotKind
from fedsim.observation.snapshots import require_space
from fedsim.progress import Watcher
from fedsim.rundir import RunDirectory
from fedsim.stages.kept_snapshots import Selection, select
from fedsim.stages.preparation.experiment_data import load_data
from fedsim.stages.preparation.external_weights import fitted, read_weights
from fedsim.stages.preparation.plan import plan
from fedsim.stages.preparation.setup import Setup
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.simulation.checkpointing import write_history
from fedsim.training.sgd_loop import evaluate

GivenStates = Mapping[tuple[int, SnapshotKey], Mapping[str, Tensor]]
"""By round and key, the parameters of a snapshot."""


@dataclass(frozen=True)
class ExternalModel:
    """A model that was trained elsewhere, and how it is attacked.

    Attributes
    ----------
    model, data
        A plugin's name, ``module:function``, a function or class of a module, or a mapping with
        `name` and settings.
    membership
        The file that says which records were in its training data (see
        `fedsim.data.membership_file`).
    weights
        safetensors state dicts: the model, or several versions of it from the earliest on.
    snapshots
        Instead of weights: a folder of snapshots that an adversary kept in a Flower app, or
        several.
    owner
        What the snapshots are of (``participant-3``, ``sent-3``, ``aggregate``), one or several; by
        default everything that is there.
    victim
        Whose data is asked about, where uploads of several are given: a participant's number if
        there is a ``nodes.json`` (see `fedsim.NodeNumbers`), else Flower's number of the node. By
        default the one of the first upload in `owner`.
    adversary, attacks
        Who holds the model, and what it does with it: plugins' names, of attacks
        also mappings with `name` and settings. Of snapshots, their headers
        say who kept them; this is its name where they do not.
    seed, attack_seeds
        The seed of all random draws, and the number of seeds that each attack is averaged over.
    """

    model: object
    data: object
    membership: Path | str
    adversary: str
    attacks: str | Mapping[str, object] | Sequence[str | Mapping[str, object]]
    weights: Path | str | Sequence[Path | str] = ()
    snapshots: Path | str | Sequence[Path | str] | None = None
    owner: str | Sequence[str] | None = None
    victim: int | None = None
    seed: int = 0
    attack_seeds: int = 1


def paths_of(given: Path | str | Sequence[Path | str]) -> tuple[Path, ...]:
    """Return one path or several as paths."""
    several = (given,) if isinstance(given, Path | str) else given
    return tuple(usable_path(one, "a file of weights or snapshots") for one in several)


def set_given_setup(
    given: ExternalModel, data_dir: Path | None, watcher: Watcher
) -> tuple[Setup, GivenStates]:
    """Load and check all inputs before anything is written.

    Raises
    ------
    FedsimError
        If any of it is missing, damaged, or does not fit the rest.
    """
    selection, states = _read(given)
    if selection is not None:
        watcher.say(selection.in_words)
    membership = read_membership(usable_path(given.membership, "the membership file"))
    experiment = _experiment(given, selection, states)
    dataset = load_data(experiment, data_dir, watcher)
    ledger = membership.ledger(dataset, given.seed)
    if selection is not None:  # nothing is known of what the others trained on
        unknown = (np.zeros(0, dtype=np.int64),) * selection.others
        ledger = replace(ledger, training_sets=(*ledger.training_sets, *unknown))
    audit = ledger.audit(membership.query)
    if copies := len(membership.records) - len(audit):
        watcher.say(f"{copies} of the listed records have an exact copy and are not audited")
    found = ExternalModelSettings(
        weights=tuple(digest(state) for state in states.values()),
        membership=digest_of_arrays(audit.records, audit.member, audit.known),
    )
    sizes = _sizes(audit, given.attack_seeds)
    experiment = experiment.model_copy(update={"audit": sizes, "given": found})
    setup = build_setup(experiment, data_dir, watcher, dataset=dataset, ledger=ledger)
    model = setup.new_model()
    _require_fit(model, dataset, setup.objective)
    return setup, {
        place: fitted(model, state, _name(given, selection, place))
        for place, state in states.items()
    }


def keep_given(setup: Setup, states: GivenStates, run: RunDirectory) -> None:
    """Write what a simulation would write: the ledger, the snapshots, and the utility.

    Raises
    ------
    SnapshotError
        If the disk does not take the snapshots.
    """
    require_space(run.path, plan(setup).snapshot_bytes)
    write_ledger(setup.ledger, run.ledger)
    for attacker in setup.attackers:
        store = attacker.store(setup.experiment, run)
        for (round_number, key), state in states.items():
            store.keep(round_number, key, ArrayRecord(dict(state)))
    # By round, the model closest to the victim's data: the last of what answers about it.
    last = {number: state for (number, key), state in states.items() if not key.participant}
    figures = [_utility(setup, number, state) for number, state in last.items()]
    write_history(run.history(HONEST), figures, setup.objective.utility)


def _utility(setup: Setup, round_number: int, state: Mapping[str, Tensor]) -> RoundFigures:
    """Return the loss and the utility on the listed members, and on the listed non-members."""
    model, dataset = setup.on_device(setup.new_model)(), setup.placed_dataset
    load_exchanged(model, state)
    members, nonmembers = setup.ledger.training_sets[0], np.flatnonzero(setup.ledger.test)
    figures = RoundFigures.unmeasured(round_number, setup.objective.utility.name)
    for part, records in (("train", members), ("test", nonmembers)):
        found = evaluate(model, dataset, records, setup.objective)
        figures = with_utility(figures, part, found.loss, found.term, setup.objective)
    return figures


def _experiment(
    given: ExternalModel, selection: Selection | None, states: GivenStates
) -> Experiment:
    others = 0 if selection is None else selection.others
    rounds = sorted({number for number, _ in states})
    tree = {
        "seed": given.seed,
        "data": given.data,
        "partition": {"participants": 1 + others},
        "model": given.model,
        "federation": {"rounds": max(rounds)},
        "snapshots": {"rounds": rounds, "participants": "all" if others else "victims"},
        "adversaries": [
            given.adversary if selection is None else selection.adversary(given.adversary)
        ],
        "attacks": list(given.attacks),
    }
    found = experiment_of_tree(tree, "what is given")
    listed = found.partition.model_copy(update={"name": "listed"})  # by a file, and drawn by nobody
    return found.model_copy(update={"partition": listed})


def _sizes(audit: AuditSet, attack_seeds: int) -> AuditSettings:
    member, known = audit.member, audit.known
    return AuditSettings(
        known_members=int((known & member).sum()),
        known_nonmembers=int((known & ~member).sum()),
        tested_members=int((~known & member).sum()),
        tested_nonmembers=int((~known & ~member).sum()),
        attack_seeds=attack_seeds,
    )


def _read(given: ExternalModel) -> tuple[Selection | None, GivenStates]:
    if given.snapshots is not None:
        owner, folders = given.owner or (), paths_of(given.snapshots)
        owners = (owner,) if isinstance(owner, str) else tuple(owner)
        found = select(folders, owners, given.victim)
        return found, {place: one.load() for place, one in found.snapshots.items()}
    if not given.weights:
        raise SnapshotError("no weights are given; name at least one safetensors file")
    key = SnapshotKind.AGGREGATE.of()
    return None, {(n, key): read_weights(path) for n, path in enumerate(paths_of(given.weights), 1)}


def _name(given: ExternalModel, selection: Selection | None, place: tuple[int, SnapshotKey]) -> str:
    return str(
        paths_of(given.weights)[place[0] - 1]
        if selection is None
        else selection.snapshots[place].path
    )


@torch.no_grad()
def _require_fit(model: nn.Module, dataset: Dataset, objective: Objective) -> None:
    """Raise unless the model's outputs fit the objective: of classification, a logit per class."""
    inputs, targets = dataset.batch(np.arange(min(2, len(dataset))))
    model.eval()
    try:
        logits = model(inputs)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise PluginError(
            f"the model {type(model).__name__} does not take records of shape "
            f"{dataset.input_shape}: {reason}"
        ) from error
    if isinstance(logits, Tensor) and not isinstance(objective, Classification):
        objective.require_fit(logits, targets)
        return
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if not isinstance(logits, Tensor) or logits.shape[:-1] != (len(inputs),):
        raise PluginError(f"the model {type(model).__name__} returns {shape}, not rows of logits")
    if logits.shape[1] < dataset.num_classes:
        raise PluginError(
            f"the model {type(model).__name__} tells {logits.shape[1]} classes apart, but "
            f"{dataset.name} has {dataset.num_classes}"
        )
