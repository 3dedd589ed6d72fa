"""An experiment as typed, strict, immutable objects.

One YAML file is one experiment. Unknown keys, wrong types, doubled keys and impossible
combinations are errors before anything runs; each is one sentence that names the key and what would
be valid. ``resolved`` gives the whole experiment back, defaults included, as it is kept beside the
results.
"""

import json
import re
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PositiveFloat,
    PositiveInt,
    Tag,
    ValidationError,
    model_validator,
)
from yaml.emitter import ScalarAnalysis

from fedsim import plugins
from fedsim.bounded_io import read_text
from fedsim.config.engine import AnyEngine, LocalEngine
from fedsim.errors import ConfigError, listed

NaturalNumber = Annotated[int, Field(ge=0)]
# What is counted out in memory is bounded, so that a slip of the pen is told and not tried.
Count = Annotated[int, Field(gt=0, le=1_000_000)]
Participant = Annotated[int, Field(ge=0, lt=1_000_000)]
MOST_YAML_BYTES = 1 << 20
MOST_YAML_VALUES = 100_000


class Strict(BaseModel):
    """A part of an experiment: immutable, and only with keys that are known."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Choice(BaseModel):
    """A plugin by name, with its settings beside the name; a bare string is a name alone."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    name: str

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value

    @property
    def settings(self) -> dict[str, Any]:
        """Everything given beside the fields that fedsim itself reads."""
        return dict(self.model_extra or {})


HONEST = "honest"
"""The name of the federation that all passive attackers share."""


def _usable_label(label: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", label) or label == HONEST:
        raise ValueError(
            f"label {label!r} must be letters, digits, dots, dashes, and not {HONEST!r}"
        )
    return label


class LabelledChoice(Choice):
    """A choice that may occur twice in a list, told apart by its label (default: the name)."""

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


class PartitionSettings(Choice):
    """How records go to participants: `records` each, or all there are."""

    name: str = "disjoint"
    participants: Count = 4
    records: PositiveInt | None = None


class LocalTraining(Strict):
    """What a participant does with the parameters that it receives in a round."""

    epochs: PositiveInt = 1
    batch_size: PositiveInt = 100
    optimizer: Choice = Choice(name="sgd")
    learning_rate: PositiveFloat = 0.01
    schedule: dict[PositiveInt, PositiveFloat] = {}
    keep_optimizer_state: bool = True
    precision: Literal["fp32", "bf16"] = "fp32"

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
    the first 40 rounds, participant 1 in those after); everybody in the rounds before its first
    entry, and always where it is empty. Who is away is neither trained nor evaluated.
    """

    rounds: Count
    strategy: Choice = Choice(name="FedAvg")
    local: LocalTraining = LocalTraining()
    evaluation: EvaluationSettings = EvaluationSettings()
    attendance: dict[PositiveInt, tuple[Participant, ...]] = {}

    def present(self, round_number: int, participants: int) -> frozenset[int]:
        """Return who of so many participants takes part in a round.

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
    """Which rounds are kept, and whose uploads: the victims' only, or everybody's."""

    rounds: Annotated[
        Annotated[tuple[PositiveInt, ...], Tag("(list)")] | Annotated[EveryRound, Tag("(mapping)")],
        Discriminator(lambda v: "(mapping)" if isinstance(v, dict | EveryRound) else "(list)"),
    ] = EveryRound(every=5)
    participants: Literal["victims", "all"] = "victims"


class AuditSettings(Strict):
    """Whose data is asked about, and how many records are known to the attacker and tested."""

    victims: tuple[Participant, ...] = (0,)
    known_members: PositiveInt = 1000
    known_nonmembers: PositiveInt = 1000
    tested_members: PositiveInt = 1000
    tested_nonmembers: PositiveInt = 1000
    nonmembers: Literal["unseen", "others", "both"] = "unseen"
    attack_seeds: PositiveInt = 1


class ExternalModelSettings(Strict):
    """What a model that was trained elsewhere goes by.

    Checksums: of its weights, one a snapshot, and of who was in its data.
    """

    weights: tuple[str, ...]
    membership: str


class Experiment(Strict):
    """Everything that decides the numbers of a run.

    With `given`, nothing is simulated: what is attacked was trained elsewhere, each of its
    snapshots counts as a round, and whoever trained it as the one participant.
    """

    seed: NaturalNumber = 0
    data: DataSettings
    partition: PartitionSettings = PartitionSettings()
    model: Choice
    federation: FederationSettings
    snapshots: SnapshotSettings = SnapshotSettings()
    audit: AuditSettings = AuditSettings()
    adversaries: tuple[AttackerSettings, ...]
    attacks: tuple[LabelledChoice, ...]
    engine: AnyEngine = LocalEngine()
    given: ExternalModelSettings | None = None

    @property
    def observed_rounds(self) -> tuple[int, ...]:
        """The rounds whose snapshots are kept, in order."""
        rounds, last = self.snapshots.rounds, self.federation.rounds
        if isinstance(rounds, EveryRound):
            return tuple(sorted({*range(rounds.first or rounds.every, last, rounds.every), last}))
        return tuple(sorted(set(rounds)))

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        late = [r for r in self.observed_rounds if r > self.federation.rounds]
        if late:
            raise ValueError(
                f"snapshots.rounds has {late[0]}, but federation.rounds is {self.federation.rounds}"
            )
        self._attendance_fits()
        third_parties = [v for v in self.audit.victims if v >= self.partition.participants]
        if third_parties or not self.audit.victims:
            raise ValueError(
                f"audit.victims is {list(self.audit.victims)}, but participants are numbered 0 to "
                f"{self.partition.participants - 1}"
            )
        for kind, labels in (
            ("adversaries", [attacker.label for attacker in self.adversaries]),
            ("attacks", [choice.label for choice in self.attacks]),
        ):
            twice = sorted({label for label in labels if labels.count(label) > 1})
            if not labels or twice:
                raise ValueError(
                    f"{kind} has {twice[0]!r} twice; give one of them another label"
                    if twice
                    else f"{kind} is empty; name at least one"
                )
        return self

    def _attendance_fits(self) -> None:
        rounds, participants = self.federation.rounds, self.partition.participants
        for first, attending in self.federation.attendance.items():
            where = f"federation.attendance: from round {first} on"
            if first > rounds:
                raise ValueError(f"{where}, but federation.rounds is {rounds}")
            if not attending:
                raise ValueError(f"{where} nobody takes part; name at least one participant")
            if max(attending) >= participants or len(set(attending)) < len(attending):
                raise ValueError(
                    f"{where} {list(attending)} take part, but participants are numbered 0 to "
                    f"{participants - 1}, each named once"
                )
        last = max(self.observed_rounds, default=rounds)
        changes = {1, *(first for first in self.federation.attendance if first <= last)}
        came = {p for first in changes for p in self.federation.present(first, participants)}
        absent = [v for v in self.audit.victims if v < participants and v not in came]
        if absent:
            raise ValueError(
                f"audit.victims has {absent[0]}, who by federation.attendance takes part in no "
                f"round before the last observed one, {last}"
            )

    def with_attacks(self, names: Iterable[str]) -> "Experiment":
        """Return the experiment with these attacks: its own by label, others by plugin name.

        Raises
        ------
        ConfigError
            If a name cannot be one.
        """
        own = {choice.label: choice for choice in self.attacks}
        try:
            chosen = [own.get(name) or LabelledChoice(name=name) for name in dict.fromkeys(names)]
        except ValidationError as error:
            raise ConfigError(sentence(error, Experiment)) from error
        return self.model_copy(update={"attacks": tuple(chosen)})

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
        for group, choice in choices:
            for key, value in plugins.defaults(group, choice["name"]).items():
                choice.setdefault(key, value)
        return tree

    def resolved(self) -> str:
        """Return the experiment as YAML with every default written out; see `plain`."""
        return written_yaml(self.plain())


class _Loader(yaml.SafeLoader):
    """YAML as a user means it: ``1e-4`` is a number, and a key given twice is an error.

    Aliases may be used, but not to make much of little: what they stand for is counted in full.
    """

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None and _values_in(node, {}) > MOST_YAML_VALUES:
            raise yaml.constructor.ConstructorError(
                None, None, f"it holds more than {MOST_YAML_VALUES:,} values", node.start_mark
            )
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        merge = "tag:yaml.org,2002:merge"
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != merge]
        seen: set[object] = set()
        for key in (key for key in keys if isinstance(key, Hashable)):
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _values_in(node: yaml.Node, counted: dict[yaml.Node, int | None]) -> int:
    """Return how many values there are in and below a node, those behind aliases included."""
    if node in counted:
        if (known := counted[node]) is None:
            raise yaml.constructor.ConstructorError(
                None, None, "a value holds itself: it is not plain finite data", node.start_mark
            )
        return known
    counted[node] = None  # until all below it are counted
    inside: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        inside = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        inside = node.value
    total = counted[node] = 1 + sum(_values_in(part, counted) for part in inside)
    return total


LINE_ENDS = "\x85\u2028\u2029"  # PyYAML writes them as they are, and folds them to a space


class _Dumper(yaml.SafeDumper):
    """The other way round: what `_Loader` would take for a number or a line's end is quoted."""

    def analyze_scalar(self, scalar: str) -> ScalarAnalysis:
        """Say which forms a text may be written in."""
        found = super().analyze_scalar(scalar)
        if any(end in scalar for end in LINE_ENDS):
            found.allow_flow_plain = found.allow_block_plain = found.allow_single_quoted = False
            found.allow_block = False
        return found


for kind in (_Loader, _Dumper):
    kind.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"),
        list("-+0123456789"),
    )


def load_experiment(path: Path, overrides: Iterable[str] = ()) -> Experiment:
    """Read an experiment from a YAML file.

    Parameters
    ----------
    path
        The file.
    overrides
        ``a.b=c`` each: sets key ``b`` in section ``a`` to the YAML value ``c``; a number in the
        path is a position in a list.

    Raises
    ------
    ConfigError
        If the file cannot be read or any part of it is not valid.
    PluginError
        If a plugin it names does not exist or does not accept its settings.
    """
    try:
        text = read_text(path, MOST_YAML_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the experiment {path}: {error}") from error
    tree = parsed_yaml(text, str(path))
    if not isinstance(tree, dict):
        raise ConfigError(
            f"{path}: an experiment is a mapping with keys {listed(Experiment.model_fields)}"
        )
    for override in overrides:
        _override(tree, override)
    return parse_experiment(tree, str(path))


def parse_experiment(tree: Mapping[str, object], source: str) -> Experiment:
    """Return the experiment that plain data describes; `source` names it in error sentences."""
    try:
        experiment = Experiment.model_validate_json(json.dumps(tree, allow_nan=False))
    except ValidationError as error:
        raise ConfigError(f"{source}: {sentence(error, Experiment)}") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{source}: a value is not plain finite data ({error})") from error
    for group, choices in (
        ("datasets", (experiment.data,)),
        ("models", (experiment.model,)),
        ("adversaries", [one for attacker in experiment.adversaries for one in attacker.together]),
        ("attacks", experiment.attacks),
    ):
        for choice in choices:
            plugins.check(group, choice.name, choice.settings)
    return experiment


def parsed_yaml(text: str, source: str) -> Any:
    """Return YAML as plain data; `source` names it in error sentences."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{source} is not valid YAML: {reason}") from error
    except RecursionError as error:
        raise ConfigError(f"{source} is not valid YAML: it is nested too deeply") from error
    except (LookupError, AttributeError, TypeError) as error:  # as PyYAML does for `!!int ""`
        raise ConfigError(f"{source} is not valid YAML: a value does not fit its tag") from error


def written_yaml(tree: Any) -> str:
    """Return plain data as YAML that `parsed_yaml` reads as the same data."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _override(tree: dict[Any, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {override!r} is not of the form section.key=value")
    *sections, last = path.split(".")
    place: Any = tree
    for section in sections:
        place = _step(place, section, override, create=True)
    if isinstance(place, list):
        _step(place, last, override)
        place[int(last)] = parsed_yaml(text, f"--set {override!r}")
    elif isinstance(place, dict):
        place[last] = parsed_yaml(text, f"--set {override!r}")
    else:
        raise ConfigError(f"--set {override!r}: {'.'.join(sections)!r} holds a single value")


def _step(place: Any, key: str, override: str, create: bool = False) -> Any:
    if isinstance(place, list):
        if key not in map(str, range(len(place))):
            raise ConfigError(
                f"--set {override!r}: {key!r} is no position; valid: 0 to {len(place) - 1}"
            )
        at: Any = int(key)
    elif isinstance(place, dict):
        at = key
        place.setdefault(key)
    else:
        raise ConfigError(f"--set {override!r}: nothing can be set below a single value")
    if create and place[at] is None:
        place[at] = {}
    elif create and isinstance(place[at], str):  # a plugin's name alone
        place[at] = {"name": place[at]}
    return place[at]


def sentence(error: ValidationError, schema: type[BaseModel]) -> str:
    """Return what is wrong with data of type `schema`, and which keys would be valid."""
    errors = error.errors(include_url=False)
    # A key that is not known explains one that is missing: it was misspelt.
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    # pydantic puts the branch of a union in round brackets, and "[key]" after a mapping's bad key.
    location = [part for part in first["loc"] if str(part)[:1] not in ("(", "[")]
    where = ".".join(map(str, location)) or f"the {schema.__name__.lower()}"
    if first["type"] == "extra_forbidden":
        valid = plugins.valid_keys(schema, first["loc"][:-1])
        return f"unknown key {where!r}; valid keys there: {listed(valid)}"
    if first["type"] == "missing":
        return f"key {where!r} is missing"
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    return f"{where} is {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}"
