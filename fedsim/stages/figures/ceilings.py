"""The stored guarantees of a run, and the ceilings that they put on its attacks."""

from collections.abc import Iterable, Sequence

from fedsim.config.experiment import Experiment
from fedsim.data import MembershipQuery
from fedsim.errors import RunDirectoryError
from fedsim.evaluation import EvaluationResult
from fedsim.evaluation.ceilings import figure_above_ceiling
from fedsim.files import read_bytes, write_text
from fedsim.privacy import Guarantee, Position
from fedsim.privacy.guarantee import Ceiling
from fedsim.report.guarantees import CeilingFigure, GuaranteeFigures, KeptGuarantees
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.attackers import Attacker
from fedsim.stages.preparation.guarantees import StatedGuarantee


def keep_guarantees(stated: Sequence[StatedGuarantee], run: RunDirectory) -> None:
    """Write the guarantees, for reports that have neither the data nor the model."""
    if not stated:
        return
    kept = KeptGuarantees(guarantees=tuple(map(_figures, stated)))
    write_text(run.guarantees, kept.model_dump_json(indent=2) + "\n")


def read_guarantees(run: RunDirectory) -> tuple[GuaranteeFigures, ...]:
    """Return the guarantees of a run; none if none were written.

    Raises
    ------
    RunDirectoryError
        If the file is damaged.
    """
    try:
        content = read_bytes(run.guarantees)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise RunDirectoryError(f"{run.guarantees} cannot be read ({error.strerror})") from error
    try:
        return KeptGuarantees.model_validate_json(content).guarantees
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise RunDirectoryError(f"{run.guarantees} is damaged: {reason}") from None


def position_of(attacker: Attacker) -> Position:
    """Return where an attacker sits."""
    if attacker.threat().outside:
        return "outside"
    return "server" if attacker.participant is None else "participant"


def ceiling_of(
    attacker: Attacker,
    queries: Iterable[MembershipQuery],
    guarantees: Iterable[GuaranteeFigures],
    experiment: Experiment,
) -> CeilingFigure | None:
    """Return the lowest ceiling on an attacker's answers to some queries; None if there is none.

    It comes from the victim with the largest epsilon. An audit of users has a ceiling only where
    each participant is a user: a guarantee for a record, or for a participant with some of a user's
    records, does not cover the whole user.
    """
    audited = experiment.audit.unit
    victims = sorted({victim for query in queries for victim in query.victims})
    found = [
        CeilingFigure(
            defence=one.defence,
            epsilon=ceiling.epsilon,
            delta=ceiling.delta,
            accuracy=ceiling.accuracy,
        )
        for one in guarantees
        if (guarantee := one.guarantee()) is not None
        and position_of(attacker) in guarantee.against
        and (audited == "record" or guarantee.unit == audited)
        for ceiling in [guarantee.ceiling(victims)]
    ]
    return min(found, key=lambda one: one.epsilon, default=None)


def refutation(
    result: EvaluationResult, ceiling: CeilingFigure | None, adversary: str, attack: str
) -> str:
    """Return the sentence that an attack refutes a guarantee; empty if it does not."""
    if ceiling is None:
        return ""
    if not (above := figure_above_ceiling(result, Ceiling(ceiling.epsilon, ceiling.delta))):
        return ""
    return (
        f"{attack} by {adversary} refutes the guarantee of {ceiling.defence}: {above} for an "
        f"epsilon of {ceiling.epsilon:.3g}; either the defence or the attack is broken"
    )


def _figures(stated: StatedGuarantee) -> GuaranteeFigures:
    found = stated.found
    if not isinstance(found, Guarantee):
        return GuaranteeFigures(defence=stated.defence, why=found.why)
    return GuaranteeFigures(
        defence=stated.defence,
        epsilon=found.epsilon,
        delta=found.delta,
        unit=found.unit,
        against=found.against,
        assumptions=found.assumptions,
        each=found.each,
        changed=found.changed,
        accountant=found.accountant,
    )
