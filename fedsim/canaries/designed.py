"""Designed canaries: records made so that their gradient stands apart from everybody else's.

Maddock, Sablayrolles and Stock, *CANIFE: Crafting Canaries for Empirical Privacy Measurement in
Federated Learning*, ICLR 2023. With u_1 .. u_m the updates of mock participants and g(x) the
gradient of a canary x, its pixels minimise

    sum_i <u_i, g(x)>^2  +  max(0, C - |g(x)|)^2

so that what the canary adds to an aggregate is in no other's direction and as large as clipping
lets through. Here mock participants are single records of the candidates that become no canaries,
u_i their normalised gradients at the initial parameters, and C is the longest of these: the paper
designs one canary for each audited round on that round's parameters, an audit in one run designs
all of them before the first.
"""

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.canaries.base import CanaryKind, CandidateRecords, CraftedCanaries
from fedsim.data.designed import stored_features
from fedsim.errors import DataError


class DesignedRecords(CanaryKind):
    """Change records by gradient descent until their gradients stand apart (Maddock et al. 2023).

    Parameters
    ----------
    steps
        Steps of Adam a canary; each costs about four passes over one record.
    learning_rate
        Of Adam, in units of the spread of the candidates' features.
    mocks
        Number of records whose gradients a canary's is to be orthogonal to.
    """

    def __init__(
        self,
        steps: Annotated[int, Field(ge=1, le=100)] = 30,
        learning_rate: Annotated[float, Field(gt=0)] = 0.1,
        mocks: Annotated[int, Field(ge=1)] = 16,
    ) -> None:
        self.steps, self.learning_rate, self.mocks = steps, learning_rate, mocks

    def craft(
        self, candidates: CandidateRecords, count: int, random: np.random.Generator
    ) -> CraftedCanaries:
        """Return records with designed features and their own labels."""
        dataset = candidates.dataset
        if dataset.input_dtype != torch.float32:
            raise DataError(
                "audit.canaries: designed canaries need features that are numbers, and those of "
                f"{dataset.name} are integers; use another kind"
            )
        order = random.permutation(len(candidates))
        places = order[:count]
        model = candidates.new_model().eval()
        others = order[count:] if count < len(order) else order
        mocks = torch.stack(
            [_gradient(candidates, model, *_record(candidates, p)) for p in others[: self.mocks]]
        )
        norms = mocks.norm(dim=1)
        if not torch.isfinite(norms).all():
            raise DataError(
                "audit.canaries: the gradient of a record at the initial parameters is not finite, "
                "so that none can be designed; use random canaries, or another model"
            )
        largest = float(norms.max())
        directions = mocks / norms.clamp_min(torch.finfo(norms.dtype).tiny)[:, None]
        pool = dataset.batch(order)[0]
        low, high, spread = pool.amin(), pool.amax(), float(pool.std())
        designed = [
            self._designed(candidates, model, place, directions, largest, spread).clamp(low, high)
            for place in places
        ]
        features = stored_features(dataset, torch.stack(designed))
        return CraftedCanaries(places, np.asarray(dataset.labels)[places], features)

    def _designed(
        self,
        candidates: CandidateRecords,
        model: nn.Module,
        place: int,
        directions: Tensor,
        largest: float,
        spread: float,
    ) -> Tensor:
        """Return the features of one canary, as the model reads them."""
        inputs, target = _record(candidates, place)
        inputs = inputs.clone().requires_grad_(True)
        optimizer = torch.optim.Adam([inputs], lr=self.learning_rate * spread)
        for _ in range(self.steps):
            gradient = _gradient(candidates, model, inputs, target, graph=True)
            (slope,) = torch.autograd.grad(design_loss(gradient, directions, largest), inputs)
            inputs.grad = torch.nan_to_num(slope)
            optimizer.step()
        return inputs.detach()[0]


def design_loss(gradient: Tensor, directions: Tensor, largest: float) -> Tensor:
    """Return sum <u_i, g>^2 + max(0, C - |g|)^2, both in units of C.

    >>> design_loss(torch.tensor([0.0, 2.0]), torch.tensor([[1.0, 0.0]]), 2.0)
    tensor(0.)
    >>> design_loss(torch.tensor([1.0, 0.0]), torch.tensor([[1.0, 0.0]]), 2.0)
    tensor(0.5000)
    """
    relative = gradient / largest
    short = (1 - torch.linalg.vector_norm(relative)).clamp_min(0)
    loss: Tensor = (directions @ relative).square().sum() + short.square()
    return loss


def _record(candidates: CandidateRecords, place: int) -> tuple[Tensor, Tensor]:
    return candidates.dataset.batch(np.array([place]))


def _gradient(
    candidates: CandidateRecords,
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    *,
    graph: bool = False,
) -> Tensor:
    """Return the gradient of one record by all trainable parameters, flattened."""
    parameters = [one for one in model.parameters() if one.requires_grad]
    loss = candidates.objective.mean_loss(model(inputs), targets)
    found = torch.autograd.grad(
        loss, parameters, create_graph=graph, allow_unused=True, materialize_grads=True
    )
    flat: Tensor = torch.cat([one.reshape(-1) for one in found])
    return flat
