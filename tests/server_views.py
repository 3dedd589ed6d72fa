"""What a server sees of a small federation: for tests of attacks, without files of a run."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import toys
from flwr.app import ArrayRecord
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from fedsim.attacks import AuxiliaryRecords, ShadowFederation, View
from fedsim.data import Dataset, about_participant, load_dataset
from fedsim.models import build_model
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshots import SnapshotStore

PARTICIPANTS, EACH = 5, 40
HELD = [np.arange(p * EACH, (p + 1) * EACH) for p in range(PARTICIPANTS)]
UNSEEN = np.arange(PARTICIPANTS * EACH, 1200)
"""Records that nobody trains on."""

MEMBERS = HELD[0]
AUDITED = np.concatenate([MEMBERS, UNSEEN])
TRAINING = np.concatenate(HELD)


def wide() -> nn.Module:
    """Return a model with more parameters than there are numbers in the data."""
    return build_model(
        "fully-connected", {"widths": [256]}, input_shape=(12,), num_classes=4, seed=3
    )


def noisy_blobs() -> Dataset:
    """Return records that a model can only learn by heart."""
    settings = {"noise": 6.0, "records": 1200}
    return load_dataset("toys:blobs", settings, data_dir=None, seed=3, test_records=60)


def server_view(
    folder: Path,
    *,
    rounds: int = 3,
    steps: int = 15,
    names: Sequence[int] = range(PARTICIPANTS),
    order: NDArray[np.int64] | None = None,
    held: Sequence[NDArray[np.int64]] = HELD,
    start: int = 3,
) -> View:
    """Return what a server saw of participants that train by full-batch gradient descent.

    Parameters
    ----------
    folder
        For snapshots and features.
    rounds, steps
        How many, and of each participant in a round.
    names
        The number that each participant has; who has the first one's records is the victim.
    order
        Records in another order: the record of id i is ``order[i]``.
    held
        Who trains on which records.
    start
        Seed of the initial parameters.
    """
    store, data = SnapshotStore(folder / "seen"), noisy_blobs()
    model = build_model(
        "fully-connected", {"widths": [256]}, input_shape=(12,), num_classes=4, seed=start
    )
    state = {k: v.clone() for k, v in model.state_dict().items()}
    victim = names[0]
    for number in range(1, rounds + 1):
        uploads = []
        store.keep(number, SnapshotKind.SENT.of(victim), ArrayRecord(state))
        for name, records in zip(names, held, strict=True):
            model.load_state_dict(state)
            inputs, labels = data.batch(records)
            for _ in range(steps):
                model.zero_grad()
                functional.cross_entropy(model(inputs), labels).backward()  # type: ignore[no-untyped-call]
                with torch.no_grad():
                    for parameter in model.parameters():
                        parameter -= 0.1 * parameter.grad
            uploads.append({k: v.clone() for k, v in model.state_dict().items()})
            store.keep(number, SnapshotKind.UPLOAD.of(name), ArrayRecord(uploads[-1]))
        state = {k: torch.stack([one[k] for one in uploads]).mean(0) for k in state}
    kept = [SnapshotKind.SENT.of(victim), *(SnapshotKind.UPLOAD.of(p) for p in sorted(names))]
    if order is not None:
        data = data.only(order)
    return View(
        adversary="curious-server",
        query=about_participant(victim),
        seen=store.series(*kept),
        new_model=wide,
        dataset=data,
        records=np.arange(len(data.labels)),
        features=folder / "features",
    )


def with_shadows(
    view: View, folder: Path, count: int, names: Sequence[int] = range(PARTICIPANTS)
) -> View:
    """Return a view with shadow federations on records that nobody in the real one trains on."""
    shadows = []
    for number in range(count):
        random = np.random.default_rng(number)
        pool = random.permutation(UNSEEN[:400])
        held = np.split(pool[: PARTICIPANTS * EACH], PARTICIPANTS)
        seen = server_view(folder / f"shadow-{number}", held=held, names=names)
        own = seen.keeping([s for s in seen.seen if s.participant == names[0]])
        member = np.isin(view.records, held[0])
        shadows.append(ShadowFederation(own, member, overlapping=0, drawn=len(pool)))
    return replace(view, shadows=tuple(shadows))


def with_targets(
    view: View,
    folder: Path,
    count: int,
    names: Sequence[int] = range(PARTICIPANTS),
    order: NDArray[np.int64] | None = None,
) -> View:
    """Return a view with more shadow federations, whose victims train on audited records."""
    shadows = []
    for number in range(count):
        random = np.random.default_rng(number // 2)
        half = random.permutation(AUDITED)[number % 2 :: 2]
        pool = random.permutation(np.setdiff1d(UNSEEN[:400], half[:EACH]))
        held = [half[:EACH], *np.split(pool[: (PARTICIPANTS - 1) * EACH], PARTICIPANTS - 1)]
        seen = server_view(folder / f"targets-{number}", held=held, names=names)
        own = seen.keeping([s for s in seen.seen if s.participant == names[0]])
        records = view.records if order is None else order[view.records]
        trained = np.where(np.isin(records, held[0]), 1, 0)
        trained[np.isin(records, pool[: (PARTICIPANTS - 1) * EACH])] = -1
        member = np.isin(view.records, held[0])
        shadows.append(ShadowFederation(own, member, 0, len(pool), trained.astype(np.int8)))
    return replace(view, shadows=(*view.shadows, *shadows))


def known(members: NDArray[np.int64], nonmembers: NDArray[np.int64]) -> AuxiliaryRecords:
    """Return what an attacker knows."""
    records = np.concatenate([members, nonmembers])
    truth = np.repeat([True, False], [len(members), len(nonmembers)])
    order = np.argsort(records)
    return AuxiliaryRecords(records[order], truth[order])


def view_of_two_uploads(folder: Path, records: NDArray[np.int64]) -> View:
    """Return a view of two uploads of the toy model, the second further from the start."""
    store = SnapshotStore(folder / "seen")
    for round_number in (1, 2):
        state = {k: v * (1 + round_number) for k, v in toys.new_model().state_dict().items()}
        store.keep(round_number, SnapshotKind.UPLOAD.of(0), ArrayRecord(state))
    return View(
        adversary="curious-server",
        query=about_participant(0),
        seen=store.series(SnapshotKind.UPLOAD.of(0)),
        new_model=toys.new_model,
        dataset=toys.dataset(),
        records=records,
        features=folder / "features",
    )
