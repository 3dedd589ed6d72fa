"""All faults of an experiment that show without reading its data, in one error.

The file and the plugins' settings are checked first. Then each part that needs no data is built
once, because some values are refused only by a constructor of Flower or PyTorch, and the needs of
attacks are checked against what attackers see and defences hide.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from fedsim import plugins
from fedsim.attacks import Attack
from fedsim.config import loading
from fedsim.config.experiment import Experiment
from fedsim.config.fault_collector import FaultCollector
from fedsim.config.plugin_faults import plugin_faults
from fedsim.config.section_conflicts import VICTIMS_FIT
from fedsim.data.loading import require_files
from fedsim.defences.base import Defence
from fedsim.defences.composition import bare_defence
from fedsim.errors import ConfigError
from fedsim.objectives import Objective
from fedsim.stages.preparation.attack_needs import require_extracting, require_shown
from fedsim.stages.preparation.attackers import Attacker, attacker_of
from fedsim.stages.preparation.built_plugins import build_attack
from fedsim.stages.preparation.canary_audit import require_canary_participants
from fedsim.stages.preparation.part_faults import (
    require_optimizer,
    require_partitioner_settings,
    require_strategy,
)
from fedsim.stages.preparation.refusals import require_undefended
from fedsim.stages.preparation.strategy_choice import chosen_strategy, some_are_away
from fedsim.stages.preparation.victim_visibility import RoundDraws, attackers_with_visible_victims
from fedsim.training.trainer import build_trainer

_TRAINER, _OPTIMIZER = "federation.local.trainer", "federation.local.optimizer"
_STRATEGY = "federation.strategy"
_ATTENDANCE = ("federation.attendance", "partition.participants")
_OBSERVED = ("snapshots.rounds", "federation.rounds")


def load_experiment(
    path: Path | str,
    overrides: Iterable[str] = (),
    *,
    with_files: bool = False,
    data_dir: Path | None = None,
) -> Experiment:
    """Read an experiment from a YAML file.

    All faults that show without its data are reported in one error.

    Parameters
    ----------
    path
        The file, or the name of an experiment that ships with fedsim.
    overrides
        ``a.b=c`` each: sets key ``b`` in section ``a`` to the YAML value ``c``; a number in the
        path is a position in a list.
    with_files, data_dir
        Whether data will be loaded, so that missing files are faults, too; and the data directory.

    Raises
    ------
    FedsimError
        If the file cannot be read, any part of it is not valid, a plugin that it names does not
        exist or refuses its settings, or the parts do not fit together.
    """
    return loading.read_experiment(
        path, overrides, check_plugins=_check_plugins(with_files, data_dir)
    )


def parse_experiment(
    tree: Mapping[str, object],
    source: str,
    *,
    with_files: bool = False,
    data_dir: Path | None = None,
) -> Experiment:
    """Return the experiment that plain data describes, checked like in `load_experiment`.

    `source` names the origin of the data in error messages.

    Raises
    ------
    FedsimError
        As `load_experiment`.
    """
    return loading.experiment_of_tree(
        tree, source, check_plugins=_check_plugins(with_files, data_dir)
    )


def _check_plugins(with_files: bool, data_dir: Path | None) -> loading.CheckPlugins:
    if not with_files:
        return experiment_faults

    def check(experiment: Experiment, faults: FaultCollector) -> None:
        experiment_faults(experiment, faults)
        file_faults(experiment, faults, data_dir)

    return check


def require_sound(experiment: Experiment, data_dir: Path | None) -> None:
    """Raise `FedsimError` unless all parts of an experiment that need no data can be built.

    Raises
    ------
    FedsimError
        With all faults; a single fault keeps its own type of error.
    """
    faults = FaultCollector()
    experiment_faults(experiment, faults)
    file_faults(experiment, faults, data_dir)
    faults.require_none()


def file_faults(experiment: Experiment, faults: FaultCollector, data_dir: Path | None) -> None:
    """Collect missing data files; nothing is decoded."""
    data = experiment.data
    there = partial(
        require_files, data.name, data.settings, data_dir=data_dir, beside=experiment.folder
    )
    faults.check(there, "data")


def experiment_faults(experiment: Experiment, faults: FaultCollector) -> None:
    """Collect the faults of an experiment, as far as its parts are valid.

    Of a model that was trained elsewhere only the plugins are checked: nothing is simulated.
    """
    plugin_faults(experiment, faults)
    if experiment.given is not None:
        return
    defences = _defences(experiment, faults)
    # An attacker can be built beside a defence that cannot.
    built = tuple(one for one in experiment.defences if one.label in defences)
    experiment = experiment.model_copy(update={"defences": built})
    attackers = _attackers(experiment, faults)
    _federation_faults(experiment, faults)
    attacks = _attacks(experiment, faults)
    needs_fit = (*_OBSERVED, "partition.participants")
    for at, attacker in attackers.items():
        for label, attack, place in attacks:
            shown = partial(require_shown, label, attack.needs, attacker, experiment)
            faults.check(shown, f"needs of {place} of {at}", place, "defences", *needs_fit)
        hidden = partial(require_undefended, experiment, [attacker], defences)
        faults.check(hidden, f"hidden from {at}", "defences", "snapshots", *needs_fit)
    hides = partial(require_canary_participants, experiment, tuple(attackers.values()))
    faults.check(hides, "audit.canary_participants", "defences", "adversaries")
    faults.check(
        partial(_require_seen, experiment, tuple(attackers.values())),
        "seen",
        *("adversaries", VICTIMS_FIT, _STRATEGY, "federation.evaluation"),
        *(*_OBSERVED, *_ATTENDANCE, "seed"),
    )


def _attackers(experiment: Experiment, faults: FaultCollector) -> dict[str, Attacker]:
    """Return the attackers that can be built, by where the experiment names them."""
    found = {}
    for place, chosen in enumerate(experiment.adversaries):
        at = f"adversaries.{place}"
        attacker = faults.check(partial(attacker_of, chosen, experiment), at, "audit.victims")
        if attacker is not None:
            found[at] = attacker
            faults.check(partial(_require_acting, attacker, experiment), at, "federation.rounds")
    return found


def _require_acting(attacker: Attacker, experiment: Experiment) -> None:
    start, rounds = attacker.acts_from(), experiment.federation.rounds
    if start is not None and start > rounds:
        raise ConfigError(
            f"{attacker.label} acts from round {start} on, but federation.rounds is {rounds}; let "
            "it act earlier, or run for longer"
        )


def _federation_faults(experiment: Experiment, faults: FaultCollector) -> None:
    """Build the parts that participants and server run."""
    local = experiment.federation.local
    faults.check(partial(require_partitioner_settings, experiment), "partition.name")
    faults.check(partial(require_strategy, experiment), _STRATEGY, "federation.attendance")
    faults.check(partial(require_optimizer, experiment), _OPTIMIZER)
    trainer = faults.check(partial(build_trainer, local), _TRAINER)
    chosen = experiment.objective
    if chosen is None:  # the data say it
        return
    build = partial(plugins.build_member, "objectives", chosen.name, chosen.settings, Objective)
    objective = faults.check(build, "objective")
    if trainer is not None and objective is not None:
        fits = partial(trainer.require_fit, objective, local)
        faults.check(fits, _TRAINER, "objective", "federation.local")


def _attacks(experiment: Experiment, faults: FaultCollector) -> list[tuple[str, Attack, str]]:
    """Return the attacks that can be built: label, attack, and their place in the experiment."""
    found = []
    for place, choice in enumerate(experiment.attacks):
        at = f"attacks.{place}"
        attack = faults.check(partial(build_attack, choice), at)
        if attack is not None:
            found.append((choice.label, attack, at))
            extracts = partial(require_extracting, choice.label, attack, experiment)
            faults.check(extracts, at, "snapshots.keep")
    return found


def _defences(experiment: Experiment, faults: FaultCollector) -> dict[str, Defence]:
    """Return the defences that can be built, by label; they know no facts of the federation."""
    found = {}
    for place, choice in enumerate(experiment.defences):
        defence = faults.check(partial(bare_defence, choice), f"defences.{place}")
        if defence is not None:
            found[choice.label] = defence
    return found


_LEAVES_NOBODY_OUT = ("disjoint", "overlapping", "IidPartitioner")
"""Partitioners that give everybody records; with others who is drawn may depend on the data."""


def _require_seen(experiment: Experiment, attackers: tuple[Attacker, ...]) -> None:
    if experiment.partition.name in _LEAVES_NOBODY_OUT and some_are_away(experiment):
        draws = RoundDraws(experiment, partial(chosen_strategy, experiment))
        attackers_with_visible_victims(attackers, draws, _discard)


def _discard(_: str) -> None:
    """Drop a message; it is shown when the experiment is set up."""
