"""Snapshots that adversaries kept in a third party's Flower app, and whose parameters they are.

The app identifies participants by Flower's node ids. Here the victim is participant 0 and the
others are 1, 2, ... in the order of their ids; the report names their ids in the app. The headers
of the snapshots say which adversary kept them, and what it did.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedsim.adversary.base import Threat
from fedsim.adversary.server_position import ServerAdversary
from fedsim.config.experiment import Experiment
from fedsim.data import MembershipQuery
from fedsim.errors import SnapshotError, listed, plural
from fedsim.observation.keys import SnapshotKey, SnapshotKind
from fedsim.observation.nodes import FILE, read_nodes
from fedsim.observation.snapshot_file import Snapshot
from fedsim.observation.snapshots import SnapshotStore

SnapshotPlace = tuple[int, SnapshotKey]
PLUGIN = "fedsim.stages.kept_snapshots:KeptSnapshots"
_OF_LABELS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-+")
_FEW = 10_000  # participants are numbered below it, nodes above
_UNKNOWN = Threat(
    who="the adversary that kept the snapshots", sees="the snapshots", does="not said by them"
)


class KeptSnapshots(ServerAdversary):
    """The adversary that kept the given snapshots: queries are answered from them.

    Parameters
    ----------
    kinds
        Kinds of the snapshots that answer about the victim.
    who, sees, does
        Its threat model.
    """

    def __init__(self, kinds: tuple[str, ...], who: str, sees: str, does: str) -> None:
        self.kinds = tuple(SnapshotKind(kind) for kind in kinds)
        self.stated = Threat(who, sees, does)

    def threat(self) -> Threat:
        """Return the threat model."""
        return self.stated

    def answering(self, query: MembershipQuery) -> Iterable[SnapshotKey]:
        """Answer from the snapshots of the victim and from those of no participant."""
        (victim,) = query.victims
        return [kind.of(victim if kind.has_participant else None) for kind in self.kinds]


def of_snapshots(experiment: Experiment) -> bool:
    """Return whether an experiment is about snapshots that were kept in a third party's app."""
    return experiment.given is not None and experiment.adversaries[0].together[0].name == PLUGIN


@dataclass(frozen=True)
class Selection:
    """The snapshots that are attacked.

    Attributes
    ----------
    snapshots
        By round and key, in this order; the victim is participant 0.
    victim
        What the victim is called in words; None where no upload is among them.
    others
        How many other participants' uploads are among them.
    """

    snapshots: Mapping[SnapshotPlace, Snapshot]
    victim: str | None
    others: int

    @property
    def in_words(self) -> str:
        """The selection in one sentence."""
        named_kinds = listed(kind.name.lower() for kind in self._kinds)
        whose = f"of {self.victim} ({named_kinds})" if self.victim else f"({named_kinds})"
        beside = f", beside {plural(self.others, 'other participant')}" if self.others else ""
        return f"{plural(len(self.snapshots), 'snapshot')} {whose}{beside}"

    @property
    def _kinds(self) -> list[SnapshotKind]:
        return sorted({key.kind for _, key in self.snapshots if not key.participant})

    def adversary(self, name: str) -> dict[str, object]:
        """Return the adversary as an experiment has it, called `name` if no header says one."""
        stated = [snapshot.kept_by for snapshot in self.snapshots.values()]

        def said(what: str, otherwise: str, between: str) -> str:
            found = dict.fromkeys(_printable(one[what]) for one in stated if one.get(what))
            return between.join(found) or otherwise

        label = said("adversary", name, "+")
        sees = said("sees", _UNKNOWN.sees, "; ")
        return {
            "name": PLUGIN,
            "label": "".join(c if c in _OF_LABELS else "-" for c in label),
            "kinds": [kind.value for kind in self._kinds],
            "who": said("who", _UNKNOWN.who, " and "),
            "sees": f"{sees}; given: {self.in_words}",
            "does": said("does", _UNKNOWN.does, "; "),
        }


def select(folders: Sequence[Path], owners: Sequence[str], victim: int | None) -> Selection:
    """Return the snapshots in some folders that are attacked.

    Parameters
    ----------
    folders
        Where they are. Where one has a ``nodes.json``, nodes go by their participants' numbers.
    owners
        Names of keys; none takes everything that is there.
    victim
        Whose data is asked about; None where there is no choice, or `owners` make it.

    Raises
    ------
    SnapshotError
        If there are none, or it is not clear whose data is asked about.
    """
    where = listed(map(str, folders))
    nodes = {n: p for one in folders if (one / FILE).is_file() for n, p in read_nodes(one).items()}
    found = _found(folders, nodes)
    there = sorted({key for _, key in found})
    if not there:
        raise SnapshotError(f"{where} is not a folder with snapshots in it")
    names = listed(key.name for key in there)
    asked = [_named(SnapshotKey.parse(owner), nodes) for owner in owners] or there
    if missing := [key.name for key in asked if key not in there]:
        raise SnapshotError(f"{where} has no snapshots of {listed(missing)}; valid: {names}")
    uploads = [key.participant for key in asked if key.kind is SnapshotKind.UPLOAD]
    whose = nodes.get(victim, victim) if victim is not None else None
    if whose is None and (len(uploads) == 1 or (owners and uploads)):
        whose = uploads[0]
    if (uploads or victim is not None) and whose not in uploads:
        problem = "several participants" if victim is None else f"no upload of participant {victim}"
        raise SnapshotError(
            f"{where} has snapshots of {names}: {problem}; name whose data is asked about with "
            "--victim N, one of those with an upload, or what is attacked with --owner"
        )
    if not any(key.kind.is_trained for key in asked):
        return _as_one_model(found, asked, where)
    others = sorted({p for p in uploads if p is not None and p != whose})
    number = {whose: 0, None: None} | {other: n for n, other in enumerate(others, 1)}
    taken = {
        (n, key.kind.of(number[key.participant])): snapshot
        for (n, key), snapshot in sorted(found.items())
        if key in asked and (key.participant in (whose, None) or key.kind is SnapshotKind.UPLOAD)
    }
    rounds = {n for n, key in taken if not key.participant and key.kind.is_trained}
    kept = {place: taken[place] for place in sorted(taken) if place[0] in rounds}
    return Selection(kept, None if whose is None else _in_words(whose, nodes), len(others))


def _found(folders: Sequence[Path], nodes: Mapping[int, int]) -> dict[SnapshotPlace, Snapshot]:
    """Return all snapshots except those before round 1: initial parameters reveal nothing."""
    found: dict[SnapshotPlace, Snapshot] = {}
    for folder in folders:
        for snapshot in SnapshotStore(folder).index():
            place = snapshot.round, _named(snapshot.key, nodes)
            other = found.setdefault(place, snapshot)
            if other.path != snapshot.path and other.digest != snapshot.digest:
                raise SnapshotError(
                    f"{other.path} and {snapshot.path} both are {place[1].in_words} in round "
                    f"{snapshot.round}, and differ; keep each run of an app in a folder of its own"
                )
    return {place: snapshot for place, snapshot in found.items() if place[0] > 0}


def _as_one_model(
    found: Mapping[SnapshotPlace, Snapshot], asked: list[SnapshotKey], where: str
) -> Selection:
    """Return snapshots of no known participant as versions of one model."""
    if len(asked) > 1:
        raise SnapshotError(
            f"{where}: local training has made none of {listed(key.name for key in asked)}; name "
            "an upload or an aggregate among the owners, or one of them alone"
        )
    taken = {n: snapshot for (n, key), snapshot in sorted(found.items()) if key == asked[0]}
    return Selection({(n, SnapshotKind.AGGREGATE.of()): one for n, one in taken.items()}, None, 0)


def _named(key: SnapshotKey, nodes: Mapping[int, int]) -> SnapshotKey:
    """Return a key with the participant's number instead of its node's, where that is known."""
    if key.participant is None:
        return key
    return key.kind.of(nodes.get(key.participant, key.participant))


def _in_words(participant: int, nodes: Mapping[int, int]) -> str:
    known = [str(node) for node, number in nodes.items() if number == participant]
    if known:
        return f"participant {participant} (node {listed(known)})"
    return f"{'participant' if participant < _FEW else 'node'} {participant}"


def _printable(text: str) -> str:
    """Return a header's text as one line of at most 500 characters."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())[:500]
