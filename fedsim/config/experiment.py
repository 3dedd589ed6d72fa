"""An experiment as typed, strict, immutable objects.

One YAML file is one experiment. Unknown keys, wrong types, doubled keys and impossible
combinations are errors before anything runs; each is one sentence that names the key and what would
be valid. ``resolved`` gives the whole experiment back, defaults included, as it is kept beside the
results.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pydantic import PrivateAttr, ValidationError, model_validator

from fedsim import plugins
from fedsim.config.attackers import AttackerSettings
from fedsim.config.choice import Choice, LabelledChoice
from fedsim.config.earlier_runs import without_later_defaults
from fedsim.config.engine import AnyEngine, LocalEngine
from fedsim.config.faults import FaultsError, faults_in
from fedsim.config.federation import FederationSettings
from fedsim.config.metrics import DEFAULT_METRICS, MetricChoice
from fedsim.config.sections import (
    AuditSettings,
    DataSettings,
    EveryRound,
    ExternalModelSettings,
    PartitionSettings,
    SnapshotSettings,
)
from fedsim.config.strict import NaturalNumber, Strict
from fedsim.config.yaml_files import format_yaml
from fedsim.errors import ConfigError, joined_faults


@dataclass(frozen=True)
class Origin:
    """Where an experiment was read from, which makes it no other experiment."""

    folder: Path | None = field(default=None, compare=False)


DECIDES_FEDERATIONS = ("seed", "data", "partition", "model", "objective", "defences")
"""The sections that, beside `federation`, decide what an honest federation computes."""


class Experiment(Strict):
    """Everything that decides the numbers of a run.

    With `given`, nothing is simulated: what is attacked was trained elsewhere, each of its
    snapshots counts as a round, and its owner as the one participant.
    """

    seed: NaturalNumber = 0
    data: DataSettings
    partition: PartitionSettings = PartitionSettings()
    model: Choice
    objective: Choice | None = None
    federation: FederationSettings
    defences: tuple[LabelledChoice, ...] = ()
    snapshots: SnapshotSettings = SnapshotSettings()
    audit: AuditSettings = AuditSettings()
    adversaries: tuple[AttackerSettings, ...]
    attacks: tuple[LabelledChoice, ...]
    metrics: tuple[MetricChoice, ...] = tuple(MetricChoice(name=name) for name in DEFAULT_METRICS)
    engine: AnyEngine = LocalEngine()
    given: ExternalModelSettings | None = None

    _origin: "Origin" = PrivateAttr(default_factory=lambda: Origin())

    @property
    def folder(self) -> Path | None:
        """The folder of the file that it was read from, in which relative paths are looked for."""
        return self._origin.folder

    def beside(self, folder: Path | None) -> "Experiment":
        """Return the experiment as if its file were in another folder."""
        found = self.model_copy()
        found._origin = Origin(folder)
        return found

    @property
    def observed_rounds(self) -> tuple[int, ...]:
        """The rounds whose snapshots are kept, in order."""
        rounds, last = self.snapshots.rounds, self.federation.rounds
        if isinstance(rounds, EveryRound):
            return tuple(sorted({*range(rounds.first or rounds.every, last, rounds.every), last}))
        return tuple(sorted(set(rounds)))

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        faults = [*self._misfits(), *self._canary_misfits(), *self._attendance_misfits()]
        if faults:
            raise FaultsError(faults)
        return self

    def _misfits(self) -> Iterator[str]:
        """Yield which settings contradict each other."""
        late = [r for r in self.observed_rounds if r > self.federation.rounds]
        if late:
            yield (
                f"snapshots.rounds has {late[0]}, but federation.rounds is {self.federation.rounds}"
            )
        out_of_range = [v for v in self.audit.victims if v >= self.partition.participants]
        if out_of_range or not self.audit.victims:
            yield (
                f"audit.victims is {list(self.audit.victims)}, but participants are numbered 0 to "
                f"{self.partition.participants - 1}"
            )
        if len(set(self.audit.victims)) < len(self.audit.victims):
            yield (
                f"audit.victims names a participant twice, {list(self.audit.victims)}, and its "
                "records would count twice; name each once"
            )
        for kind, labels in (
            ("adversaries", [attacker.label for attacker in self.adversaries]),
            ("attacks", [choice.label for choice in self.attacks]),
            ("defences", [choice.label for choice in self.defences]),
            ("audit.canaries", [choice.label for choice in self.audit.canaries]),
        ):
            twice = sorted({label for label in labels if labels.count(label) > 1})
            if not labels and kind in ("adversaries", "attacks"):
                yield f"{kind} is empty; name at least one"
            if twice:
                yield f"{kind} has {twice[0]!r} twice; give one of them another label"

    def _canary_misfits(self) -> Iterator[str]:
        audit = self.audit
        honest = self.partition.participants - audit.canary_participants
        if audit.canary_participants == 1 or honest < 1:
            yield (
                f"audit.canary_participants is {audit.canary_participants} of "
                f"{self.partition.participants} participants; valid: 0, or from 2 on and fewer "
                "than all"
            )
        elif audit.canary_participants and max(audit.victims, default=0) >= honest:
            yield (
                f"audit.victims has {max(audit.victims)}, but participants from {honest} on are "
                "canaries (audit.canary_participants) and train on nothing"
            )
        if audit.canary_participants and self.given is not None:
            yield "audit.canary_participants are in training; a given model was trained before"
        if not audit.canaries:
            return
        if audit.unit == "user":
            yield "audit.canaries are records; leave them out, or audit.unit: user"
        if audit.nonmembers != "unseen":
            yield (
                f"audit.nonmembers is {audit.nonmembers!r}, but with audit.canaries non-members "
                "are the canaries that their coins left out; leave it out"
            )
        if self.given is not None:
            yield "audit.canaries are put in before training; a given model was trained before"

    def _attendance_misfits(self) -> Iterator[str]:
        rounds, participants = self.federation.rounds, self.partition.participants
        for first, attending in self.federation.attendance.items():
            where = f"federation.attendance: from round {first} on"
            if first > rounds:
                yield f"{where}, but federation.rounds is {rounds}"
            if not attending:
                yield f"{where} nobody takes part; name at least one participant"
            elif max(attending) >= participants or len(set(attending)) < len(attending):
                yield (
                    f"{where} {list(attending)} take part, but participants are numbered 0 to "
                    f"{participants - 1}, each named once"
                )
        last = max(self.observed_rounds, default=rounds)
        changes = {1, *(first for first in self.federation.attendance if first <= last)}
        came = {p for first in changes for p in self.federation.present(first, participants)}
        absent = [v for v in self.audit.victims if v < participants and v not in came]
        if absent:
            yield (
                f"audit.victims has {absent[0]}, but federation.attendance lets it take part in "
                f"no round up to the last observed one, {last}"
            )

    def with_attacks(self, names: Iterable[str | Mapping[str, object]]) -> "Experiment":
        """Return the experiment with these attacks: its own by label, others by plugin name.

        A mapping has a name and settings. Without a label of its own it gets one that none of the
        experiment's attacks has, so that its scores replace none of theirs.

        Raises
        ------
        ConfigError
            If a name cannot be one.
        """
        own = {choice.label: choice for choice in self.attacks}
        try:
            chosen = {one.label: one for one in (_chosen_attack(name, own) for name in names)}
        except ValidationError as error:
            raise ConfigError(joined_faults(faults_in(error, Experiment))) from error
        return self.model_copy(update={"attacks": tuple(chosen.values())})

    def plain(self) -> dict[str, Any]:
        """Return the experiment as plain data with every default written out, plugins' too.

        Raises
        ------
        PluginError
            If a plugin that it names is not there.
        """
        tree = self.model_dump(mode="json")
        choices = [("datasets", tree["data"]), ("models", tree["model"])]
        choices += [
            ("adversaries", one) for attacker in tree["adversaries"] for one in attacker["together"]
        ]
        choices += [("attacks", one) for one in tree["attacks"]]
        choices += [("defences", one) for one in tree["defences"]]
        choices += [("canaries", one) for one in tree["audit"]["canaries"]]
        if tree["objective"] is not None:
            choices.append(("objectives", tree["objective"]))
        for group, choice in choices:
            for key, value in plugins.defaults(group, choice["name"]).items():
                choice.setdefault(key, value)
        tree["metrics"] = [choice.written() for choice in self.metrics]
        return without_later_defaults(tree)

    def resolved(self) -> str:
        """Return the experiment as YAML with every default written out; see `plain`."""
        return format_yaml(self.plain())


def _chosen_attack(
    name: str | Mapping[str, object], own: Mapping[str, LabelledChoice]
) -> LabelledChoice:
    """Return the attack that a label, a plugin's name, or a name with settings stands for."""
    if isinstance(name, str):
        return own.get(name) or LabelledChoice(name=name)
    chosen = LabelledChoice.model_validate(dict(name))
    if "label" in name or chosen.label not in own or not chosen.settings:
        return chosen
    free = (f"{chosen.label}-{n}" for n in itertools.count(2))
    label = next(one for one in free if one not in own)
    return LabelledChoice.model_validate({**name, "label": label})
