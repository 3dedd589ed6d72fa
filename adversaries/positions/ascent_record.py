"""The record of an attacker's gradient ascent, and its remarks for the report."""

from flwr.app import MetricRecord, RecordDict

ASCENTS, ROUNDS, KEPT = "ascents", "rounds", "left"
"""Keys in an attacker's memory, which checkpoints hold."""
NO_LENGTH = -1.0


def note_ascent(memory: RecordDict, round_number: int, kept: float | None) -> None:
    """Remember which share of a round's ascent was kept; None where it had no length to go by."""
    rounds, shares = _ascents(memory)
    memory[ASCENTS] = MetricRecord(
        {ROUNDS: [*rounds, round_number], KEPT: [*shares, NO_LENGTH if kept is None else kept]}
    )


def ascent_remarks(memory: RecordDict, drop: float | None) -> tuple[str, ...]:
    """Return a sentence for the active rounds without an ascent, if there are any."""
    rounds, shares = _ascents(memory)
    remarks = []
    for share, why in (
        (0.0, f"the shortest ascent lowered the targets' confidence by more than drop = {drop}"),
        (NO_LENGTH, "there was no honest update yet to take its length from"),
    ):
        none = [r for r, kept in zip(rounds, shares, strict=True) if kept == share]
        if none:
            remarks.append(
                f"no gradient ascent in {len(none)} of {len(rounds)} active rounds "
                f"({', '.join(map(str, none))}): {why}; there it did what a passive attacker does"
            )
    return tuple(remarks)


def _ascents(memory: RecordDict) -> tuple[list[int], list[float]]:
    record = memory.get(ASCENTS)
    if not isinstance(record, MetricRecord):
        return [], []
    columns = (record[name] for name in (ROUNDS, KEPT))
    rounds, shares = (column if isinstance(column, list) else [] for column in columns)
    return [int(one) for one in rounds], [float(one) for one in shares]
