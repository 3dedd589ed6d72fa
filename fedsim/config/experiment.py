"""An experiment as typed, strict, immutable objects.

One YAML file is one experiment. Unknown keys, wrong types, doubled keys and impossible
combinations are errors before anything runs; each is one sentence that names the key and what would
be valid. ``resolved`` gives the whole experiment back, defaults included, as it is kept beside the
results.
"""

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PositiveFloat,
    PositiveInt,
    PrivateAttr,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from fedsim import plugins
from fedsim.config.choice import Choice as Choice
from fedsim.config.engine import AnyEngine, LocalEngine
from fedsim.config.faults import FaultsError, faults_in
from fedsim.config.metrics import DEFAULT_METRICS, MetricChoice
from fedsim.config.overrides import apply_override
from fedsim.config.plugin_faults import JUDGED, plugin_faults
from fedsim.config.shipped import config_path
from fedsim.config.yaml_files import format_yaml, read_yaml_mapping
from fedsim.errors import ConfigError, PluginError, joined_faults
from fedsim.plugins.plain_data import as_json

NaturalNumber = Annotated[int, Field(ge=0)]
# Bounded, because as many places are made in memory: a typing error is refused, not tried.
Count = Annotated[int, Field(gt=0, le=1_000_000)]
Participant = Annotated[int, Field(ge=0, lt=1_000_000)]


class Strict(BaseModel):
    """A part of an experiment: immutable, and only with keys that are known."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


HONEST = "honest"
"""The name of the federation that all passive attackers share."""


def _usable_label(label: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", label) or label == HONEST:
        raise ValueError(
            f"label {label!r} must be letters, digits, dots, dashes, and not {HONEST!r}"
        )
    return label


class LabelledChoice(Choice):
    """A choice that may occur twice in a list, distinguished by its label (default: the name)."""

    label: str = ""

    @model_validator(mode="after")
    def _label_from_name(self) -> Self:
        label = self.label or self.name.rpartition(":")[2]
        object.__setattr__(self, "label", _usable_label(label))
        return self


class AttackerSettings(Strict):
    """Adversaries that act together in one position, in this order; most often there is one.

    Written as a plugin's name, as a mapping with `name` and its settings, as a list of those, or in
    full. Passive attackers share the honest federation; an active one has a federation of its own.
    """

    label: str = ""
    together: Annotated[tuple[Choice, ...], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _written_shortly(cls, value: object) -> object:
        if isinstance(value, list | tuple):
            return {"together": tuple(value)}
        if isinstance(value, str):
            return {"together": (value,)}
        if isinstance(value, dict) and "name" in value:
            label = {"label": value["label"]} if "label" in value else {}
            return label | {"together": ({k: v for k, v in value.items() if k != "label"},)}
        if isinstance(value, dict) and isinstance(value.get("together"), list):
            return value | {"together": tuple(value["together"])}
        return value

    @model_validator(mode="after")
    def _label_from_names(self) -> Self:
        label = self.label or "+".join(c.name.rpartition(":")[2] for c in self.together)
        object.__setattr__(self, "label", _usable_label(label))
        return self


class DataSettings(Choice):
    """A data set; `test_records` are held out where the source has no test split of its own."""

    test_records: PositiveInt | None = None
    split_seed: NaturalNumber | None = None


class PartitionSettings(Choice):
    """How records go to participants: `records` each, or all there are."""

    name: str = "disjoint"
    participants: Count = 4
    records: PositiveInt | None = None
    seed: NaturalNumber | None = None


class LocalTraining(Strict):
    """What a participant does with the parameters that it receives in a round."""

    epochs: PositiveInt = 1
    batch_size: PositiveInt = 100
    optimizer: Choice = Choice(name="sgd")
    learning_rate: PositiveFloat = 0.01
    schedule: dict[PositiveInt, PositiveFloat] = {}
    keep_optimizer_state: bool = True
    precision: Literal["fp32", "bf16"] = "fp32"
    drop_last: bool = False
    trainer: Choice = Choice(name="sgd")

    def learning_rate_in(self, round_number: int) -> float:
        """Return the learning rate of a round: the schedule's latest entry not after it."""
        started = [first for first in self.schedule if first <= round_number]
        return self.schedule[max(started)] if started else self.learning_rate


class EvaluationSettings(Strict):
    """How often and on how many records the aggregate's utility is measured."""

    every: PositiveInt = 5
    records: PositiveInt | None = None


class FederationSettings(Strict):
    """The honest part of the experiment.

    `attendance` says who takes part from which round on (``{1: [0], 41: [1]}``: participant 0 in
    the first 40 rounds, participant 1 in those after); all in the rounds before its first
    entry, and always where it is empty. Who is away is neither trained nor evaluated.
    """

    rounds: Count
    strategy: Choice = Choice(name="FedAvg")
    local: LocalTraining = LocalTraining()
    evaluation: EvaluationSettings = EvaluationSettings()
    attendance: dict[PositiveInt, tuple[Participant, ...]] = {}

    def present(self, round_number: int, participants: int) -> frozenset[int]:
        """Return which of `participants` participants take part in a round.

        >>> honest = Federation(rounds=80, attendance={1: (0,), 41: (1,)})
        >>> sorted(honest.present(40, participants=2)), sorted(honest.present(41, participants=2))
        ([0], [1])
        """
        started = [first for first in self.attendance if first <= round_number]
        return frozenset(self.attendance[max(started)] if started else range(participants))

    def fewest_present(self, participants: int) -> int:
        """Return how many take part in the round with the fewest."""
        changes = {1, *self.attendance}
        return min(len(self.present(first, participants)) for first in changes)


class EveryRound(Strict):
    """Observed rounds at a distance: `first`, `first + every`, ... and the last round."""

    every: PositiveInt
    first: PositiveInt | None = None


class SnapshotSettings(Strict):
    """Which rounds are kept, whose uploads, and what of them.

    Uploads: the victims' only, or all participants'. Of a snapshot its parameters, or only the
    features that the experiment's attacks read.
    """

    rounds: Annotated[
        Annotated[tuple[PositiveInt, ...], Tag("(list)")] | Annotated[EveryRound, Tag("(mapping)")],
        Discriminator(lambda v: "(mapping)" if isinstance(v, dict | EveryRound) else "(list)"),
    ] = EveryRound(every=5)
    participants: Literal["victims", "all"] = "victims"
    keep: Literal["parameters", "features"] = "parameters"


class AuditSettings(Strict):
    """Whose data is asked about, and how many records are known to the attacker and tested.

    With `canaries` the audited records are canaries: of each victim as many as the four sizes say
    together, an even share of each kind, each in its data by a coin.
    """

    victims: tuple[Participant, ...] = (0,)
    known_members: PositiveInt = 1000
    known_nonmembers: PositiveInt = 1000
    tested_members: PositiveInt = 1000
    tested_nonmembers: PositiveInt = 1000
    nonmembers: Literal["unseen", "others", "both", "label-matched"] = "unseen"
    nonmember_source: Literal["any", "pool"] = "any"
    nonmember_classes: Literal["victim", "any"] = "victim"
    unit: Literal["record", "user"] = "record"
    user_score: Literal["mean", "max"] = "mean"
    attack_seeds: PositiveInt = 1
    null: bool = False
    canaries: tuple[LabelledChoice, ...] = ()
    canary_participants: NaturalNumber = 0


class ExternalModelSettings(Strict):
    """What a model that was trained elsewhere goes by.

    Checksums: of its weights, one a snapshot, and of who was in its data.
    """

    weights: tuple[str, ...]
    membership: str


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
        return _without_later_defaults(tree)

    def resolved(self) -> str:
        """Return the experiment as YAML with every default written out; see `plain`."""
        return format_yaml(self.plain())


_LATER: dict[str, dict[str, Any]] = {
    "data": {"split_seed": None},
    "partition": {"seed": None},
    "audit": {
        "nonmember_source": "any",
        "nonmember_classes": "victim",
        "unit": "record",
        "user_score": "mean",
        "canaries": [],
        "canary_participants": 0,
    },
}
"""Settings that runs of earlier versions did not have, with what they did."""


def _without_later_defaults(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the tree without settings that runs of earlier versions did not have, where unused.

    A run directory is resumed, and a cell of a study found, by its resolved experiment.
    """
    local = tree["federation"]["local"]
    for section, later in _LATER.items():
        for key, default in later.items():
            if tree[section][key] == default:
                del tree[section][key]
    if not tree["defences"]:
        del tree["defences"]
    if tree["objective"] is None:
        del tree["objective"]
    if not local["drop_last"]:
        del local["drop_last"]
    if local["trainer"] == {"name": "sgd"}:
        del local["trainer"]
    if tree["metrics"] == list(DEFAULT_METRICS):
        del tree["metrics"]
    return tree


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


def load_experiment(
    path: Path | str, overrides: Iterable[str] = (), *, plugins_needed: bool = True
) -> Experiment:
    """Read an experiment from a YAML file.

    Parameters
    ----------
    path
        The file, or the name of an experiment that ships with fedsim.
    overrides
        ``a.b=c`` each: sets key ``b`` in section ``a`` to the YAML value ``c``; a number in the
        path is a position in a list.
    plugins_needed
        False for who reads what a run has made, and builds nothing: the plugins that the
        experiment names need not be there.

    Raises
    ------
    ConfigError
        If the file cannot be read or any part of it is not valid.
    PluginError
        If a plugin it names does not exist or does not accept its settings.
    """
    path = config_path(Path(path))
    tree = read_yaml_mapping(path, "an experiment", Experiment.model_fields)
    for override in overrides:
        apply_override(tree, override)
    experiment = parse_experiment(tree, str(path), plugins_needed=plugins_needed)
    return experiment.beside(path.parent.absolute())


def parse_experiment(
    tree: Mapping[str, object], source: str, *, plugins_needed: bool = True
) -> Experiment:
    """Return the experiment that plain data describes.

    Everything that is wrong with it is reported in one error, so that it is mended in one go.

    Parameters
    ----------
    tree
        The data, as YAML or JSON has it.
    source
        Where it comes from, for error sentences.
    plugins_needed
        See `load_experiment`.

    Raises
    ------
    ConfigError
        If it is not plain finite data, or any part of it is not valid.
    PluginError
        If a plugin it names does not exist or does not accept its settings, and nothing else is
        wrong.
    """
    try:
        experiment = Experiment.model_validate_json(as_json(tree))
    except ValidationError as error:
        faults = list(faults_in(error, Experiment))
        if plugins_needed:
            simulated = tree.get("given") is None
            faults += plugin_faults(_valid_sections(tree), simulated=simulated)
        raise ConfigError(f"{source}: {joined_faults(faults)}") from error
    except ValueError as error:
        raise ConfigError(f"{source}: {error}") from error
    if not plugins_needed:
        return experiment
    sections = {name: getattr(experiment, name) for name in JUDGED}
    faults = list(plugin_faults(sections, simulated=experiment.given is None))
    if faults:
        raise PluginError(f"{source}: {joined_faults(faults)}")
    return experiment


def _valid_sections(tree: Mapping[str, object]) -> dict[str, Any]:
    """Return those sections that plugins are judged by and that are valid in themselves."""
    found = {}
    for name in JUDGED:
        if name in tree:
            kind: TypeAdapter[Any] = TypeAdapter(Experiment.__annotations__[name])
            with suppress(ValidationError):
                found[name] = kind.validate_json(json.dumps(tree[name]))
    return found
