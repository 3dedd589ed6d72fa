"""Balanced accuracy at the threshold chosen on the auxiliary records."""

from fedsim.evaluation.metric import Floats, Metric, ResampledRecords, ScoredRecords, weight_of


def balanced_accuracy(members: Floats, nonmembers: Floats, threshold: float) -> float:
    """Return the mean of the shares of members and of non-members that are classified correctly.

    It equals plain accuracy if there are as many members as non-members.

    >>> balanced_accuracy(np.array([3.0, 2.0]), np.array([2.0, 1.0]), threshold=2.5)
    0.75
    """
    return float(((members >= threshold).mean() + (nonmembers < threshold).mean()) / 2)


class Accuracy(Metric):
    """How often an attack is right on as many members as non-members."""

    name = "accuracy"
    heading = "accuracy"
    explanation = "The threshold of the accuracy was chosen on the records that the attacker knows."
    unit = "percent"
    guessing = 0.5

    def point(self, scored: ScoredRecords) -> float:
        """Return the balanced accuracy."""
        return balanced_accuracy(scored.members, scored.nonmembers, scored.threshold)

    def on_resamples(self, resampled: ResampledRecords) -> Floats:
        """Return the balanced accuracy of every resample."""
        scored, members, nonmembers = resampled.scored, resampled.members, resampled.nonmembers
        right = weight_of(members, scored.members >= scored.threshold)
        rejected = weight_of(nonmembers, scored.nonmembers < scored.threshold)
        accuracy: Floats = (right / members.shape[1] + rejected / nonmembers.shape[1]) / 2
        return accuracy

    def proportion(self, scored: ScoredRecords) -> tuple[int, int] | None:
        """Return the numbers of correct and of all records, if members equal non-members."""
        if len(scored.members) != len(scored.nonmembers):
            return None
        records = len(scored.members) + len(scored.nonmembers)
        return round(self.point(scored) * records), records
