"""An autoencoder with a one-dimensional embedding, clustered into two groups without labels.

After Nasr, Shokri and Houmansadr (IEEE S&P 2019), for an attacker that knows no members:

1. An autoencoder with a bottleneck of one unit. The encoder is the network of the supervised
   attack; the decoder reconstructs four signals: loss, correctness of the prediction, prediction
   uncertainty and gradient norm. The embedding keeps what these have in common.
2. Spectral clustering of the embeddings into two groups.
3. The group with the lower mean gradient norm is predicted to be the members.

The decoder reconstructs the signals of every snapshot side by side, not their mean over the
snapshots, and later snapshots weigh more: the difficulty of a record shows from the start, while
memorisation accumulates over the rounds. On one federation (CIFAR-100, AlexNet, eight
snapshots) the accuracy of the server and of a participant was 85.2 and 82.0 % with means, 85.8 and
82.7 % side by side, 86.4 and 83.7 % weighted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from adversaries.inference.features import SnapshotFeatures
from adversaries.inference.inputs import Inputs
from adversaries.inference.log_scalars import log_entropy, log_norm
from adversaries.inference.memory import Networks
from adversaries.inference.network import EncoderSettings, membership_logits
from adversaries.inference.spectral_clustering import place_between_centres, spectral_coordinate
from adversaries.inference.standardiser import Standardiser
from fedsim import seeds
from fedsim.errors import ConfigError, FedsimError

ScoreArray = NDArray[np.float64]
OnProgress = Callable[[int], None]

_SMALLEST = 1e-12  # the smallest argument of a logarithm
_FARTHEST = 5.0  # standard deviations; what lies farther out is moved there
_LEAST_SPREAD = 1e-5  # of the embeddings; a smaller spread is rounding error


@dataclass(frozen=True)
class UnsupervisedSettings:
    """How the autoencoder is trained and its embeddings are clustered.

    Attributes
    ----------
    network
        Sizes of the encoder, which reads all snapshots.
    decoder_width
        Hidden width of the decoder.
    epochs, batch_size, learning_rate
        Settings of Adam; the learning rate decays to zero along a cosine.
    landmarks
        Number of records for which the eigenproblem is solved.
    kernel_width
        Width of the Gaussian affinity, in standard deviations of the embeddings.
    """

    network: EncoderSettings = field(default_factory=EncoderSettings)
    decoder_width: int = 64
    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 3e-3
    landmarks: int = 1000
    kernel_width: float = 0.5

    def __post_init__(self) -> None:
        smallest = {"decoder_width": 1, "epochs": 1, "batch_size": 1, "landmarks": 2}
        for name, least in smallest.items():
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is at least {least}, not {getattr(self, name)}")
        for name in ("learning_rate", "kernel_width"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is positive, not {getattr(self, name)}")

    @property
    def networks(self) -> Networks:
        """The networks that are trained, for the estimate of their memory."""
        smaller = "set fewer training.network.kernels"
        return Networks(self.network.build, 1, self.epochs, smaller=smaller)


def score_unlabelled(
    inputs: Inputs,
    signals: Tensor,
    settings: UnsupervisedSettings,
    seed: int,
    progress: OnProgress | None = None,
) -> ScoreArray:
    """Cluster records into two groups without labels; return each record's signed position.

    Parameters
    ----------
    inputs
        Inputs of the encoder for N records, not standardised.
    signals
        Targets of the decoder, as returned by `known_signals`.
    settings
        Settings of training and clustering.
    seed
        The only source of randomness; the same seed gives bit-identical scores.
    progress
        Called after each epoch with the number of epochs done.

    Returns
    -------
    Scores (N,): 1 at the centre of the predicted members, -1 at the centre of the other group, 0
    on the boundary. All 0 if all records look alike.
    """
    embeddings = _embeddings(inputs, signals, settings, seed, progress)
    if np.ptp(embeddings) < _LEAST_SPREAD:
        return np.zeros(len(embeddings))
    coordinate = spectral_coordinate(
        embeddings, settings.landmarks, settings.kernel_width, seeds.generator(seed, "landmarks")
    )
    sides = place_between_centres(coordinate, seed)
    norms = signals[..., -1].mean(0).numpy()
    return sides if norms[sides > 0].mean() <= norms[sides <= 0].mean() else -sides


def known_signals(records: Sequence[SnapshotFeatures]) -> Tensor:
    """Return the four signals of N records on T snapshots, (T, N, 4) as float64.

    They are the log loss, whether the prediction is right (0 or 1), the log of the
    prediction's entropy over its largest possible value log C, and the log norm of the gradient
    of all layers. All but the second span orders of magnitude, therefore the logarithms.
    """
    return torch.stack([_signals(features) for features in records])


def _signals(features: SnapshotFeatures) -> Tensor:
    if not features.classes:
        raise FedsimError(
            "the unsupervised attack reconstructs the uncertainty of a classifier, and the "
            "objective is none; choose another attack (loss reads any objective)"
        )
    logits = torch.from_numpy(features.logits).double()
    log_p = logits.log_softmax(1)
    entropy = -(log_p.exp() * log_p).sum(1) / np.log(logits.shape[1])
    right = logits.argmax(1) == torch.from_numpy(features.labels)
    loss = torch.from_numpy(features.losses).double()
    norm = torch.from_numpy(features.gradient_norms).double().norm(dim=1)
    # If one underflows, its logarithm is computed from the log-odds.
    log_loss = -torch.from_numpy(features.scalar("log-odds of the label")).double()
    logs = [
        _log(loss, log_loss),
        right.double(),
        _log(entropy, torch.from_numpy(log_entropy(features))),
        _log(norm, torch.from_numpy(log_norm(features))),
    ]
    return torch.stack(logs, 1)


def _log(values: Tensor, exact: Tensor) -> Tensor:
    """Return logarithms; for values that underflow, the given ones, if they are finite."""
    small = (values < _SMALLEST) & exact.isfinite()
    return torch.where(small, exact, values.clamp_min(_SMALLEST).log())


def _embeddings(
    raw: Inputs,
    signals: Tensor,
    settings: UnsupervisedSettings,
    seed: int,
    progress: OnProgress | None,
) -> ScoreArray:
    """Train the autoencoder on the records and return their embeddings, in (-1, 1)."""
    inputs = Standardiser.fit(raw).apply(raw)
    targets = _targets(signals).to(inputs.device)
    with seeds.global_draws(seed, "autoencoder"):  # initial weights, batches and dropout
        encoder = settings.network.build(inputs).to(inputs.device)
        decoder = nn.Sequential(
            nn.Linear(1, settings.decoder_width),
            nn.GELU(),
            nn.Linear(settings.decoder_width, targets.shape[1]),
        ).to(inputs.device)
        optimizer = torch.optim.Adam(
            [*encoder.parameters(), *decoder.parameters()], lr=settings.learning_rate
        )
        steps = settings.epochs * -(-len(inputs) // settings.batch_size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        encoder.train()
        for epoch in range(settings.epochs):
            for batch in torch.split(torch.randperm(len(inputs)), settings.batch_size):
                # Bounded, so that a few outliers do not become a group of their own.
                bottleneck = encoder(inputs.take(batch)).tanh()
                loss = F.mse_loss(decoder(bottleneck[:, None]), targets[batch])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
            if progress is not None:
                progress(epoch + 1)
    embeddings: ScoreArray = membership_logits(encoder, inputs).cpu().double().tanh().numpy()
    return embeddings


def _targets(signals: Tensor) -> Tensor:
    """Return the targets of the decoder (N, 4 T), standardised and weighted.

    The weights rise linearly from 1 / T for the first snapshot to 1 for the last. A constant signal
    becomes 0.
    """
    centred = signals - signals.mean(1, keepdim=True)
    deviation = centred.square().mean(1, keepdim=True).sqrt()
    standardised = (centred / deviation.clamp_min(_SMALLEST)).clamp(-_FARTHEST, _FARTHEST)
    snapshots = len(signals)
    weights = torch.arange(1, snapshots + 1) / snapshots
    return (standardised * weights[:, None, None]).transpose(0, 1).flatten(1).float()
