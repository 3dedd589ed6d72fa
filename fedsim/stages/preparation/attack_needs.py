"""Check the needs of attacks against what the attackers' positions show, before anything runs.

An attack gets what it declares (`fedsim.Needs`) and nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from fedsim.attacks import Attack
from fedsim.config.experiment import Experiment
from fedsim.errors import ConfigError, PluginError, listed
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.needs import Needs
from fedsim.stages.preparation.attackers import Attacker


def attackers_with_needs(
    attackers: Sequence[Attacker], attacks: Mapping[str, Attack], experiment: Experiment
) -> tuple[Attacker, ...]:
    """Return the attackers, each marked if it must keep every participant's uploads.

    Raises
    ------
    ConfigError
        If an attack needs something that an attacker's position does not show or does not keep.
    PluginError
        If an attack declares its needs in another form than `Needs`.
    """
    for label, attack in attacks.items():
        require_extracting(label, attack, experiment)
        for attacker in attackers:
            require_shown(label, attack.needs, attacker, experiment)
    others = any(attack.needs.others for attack in attacks.values())
    return tuple(replace(one, reads_others=others and one.sees_uploads) for one in attackers)


def require_shown(label: str, needs: Needs, attacker: Attacker, experiment: Experiment) -> None:
    """Raise `ConfigError` if an attack needs what an attacker's position does not show."""
    if needs.requires_others and not attacker.sees_uploads:
        raise ConfigError(
            f"attack {label} reads the uploads of other participants, which {attacker.label} does "
            "not see; take it out of attacks, or list an adversary that sees uploads, such as "
            "curious-server, in its place"
        )
    if needs.shadow_federations and experiment.given is not None:
        raise ConfigError(
            f"attack {label} trains models as the real ones were trained, which is not known of a "
            "model that was trained elsewhere; choose another attack"
        )
    for query in attacker.queries:
        kept = {key.kind for key in attacker.answering(query)}
        if needs.requires_update_alignment and not _shows_updates(kept, experiment):
            raise ConfigError(
                f"attack {label} compares gradients with updates, and {attacker.label} sees none: "
                "neither what a victim was sent and uploaded, nor the aggregates of two rounds; "
                "observe more rounds (snapshots.rounds), or choose another attack or adversary"
            )
        if needs.kinds is not None and not needs.kinds & kept:
            raise ConfigError(
                f"attack {label} reads snapshots of kind {_names(needs.kinds)}, and "
                f"{attacker.label} keeps {_names(kept)}; choose another attack or adversary"
            )


def _shows_updates(kept: set[SnapshotKind], experiment: Experiment) -> bool:
    """Return whether these kinds of snapshots show parameters before and after training."""
    own = {SnapshotKind.SENT, SnapshotKind.UPLOAD} <= kept
    return own or (SnapshotKind.AGGREGATE in kept and len(experiment.observed_rounds) > 1)


def require_extracting(label: str, attack: Attack, experiment: Experiment) -> None:
    """Raise if an attack reads parameters that `snapshots.keep` drops.

    Raises
    ------
    ConfigError
        If they are.
    PluginError
        If the attack declares its needs in another form than `Needs`.
    """
    if not isinstance(attack.needs, Needs):
        raise PluginError(
            f"attack {label} has needs of type {type(attack.needs).__name__}; a fedsim.Needs "
            "is needed"
        )
    extracts = type(attack).extract is not Attack.extract
    loads = attack.needs.parameters or (attack.needs.reads_features and not extracts)
    if loads and experiment.snapshots.keep == "features":
        raise ConfigError(
            f"attack {label} reads the parameters of snapshots themselves, and snapshots.keep: "
            "features lets them go; set snapshots.keep: parameters, or let the attack declare its "
            "needs and extract its features (fedsim.Attack.extract)"
        )


def report_needs(
    attacks: Mapping[str, Attack], experiment: Experiment, say: Callable[[str], None]
) -> None:
    """Report snapshots that are kept only because an attack reads them."""
    readers = [label for label, attack in attacks.items() if attack.needs.others]
    if readers and experiment.snapshots.participants != "all":
        say(
            f"attack {listed(readers)} reads the uploads of all {experiment.partition.participants}"
            " participants, so all are kept (snapshots.participants: all)"
        )


def _names(kinds: frozenset[SnapshotKind] | set[SnapshotKind]) -> str:
    return listed(kind.name for kind in kinds)
