"""What a null test asserts: an attack on a federation that learned nothing finds nothing."""

from scipy.stats import hypergeom, norm

from fedsim.report.result_schema import ResultRow

RARE = 1e-3
"""How rarely a figure of a sound null lies outside; each test has some figures of many."""


def require_nothing(row: ResultRow, members: int, nonmembers: int, rare: float = RARE) -> None:
    """Assert that the AUC is at chance, and that 1 % false positives find 1 %.

    So many members stand before the first false positives that are too many: of the first records
    of a random order, at most `allowed` are non-members.
    """
    found = round(row.figures["tpr@0.01"].value * members)
    allowed = int(0.01 * nonmembers)
    chance = hypergeom.cdf(allowed, members + nonmembers, nonmembers, found + allowed)
    assert chance > rare, (row.attack, row.figures["tpr@0.01"])
    spread = ((members + nonmembers + 1) / (12 * members * nonmembers)) ** 0.5
    assert abs(row.auc.value - 0.5) < norm.isf(rare / 2) * spread, (row.attack, row.auc)
