"""Files of tensors: snapshots, checkpoints, a third party's weights, features."""

import io
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from toys import Federation, SilentServer, new_model

from adversaries.inference.feature_file import FORMAT, load_features
from fedsim.engines.in_process import local_identity
from fedsim.federation.checkpoint import Checkpoint
from fedsim.federation.strategies import build_strategy
from fedsim.files.digests import digest
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshot_file import Snapshot
from fedsim.stages.preparation.external_weights import fitted, read_weights
from fuzz.corpus import Corpus
from fuzz.harness import Subject
from fuzz.mutators import tensors

DEEDS = ("aggregate_train", "configure_train", "train_metrics_aggr_fn", "summary")


def _sealed(header: Mapping[str, Any], data: bytes, inner: Any) -> Any:
    """Return our format's JSON with the checksum of the tensors that are there."""
    try:
        found = load_tensors(tensors.closed(dict(header), data))
    except Exception:  # a broken header has no checksum
        return inner
    return {**inner, "digest": digest(found)} if isinstance(inner, dict) else inner


def snapshots(corpus: Corpus) -> Subject:
    """Snapshots of parameters."""
    sound = corpus.first("snapshots/*/round-00002.aggregate.safetensors").read_bytes()
    path = corpus.folder / "round-00002.aggregate.safetensors"

    def read(broken: bytes, folder: Path) -> None:
        path.write_bytes(broken)
        snapshot = Snapshot(path, 2, SnapshotKind.AGGREGATE.of())
        assert isinstance(snapshot.digest, str)
        snapshot.load()

    def make(random: Random) -> bytes:
        return tensors.mutated(sound, random, "fedsim-snapshot-1", _sealed)

    return Subject("snapshot", make, read)


def checkpoints(corpus: Corpus) -> Subject:
    """Checkpoints, put back into a federation."""
    path = corpus.folder / "checkpoint.safetensors"
    with local_identity():
        federation = Federation(strategy="FedAvgM", settings={"server_momentum": 0.5})
        progress = federation.run(until=1)
    remembering = SilentServer()
    remembering.memory["last"] = progress.arrays
    servers = {"silent": remembering}
    honest = federation.server.honest
    Checkpoint.of(progress, federation.grid.states(), honest, servers).save(path)
    sound = path.read_bytes()

    def read(broken: bytes, folder: Path) -> None:
        path.write_bytes(broken)
        found = Checkpoint.load(path)
        strategy = build_strategy("FedAvgM", {"server_momentum": 0.5}, 3)
        found.restore(strategy, {"silent": SilentServer()})
        assert all(callable(getattr(strategy, name)) for name in DEEDS)
        assert found.progress.round >= 0

    def make(random: Random) -> bytes:
        return tensors.mutated(sound, random, "fedsim-checkpoint-2", _sealed)

    return Subject("checkpoint", make, read)


def weights(corpus: Corpus) -> Subject:
    """A third party's weights, fitted into a model."""
    path, model = corpus.folder / "weights.safetensors", new_model()
    sound = save_tensors(model.state_dict())
    pickled = io.BytesIO()
    torch.save(model.state_dict(), pickled)

    def read(broken: bytes, folder: Path) -> None:
        path.write_bytes(broken)
        found = read_weights(path)
        digest(found)
        fitted(model, found, str(path))

    def make(random: Random) -> bytes:
        if random.random() < 0.05:
            return pickled.getvalue()
        return tensors.mutated(sound, random, "format")

    return Subject("weights", make, read)


def features(corpus: Corpus) -> Subject:
    """What was extracted from a snapshot."""
    source = corpus.first("features/*/*/*.safetensors")
    sound = source.read_bytes()
    count = len(load_features(source))
    path = corpus.folder / "features.safetensors"

    def read(broken: bytes, folder: Path) -> None:
        path.write_bytes(broken)
        found = load_features(path)
        found.take(np.arange(min(count, len(found))))
        assert found.nbytes >= 0

    return Subject("features", lambda random: tensors.mutated(sound, random, FORMAT), read)


READERS = {
    "snapshot": snapshots,
    "checkpoint": checkpoints,
    "weights": weights,
    "features": features,
}
