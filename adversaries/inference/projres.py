"""ProjRes: the projection residual of a record's last hidden vector on the last layer's update.

Deng et al., *Toward Efficient Membership Inference Attacks against Federated Large Language Models:
A Projection Residual Approach*, IEEE S&P 2026 (arXiv 2604.21197). One step of SGD changes the
weight (m outputs, n inputs) of a linear layer by a sum of outer products of output gradients and
inputs. Its row space S holds the inputs of all p records that the step was made of, so the residual
of a record's input f,

    score(x) = - |f - P_S f|_1 / |f|_1,

is 0 for them. That takes p <= m, p < n, and one step: with more records than outputs S does not
hold their inputs, with as many as inputs it holds every vector, and later steps have other inputs.
The numerical rank of each update says whether the condition can hold: gradients of a softmax sum to
zero over the outputs, so a rank of m - 1 means that there may be more records than it says. It is
reported, in a sentence if no update passes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from adversaries.inference.alignment_cache import required_updates
from adversaries.inference.feature_cache import observed_features, positions
from adversaries.inference.model_layers import EXAMPLES, ModelLayers
from adversaries.inference.needed_features import needed_features
from fedsim.attacks import Attack, AuxiliaryRecords, RecordIds, View
from fedsim.errors import FedsimError
from fedsim.finding import Finding
from fedsim.observation.needs import Needs
from fedsim.progress import Watcher

Floats = NDArray[np.float64]
_HIDDEN = needed_features(Needs(last_layer=True))
_ROUNDING = float(np.finfo(np.float32).eps)


class ProjRes(Attack):
    """Score a record by the residual of its last hidden vector on the update's row space.

    For models that end in a linear layer, and clients that take one step on few records (the
    paper's FedSGD). Elsewhere its conditions do not hold, which it reports.

    Parameters
    ----------
    rank
        The most dimensions that S has: the number of records in a step, where it is known. By
        default the numerical rank.
    """

    needs = Needs(last_layer=True, parameters=True)

    def __init__(self, rank: int | None = None) -> None:
        if rank is not None and rank < 1:
            raise FedsimError(f"rank is {rank}; valid: 1 or more, or none")
        self.rank = rank

    def dry_run(self, view: View, known: AuxiliaryRecords, candidates: RecordIds) -> None:
        """Look for the last layer."""
        _last_layer(view)

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> Floats:
        """Return the mean over the updates.

        Raises
        ------
        FedsimError
            If there is no update, or the model has no linear last layer.
        """
        found = dict(zip(view.answering, observed_features(view, watcher, _HIDDEN), strict=True))
        total, pairs = np.zeros(len(view.records)), required_updates(view)
        spaces = self._spaces(view)
        for (before, _), space in zip(pairs, spaces, strict=True):
            total -= residuals(found[before].hidden.astype(np.float64), space.basis)
        if not any(space.holds for space in spaces):
            watcher.say(
                f"projres: the last layer's updates have rank {spaces[-1].rank} of at most "
                f"{spaces[-1].most}: more records than outputs may be in them, and then a member's "
                "residual need not be 0"
            )
        scores: Floats = total[positions(view, candidates)] / len(pairs)
        return scores

    def findings(self, view: View, known: AuxiliaryRecords, watcher: Watcher) -> Sequence[Finding]:
        """Return the rank of each update, and in how many the condition can hold."""
        spaces = self._spaces(view)
        return (
            Finding(
                title="projres: row spaces of the last layer's updates",
                figures={
                    "updates": len(spaces),
                    "updates whose rank is below the largest possible": sum(
                        space.holds for space in spaces
                    ),
                },
                columns=("round", "rank", "largest possible rank"),
                rows=tuple(
                    (after.round, space.rank, space.most)
                    for (_, after), space in zip(required_updates(view), spaces, strict=True)
                )[:200],
            ),
        )

    def _spaces(self, view: View) -> list["RowSpace"]:
        name = f"{_last_layer(view)}.weight"
        return [
            row_space(before.load()[name], after.load()[name], self.rank)
            for before, after in required_updates(view)
        ]


@dataclass(frozen=True)
class RowSpace:
    """The row space of an update.

    Attributes
    ----------
    basis : (r, n)
        Orthonormal rows.
    most
        The largest rank that an update of this shape can have, min(m - 1, n).
    """

    basis: Floats
    most: int

    @property
    def rank(self) -> int:
        """R."""
        return len(self.basis)

    @property
    def holds(self) -> bool:
        """Whether the rank leaves it possible that all records' inputs are in the space."""
        return self.rank < self.most


def row_space(before: Tensor, after: Tensor, most: int | None = None) -> RowSpace:
    """Return the row space of an update from two weights (m, n).

    A singular value counts where it is above the rounding error of the weights' difference: that
    of numbers in single precision, uniform within half a unit in the last place, has singular
    values up to (sqrt(m) + sqrt(n)) deviations.
    """
    first, last = before.double().numpy(), after.double().numpy()
    update = first - last
    _, sizes, rows = np.linalg.svd(update, full_matrices=False)
    largest = max(np.abs(first).max(initial=0.0), np.abs(last).max(initial=0.0))
    deviation = _ROUNDING * largest / np.sqrt(12)
    rank = int((sizes > deviation * np.sqrt(update.shape).sum()).sum())
    outputs, inputs = update.shape
    return RowSpace(rows[: min(rank, most or rank)], min(outputs - 1, inputs))


def residuals(hidden: Floats, basis: Floats) -> Floats:
    """Return what an orthonormal basis (r, n) leaves of vectors (N, n), in the 1-norm: (N,).

    >>> residuals(np.array([[3.0, 4.0], [0.0, 2.0]]), np.array([[0.0, 1.0]])).round(4)
    array([0.4286, 0.    ])
    """
    left = np.abs(hidden - hidden @ basis.T @ basis).sum(1)
    whole = np.abs(hidden).sum(1)
    shares: Floats = left / np.where(whole > 0, whole, 1.0)
    return shares


def _last_layer(view: View) -> str:
    examples = view.dataset.batch(view.records[:EXAMPLES])[0]
    head = ModelLayers.of(view.new_model(), examples).head
    if head is None:
        raise FedsimError(
            "projres reads the input of the linear layer that gives the model's output, and this "
            "model has none; choose another attack"
        )
    return head
