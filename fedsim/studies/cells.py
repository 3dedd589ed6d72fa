"""The cells of a study: every combination of its axes as an experiment, valid before any runs."""

import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fedsim.config.experiment import DECIDES_FEDERATIONS, Experiment
from fedsim.config.sections import EveryRound
from fedsim.errors import LONGEST_LIST, ConfigError, FedsimError, listed
from fedsim.stages.preparation.experiment_faults import load_experiment
from fedsim.studies.definition import Scale, Study
from fedsim.studies.strengths import DEFENCE, NO_STRENGTH, STRENGTH, Changes, defended

BASE = "base"
MOST_CELLS = 10_000


@dataclass(frozen=True)
class Cell:
    """One experiment of a study.

    Attributes
    ----------
    coordinates
        Its value on each axis.
    experiment
        What is run.
    """

    coordinates: Mapping[str, str]
    experiment: Experiment

    @property
    def name(self) -> str:
        """Return the cell's values in words."""
        message = {STRENGTH: NO_STRENGTH}.items()  # without a defence there is no strength
        values = (value for name, value in self.coordinates.items() if (name, value) not in message)
        return ", ".join(values) or "the experiment"

    @cached_property
    def digest(self) -> str:
        """Return the address of its run: equal experiments share a run in all studies."""
        return digest_of(self.experiment)

    @property
    def federation(self) -> str:
        """Return the address of its honest federation, independent of adversaries and attacks."""
        tree = self.experiment.model_dump(mode="json")
        deciding = {part: tree[part] for part in ("federation", *DECIDES_FEDERATIONS) if tree[part]}
        if _audit_decides(self.experiment):
            deciding["audit"] = tree["audit"]
        return _digest(json.dumps(deciding, sort_keys=True))


def _audit_decides(experiment: Experiment) -> bool:
    """Return whether the audit affects the training data."""
    audit = experiment.audit
    return bool(audit.null or audit.canaries or audit.canary_participants)


def digest_of(experiment: Experiment) -> str:
    """Return the address of an experiment's run."""
    return _digest(experiment.resolved())


def expand(
    study: Study, path: Path, scale: Scale, overrides: Iterable[str] = (), rounds: int | None = None
) -> list[Cell]:
    """Return every cell of a study at a scale.

    Parameters
    ----------
    study, path
        The study, and its file, which other files are relative to.
    scale
        Which sizes.
    overrides
        ``a.b=c`` each, as of `fedsim.config.loading.read_experiment`; applied last in every
        cell.
    rounds
        The number of rounds to which every federation is shortened.

    Raises
    ------
    FedsimError
        If the study has no such scale, or a cell's experiment is not valid; it says which.
    """
    if scale not in study.scales:
        raise ConfigError(f"{path}: there is no scale {scale!r}; valid: {listed(study.scales)}")
    axes = study.axes_at(scale)
    tried: list[tuple[str, str, Changes] | None] = [*defended(study.defences)] or [None]
    count = math.prod(len(values) for values in axes.values()) * len(tried)
    if count > MOST_CELLS:
        raise ConfigError(f"{path}: its axes make {count:,} cells; at most {MOST_CELLS:,} are run")
    cells = []
    for values, defence in itertools.product(itertools.product(*axes.values()), tried):
        coordinates = dict(zip(axes, values, strict=True))
        layers = [study.changes, study.scales[scale].changes]
        layers += [axes[axis][value] for axis, value in coordinates.items()]
        if defence is not None:
            coordinates |= {DEFENCE: defence[0], STRENGTH: defence[1]}
            layers.append(defence[2])
        bases = [study.base, *(layer[BASE] for layer in layers if BASE in layer)]
        base = path.parent / str(bases[-1]).replace("{scale}", scale)
        # In this order: a section that is set anew undoes what was set inside it before.
        written = [
            f"{key}={json.dumps(value)}"
            for layer in layers
            for key, value in layer.items()
            if key != BASE
        ]
        try:
            experiment = load_experiment(base, [*written, *overrides])
            if rounds is not None:
                short = shortening(experiment, rounds)
                experiment = load_experiment(base, [*written, *overrides, *short])
        except FedsimError as error:
            named = f", cell {', '.join(coordinates.values())}" if coordinates else ""
            raise type(error)(f"{path}{named}: {error}", LONGEST_LIST) from error
        cells.append(Cell(coordinates, experiment))
    return cells


def chosen(cells: Sequence[Cell], wishes: Iterable[str]) -> list[Cell]:
    """Return the cells selected by ``AXIS=VALUE`` conditions; all cells without a condition.

    Raises
    ------
    ConfigError
        If a condition has another form, or no cell is left.
    """
    left = list(cells)
    for wish in wishes:
        axis, _, value = wish.partition("=")
        left = [cell for cell in left if cell.coordinates.get(axis) == value]
        if not left:
            names = (f"{axis}={value}" for c in cells for axis, value in c.coordinates.items())
            raise ConfigError(f"--only {wish!r} leaves no cell; valid: {listed(set(names))}")
    return left


def shortening(experiment: Experiment, rounds: int) -> list[str]:
    """Return the overrides that end an experiment early.

    Events after the last round are dropped; adversaries and participants that start later start in
    the last round.
    """
    if rounds >= experiment.federation.rounds:
        return []
    changes = [f"federation.rounds={rounds}"]
    if not isinstance(experiment.snapshots.rounds, EveryRound):
        kept = [r for r in experiment.snapshots.rounds if r <= rounds] or [rounds]
        changes.append(f"snapshots.rounds={kept}")
    attendance = experiment.federation.attendance
    if late := [first for first in attendance if first > rounds]:
        early = {k: list(v) for k, v in attendance.items() if k not in late}
        here = {*attendance[max(early)]} if early else {*range(experiment.partition.participants)}
        if coming := {one for first in late for one in attendance[first]} - here:
            early[rounds] = sorted(here | coming)
        changes.append(f"federation.attendance={json.dumps(early)}")
    attackers = [attacker.model_dump(mode="json") for attacker in experiment.adversaries]
    acting = [
        one
        for attacker in attackers
        for one in attacker["together"]
        if one.get("first", 0) > rounds
    ]
    for one in acting:  # in the last round instead, so that it is seen to act
        one["first"] = rounds
        one.pop("last", None)
    if acting:
        changes.append(f"adversaries={json.dumps(attackers)}")
    return changes


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
