"""The data of a report page as plain records: fill `ReportData`, then call `page.render`.

The caller computes everything from scores and snapshots (see `fedsim.evaluation.curves`). Record
ids and images occur only in `ExposedSummary.records`, which is empty unless requested: a page may
be shown to people who must not know who was in the data.

All rates are fractions in 0..1. Sequences of numbers may be numpy arrays or lists.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fedsim.report.chart_data import (
    AucByRound,
    ByClass,
    CeilingTrace,
    RocTrace,
    ScoreHistogram,
    SignalCourse,
    UtilityPoint,
)
from fedsim.report.comparison_rows import ComparedRow
from fedsim.report.result_schema import ThreatModel
from fedsim.report.results import Results


@dataclass(frozen=True)
class AttackFigures:
    """One attacker's part of the headline sentence.

    Attributes
    ----------
    who
        "a curious server".
    whose
        "participant 0's training data".
    accuracy, low, high
        Balanced accuracy, and its 95 % interval.
    attack
        The attack.
    label_alone
        Balanced accuracy of the record's label alone, where that beats guessing.
    """

    who: str
    whose: str
    accuracy: float
    low: float
    high: float
    attack: str = ""
    label_alone: float | None = None


@dataclass(frozen=True)
class ThreatSection:
    """A threat model in words and in places, for the diagram of who sees what.

    Attributes
    ----------
    words
        Who, sees, does, knows.
    position
        Where it sits. A server sees what it sends its victims and what comes back, a participant
        what is sent to it, and an outsider sees the finished model. Without a federation there
        is only a model, and who holds it.
    participants
        How many there are, numbered from 0.
    victims
        Whose data is asked about.
    participant
        Which participant it is, where it is one.
    active
        Whether it does anything beyond the protocol.
    """

    words: ThreatModel
    position: Literal["server", "participant", "outside", "no federation"]
    participants: int
    victims: tuple[int, ...]
    participant: int | None = None
    active: bool = False


@dataclass(frozen=True)
class ExposedRecord:
    """A training record that an attack identifies.

    Attributes
    ----------
    record
        Its id.
    label
        Its class, by name if there are names.
    as_high
        How many of the tested non-members score as high or higher.
    image
        A PNG; None where the data are no images.
    """

    record: int
    label: str
    as_high: int
    image: bytes | None = None


@dataclass(frozen=True)
class ExposedSummary:
    """How many members are exposed, and on request the most exposed ones.

    Attributes
    ----------
    whose
        "participant 0's training data".
    members, nonmembers
        How many were evaluated.
    found
        How many of the members are found at each FPR that could be measured.
    records
        The most exposed first; empty unless asked for.
    """

    adversary: str
    attack: str
    whose: str
    members: int
    nonmembers: int
    found: Mapping[str, int]
    records: Sequence[ExposedRecord] = ()


@dataclass(frozen=True)
class ReportData:
    """A run, ready to be shown.

    Attributes
    ----------
    name
        The run's.
    findings
        For the headline sentence, the first one in full.
    facts
        Facts of the run as labels and values: data, model, participants, rounds.
    results
        As in the results file.
    threats
        One for each adversary.
    utility, utility_of
        By rising round, and the model's owner: "the honest federation".
    rocs, histograms, courses
        What the charts show; empty ones are left out.
    ceilings
        The ceilings that guarantees put on the ROCs.
    config_yaml
        The resolved experiment.
    provenance
        Commit, versions, machine: name and value.
    commands
        How to run it again, a line each.
    cautions
        What the figures do not prove, a sentence each.
    compared
        Rows of `compared.compared_rows` with differences between this run's adversaries.
    by_class, exposures, standing_out
        Where they were measured.
    given
        Whether it is a model that was trained elsewhere: there is no federation.
    """

    name: str
    findings: Sequence[AttackFigures]
    facts: Sequence[tuple[str, str]]
    results: Results
    threats: Sequence[ThreatSection]
    utility: Sequence[UtilityPoint]
    rocs: Sequence[RocTrace]
    histograms: Sequence[ScoreHistogram]
    courses: Sequence[SignalCourse]
    config_yaml: str
    provenance: Mapping[str, str]
    commands: Sequence[str]
    cautions: Sequence[str] = ()
    compared: Sequence[ComparedRow] = ()
    by_class: Sequence[ByClass] = ()
    exposures: Sequence[AucByRound] = ()
    standing_out: Sequence[ExposedSummary] = ()
    utility_of: str = ""
    ceilings: Sequence[CeilingTrace] = ()
    given: bool = False
