"""An experiment as typed, strict, immutable objects.

One YAML file is one experiment. Unknown keys, wrong types, doubled keys and impossible
combinations are errors before anything runs; each is one sentence that names the key and what would
be valid. ``resolved`` gives the whole experiment back, defaults included, as it is kept beside the
results.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

from pydantic import PrivateAttr, ValidationError, ValidationInfo, model_validator

from fedsim import plugins
from fedsim.config.attackers import AttackerSettings
from fedsim.config.choice import Choice, LabelledChoice
from fedsim.config.earlier_runs import without_later_defaults
from fedsim.config.engine import AnyEngine, LocalEngine
from fedsim.config.faults import FaultsError, faults_in
from fedsim.config.federation import FederationSettings
from fedsim.config.metrics import DEFAULT_CHOICES, MetricChoice
from fedsim.config.partial_reading import IN_PARTS
from fedsim.config.section_conflicts import (
    VICTIMS_FIT,
    Rule,
    absent_victims,
    canaries_beside,
    canary_participants,
    doubled_labels,
    doubled_victims,
    federation_seeds_beside,
    late_snapshots,
    strange_attendance,
    strange_victims,
)
from fedsim.config.sections import (
    AuditSettings,
    DataSettings,
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
    metrics: tuple[MetricChoice, ...] = DEFAULT_CHOICES
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
        return self.snapshots.observed(self.federation.rounds)

    @model_validator(mode="after")
    def _sections_fit_together(self, info: ValidationInfo) -> Self:
        if info.context == IN_PARTS:
            return self
        faults = [fault for rule in self.rules() for fault in rule.breaches()]
        if faults:
            raise FaultsError(faults)
        return self

    def rules(self) -> Iterator[Rule]:
        """Yield the rules that the sections must keep together."""
        audit, federation, snapshots = self.audit, self.federation, self.snapshots
        participants, given = self.partition.participants, self.given is not None
        observed = ("snapshots.rounds", "federation.rounds")
        victims = ("audit.victims", "partition.participants")
        present = ("federation.attendance", "partition.participants", "federation.rounds")
        yield Rule(observed, ("snapshots.rounds",), partial(late_snapshots, federation, snapshots))
        yield Rule(victims, (VICTIMS_FIT,), partial(strange_victims, audit, participants))
        yield Rule(victims[:1], (VICTIMS_FIT,), partial(doubled_victims, audit))
        for section, labels in (
            ("adversaries", [attacker.label for attacker in self.adversaries]),
            ("attacks", [choice.label for choice in self.attacks]),
            ("defences", [choice.label for choice in self.defences]),
            ("audit.canaries", [choice.label for choice in audit.canaries]),
        ):
            yield Rule((section,), (), partial(doubled_labels, section, labels))
        of_canaries = partial(canary_participants, audit, participants, given=given)
        yield Rule(("audit.canary_participants", *victims), (VICTIMS_FIT,), of_canaries)
        anew = partial(federation_seeds_beside, audit, given=given)
        yield Rule(("audit.federation_seeds",), (), anew)
        beside = ("audit.canaries", "audit.unit", "audit.nonmembers")
        yield Rule(beside, (), partial(canaries_beside, audit, given=given))
        attending = partial(strange_attendance, federation, participants)
        yield Rule(present, ("federation.attendance",), attending)
        absent = partial(absent_victims, audit, federation, snapshots, participants)
        yield Rule((*present, *observed, *victims), (VICTIMS_FIT,), absent)

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
