"""The base class of adversaries: a threat model, queries, and a store of snapshots.

An adversary touches only the Flower messages that its position carries. Its hooks are called on a
fixed timeline and do nothing by default, so a plugin overrides what it needs::

    round r   server: send -> ... -> receive -> aggregated -> send_evaluation
              participant: arrived (the aggregate of round r - 1) -> leaving -> arrived (of round r)

The two positions are in `server_position` and `participant_position`. No adversary is named here.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Self

from flwr.app import ArrayRecord, RecordDict

from fedsim.adversary.resources import AttackerResources, resources_from_membership
from fedsim.data import MembershipQuery
from fedsim.errors import PluginError
from fedsim.finding import Finding
from fedsim.models.trainable import required_names, trainable_names
from fedsim.observation.keys import SnapshotKey
from fedsim.observation.snapshots import SnapshotStore
from fedsim.transport.record_views import Content


@dataclass(frozen=True)
class Threat:
    """A threat model, printed before anything runs.

    Attributes
    ----------
    who
        The position: "the server", "participant 3".
    sees
        What its position shows it.
    does
        What it does beyond the protocol; by default nothing.
    active
        Whether it does anything beyond the protocol.
    outside
        Whether it has no part in the federation and sees only the released model.
    """

    who: str
    sees: str
    does: str = "nothing: it follows the protocol"
    active: bool = False
    outside: bool = False


GIVEN_ATTRIBUTES = frozenset({"memory", "store", "resources", "_trainable"})
"""The attributes of an `Adversary` that fedsim sets, and not its own `__init__`."""


class Adversary(ABC):
    """An attacker; plugins derive from one of the two positions.

    Attributes
    ----------
    store
        Where `record` keeps snapshots.
    resources
        Model, data and targets for an active adversary; None until they are set.
    memory
        State from round to round. Only this survives a stop and a resume.
    """

    store: SnapshotStore | None = None
    resources: AttackerResources | None = None
    _aim: Callable[[], AttackerResources] | None = None
    _trainable: frozenset[str] | None = None

    @cached_property
    def memory(self) -> RecordDict:
        """State from round to round, as Flower records."""
        return Content({})  # unlike Flower's own, it takes a record of any class over another

    @abstractmethod
    def threat(self) -> Threat:
        """Return the threat model."""

    @abstractmethod
    def queries(self, victims: Sequence[int], participants: int) -> tuple[MembershipQuery, ...]:
        """Return the queries of this position: whose data is asked about."""

    @abstractmethod
    def answering(self, query: MembershipQuery) -> Iterable[SnapshotKey]:
        """Return the keys that answer a query in every observed round, in any order."""

    def answering_while_acting(self, query: MembershipQuery) -> Iterable[SnapshotKey]:
        """Return the keys of further snapshots, kept in the rounds in which it acts."""
        return ()

    def acts_from(self) -> int | None:
        """Return the first round in which it changes a message; None if it never does.

        An active run branches from an honest one just before that round, so until then it may
        remember nothing but what the last round alone showed it.
        """
        return 1 if self.threat().active else None

    def keep_in(self, store: SnapshotStore | Path | str) -> Self:
        """Keep what is recorded in `store`, and return self.

        In a folder everything is kept, and each snapshot says who kept it.
        """
        if isinstance(store, SnapshotStore):
            self.store = store
        else:
            self.store = SnapshotStore(Path(store), kept_by=self._in_words())
        return self

    def _in_words(self) -> dict[str, str]:
        """Return the description of it in the headers of its snapshots."""
        threat, name = self.threat(), type(self).__name__
        return {
            "adversary": "".join(f"-{c.lower()}" if c.isupper() else c for c in name).strip("-_"),
            "who": threat.who,
            "sees": threat.sees,
            "does": threat.does,
        }

    def give_resources(self, resources: AttackerResources) -> Self:
        """Set the resources of an active adversary, and return self."""
        self.resources, self._trainable = resources, None
        return self

    def aim_at(
        self,
        model: str,
        data: str,
        ledger: Path | str,
        *,
        data_dir: Path | str | None = None,
        seed: int = 0,
    ) -> Self:
        """Name the resources of an active adversary in a third party's app, and return self.

        They are read when the adversary first needs them: Flower's runtimes copy an app's mods from
        process to process, and only the attacker needs its targets.

        Parameters
        ----------
        model, data
            A plugin's name, or ``module:function``, as for `fedsim attack`.
        ledger
            The file that lists the target records (see `fedsim.data.membership_file`); the
            adversary does not read their membership.
        data_dir
            Where the data set's files are; None downloads them.
        seed
            The only source of randomness.
        """
        where = None if data_dir is None else Path(data_dir)
        self._aim = partial(resources_from_membership, model, data, Path(ledger), where, seed)
        return self

    def required_resources(self) -> AttackerResources:
        """Return its resources.

        Raises
        ------
        PluginError
            If no resources were given, and it aims at nothing.
        """
        if self.resources is not None:
            return self.resources
        if self._aim is None:
            raise PluginError(
                f"{type(self).__name__} has no targets; call aim_at(model, data, ledger) first"
            )
        return self._aim()

    def trainable(self, *records: ArrayRecord) -> frozenset[str]:
        """Return the names of the arrays in messages that are parameters which training changes.

        Buffers are none; lengths and angles of updates are without them. The model among the
        resources decides it; without any, the names and types of the arrays do.
        """
        if self._trainable is None and (self.resources is not None or self._aim is not None):
            self._trainable = trainable_names(self.required_resources().new_model())
        return required_names(self._trainable, *records)

    def findings(self) -> Sequence[Finding]:
        """Return figures and small tables of its own for the report; by default nothing.

        It is asked at the end of its federation, with `memory` as it is then.
        """
        return ()

    def remarks(self) -> tuple[str, ...]:
        """Return what the report should say of what it did, a sentence each; by default nothing.

        It is asked at the end, with `memory` as it is then: where it meant to act and did not, for
        one, its figures are those of a passive attacker, and a reader has to know.
        """
        return ()

    def record(self, round_number: int, key: SnapshotKey, arrays: ArrayRecord) -> None:
        """Keep a snapshot, as far as the store's policy wants it.

        Parameters
        ----------
        round_number
            The round, from 1.
        key
            What it is of, as in ``SnapshotKind.UPLOAD.of(participant)``.
        arrays
            The parameters.

        Raises
        ------
        PluginError
            If the adversary was given no place to keep it, or `key` is no key.
        SnapshotError
            If the disk does not take it.
        """
        if self.store is None:
            raise PluginError(f"{type(self).__name__} has no store; call keep_in(folder) first")
        if not isinstance(key, SnapshotKey):
            raise PluginError(
                f"{type(self).__name__} records a snapshot of {key!r}; name what it is of as in "
                "fedsim.SnapshotKind.UPLOAD.of(participant)"
            )
        self.store.keep(round_number, key, arrays)
