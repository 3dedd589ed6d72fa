"""What every registered attack promises, none forgotten: the names come from the entry points.

Each is scored once on a federation with a leak, once on the same federation under other names, and
once with the candidates in another order. A new attack stands here as soon as it is registered; one
that cannot find this leak by its nature must say where its own is.
"""

from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord
from server_views import (
    AUDITED,
    MEMBERS,
    UNSEEN,
    known,
    noisy_blobs,
    server_view,
    with_shadows,
)
from torch import nn
from torch.nn import functional

from adversaries.inference.entry_layer import EntryLayer
from adversaries.positions.imprint_server import bins
from adversaries.positions.planted_neuron_server import single_out
from adversaries.positions.unit_planting import plant_units
from fedsim import plugins
from fedsim.attacks import View
from fedsim.data import about_participant
from fedsim.evaluation.metrics import auc, tpr_at_fpr
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshots import SnapshotStore
from fedsim.progress import SILENCE

NAMES = sorted(
    one.name for one in entry_points(group="fedsim.attacks") if one.value.startswith("adversaries.")
)
FEW: dict[str, Any] = {"folds": 3, "epochs": 12}
SETTINGS: dict[str, dict[str, Any]] = {
    "supervised": {"training": FEW},
    "shadow": {"training": {"folds": 2, "epochs": 6}, "federations": 1},
    "gradient-evolution": {"epochs": 15},
    "unsupervised": {},
    "ensemble": {"supervised": False},
    "seqmia": {"epochs": 15},
    "confidence-series": {"epochs": 15},
    "loss-trajectory": {"epochs": 15},
}
"""So that a test takes seconds; what is not here is as by default."""

BLIND = {"random", "label"}
"""They read no model, so they find no leak of one: `label` finds what the known labels say."""

ORDER = np.random.default_rng(8).permutation(1200)
PLACE = np.argsort(ORDER)  # where each record stands in that order
KNOWN = known(MEMBERS[:15], UNSEEN[:60])
TURNED_KNOWN = known(PLACE[MEMBERS[:15]], PLACE[UNSEEN[:60]])
FRESH = UNSEEN[400:]  # on which no shadow federation trains either
OPEN = ~np.isin(AUDITED, KNOWN.records)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("every")


def built(name: str) -> Any:
    return plugins.build("attacks", name, SETTINGS.get(name, {}))


@cache
def leaky(folder: Path) -> View:
    return with_shadows(server_view(folder / "leaky"), folder / "leaky", 3)


@cache
def turned(folder: Path) -> View:
    """The same federation: participants under other numbers, records under other ids."""
    names = [3, 0, 4, 1, 2]
    renamed = server_view(folder / "turned", names=names, order=ORDER)
    return with_shadows(renamed, folder / "turned", 3, names)


def view_of_server(
    adversary: str,
    store: SnapshotStore,
    new_model: Callable[[], nn.Module],
    data: Any,
    folder: Path,
    order: Any,
) -> View:
    """Return what a server kept, asked about participant 0; `order` gives records other ids."""
    return View(
        adversary=adversary,
        query=about_participant(0),
        seen=store.index(),
        new_model=new_model,
        dataset=data if order is None else data.only(order),
        records=np.arange(1200),
        features=folder / "features",
    )


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 4))


def planted_view(folder: Path, order: Any = None) -> View:
    """Return what a server saw that planted a unit for each of 20 records, 10 of them members."""
    data, store, state = noisy_blobs(), SnapshotStore(folder / "seen"), network().state_dict()
    features = data.batch(AUDITED)[0].double()
    far = features.norm(dim=1).argsort(descending=True)
    chosen = [int(i) for i in far if i < len(MEMBERS)][:10]
    chosen += [int(i) for i in far if i >= len(MEMBERS)][:10]
    layer, model = EntryLayer("0", "2", 64, 12, saturates=False), network()
    for number in (1, 2):
        units = single_out(layer, features, torch.tensor(sorted(chosen)), 20)
        plant_units(state, layer, torch.arange(20), units, alive=True)
        store.keep(number, SnapshotKind.SENT.of(0), ArrayRecord(state))
        model.load_state_dict(state)
        optimizer = torch.optim.SGD(model.parameters(), 0.02)
        inputs, labels = data.batch(MEMBERS)
        for _ in range(5):
            optimizer.zero_grad()
            functional.cross_entropy(model(inputs), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        state = {name: value.clone() for name, value in model.state_dict().items()}
        store.keep(number, SnapshotKind.UPLOAD.of(0), ArrayRecord(state))
    return view_of_server("planted-neuron-server", store, network, data, folder, order)


def many_outputs() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 128), nn.ReLU(), nn.Linear(128, 40))


def one_step_view(folder: Path, order: Any = None) -> View:
    """Return what a server saw of single steps on 12 records: projres needs no more outputs."""
    data, store, model = noisy_blobs(), SnapshotStore(folder / "seen"), many_outputs()
    for number in (1, 2):
        store.keep(number, SnapshotKind.SENT.of(0), ArrayRecord(model.state_dict()))
        inputs, labels = data.batch(MEMBERS[:12])
        optimizer = torch.optim.SGD(model.parameters(), 0.02)
        functional.cross_entropy(model(inputs), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        model.zero_grad()
        store.keep(number, SnapshotKind.UPLOAD.of(0), ArrayRecord(model.state_dict()))
    return view_of_server("curious-server", store, many_outputs, data, folder, order)


def binned() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 300), nn.ReLU(), nn.Linear(300, 4))


def imprinted_view(folder: Path, order: Any = None) -> View:
    """Return what a server saw that planted 280 bins, of one step on all members."""
    data, store, model = noisy_blobs(), SnapshotStore(folder / "seen"), binned()
    layer, state = EntryLayer("0", "2", 300, 12, saturates=False), model.state_dict()
    random = torch.Generator().manual_seed(0)
    units = bins(data.batch(AUDITED)[0].double(), 280, 4, 1.0, random)
    plant_units(state, layer, torch.arange(280), units, alive=True)
    store.keep(1, SnapshotKind.SENT.of(0), ArrayRecord(state))
    model.load_state_dict(state)
    inputs, labels = data.batch(MEMBERS)
    functional.cross_entropy(model(inputs), labels).backward()  # type: ignore[no-untyped-call]
    torch.optim.SGD(model.parameters(), 0.02).step()
    store.keep(1, SnapshotKind.UPLOAD.of(0), ArrayRecord(model.state_dict()))
    return view_of_server("imprint-server", store, binned, data, folder, order)


OWN_VIEWS: dict[str, tuple[Callable[[Path], View], Callable[[Path], View]]] = {
    "planted-neuron": (
        cache(lambda folder: planted_view(folder / "planted")),
        cache(lambda folder: planted_view(folder / "planted-turned", ORDER)),
    ),
    "imprint": (
        cache(lambda folder: imprinted_view(folder / "imprinted")),
        cache(lambda folder: imprinted_view(folder / "imprinted-turned", ORDER)),
    ),
    "projres": (
        cache(lambda folder: one_step_view(folder / "one-step")),
        cache(lambda folder: one_step_view(folder / "one-step-turned", ORDER)),
    ),
}
"""Federations in which an attack's leak is, and the same under other names; others read `leaky`."""


def views(name: str) -> tuple[Callable[[Path], View], Callable[[Path], View]]:
    return OWN_VIEWS.get(name, (leaky, turned))


@cache
def scores(name: str, folder: Path) -> Any:
    found = built(name).score(views(name)[0](folder), KNOWN, AUDITED, 0, SILENCE)
    assert found.shape == AUDITED.shape
    assert np.isfinite(found).all()
    return found


def on(found: Any, records: Any) -> Any:
    return found[np.searchsorted(AUDITED, records)]


def test_every_attack_of_ours_is_here() -> None:
    assert len(NAMES) > 20
    assert {*SETTINGS, *BLIND, *OWN_VIEWS} <= {*NAMES}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in BLIND])
def test_a_planted_leak_is_found_and_members_score_higher(name: str, folder: Path) -> None:
    found = scores(name, folder)
    members, others, least = MEMBERS[15:], FRESH, 0.65
    if name == "planted-neuron":  # 20 records have a unit
        about = AUDITED[found != 0]
        assert len(about) >= 15
        members, others = (about[np.isin(about, MEMBERS) == side] for side in (True, False))
        least = 0.9
    elif name == "imprint":
        members = MEMBERS
    elif name == "projres":
        members, least = MEMBERS[:12], 0.99
    assert auc(on(found, members), on(found, others)) > least


@pytest.mark.parametrize("name", NAMES)
def test_records_of_nobody_are_not_told_apart_at_1_percent(name: str, folder: Path) -> None:
    """Within what guessing does in 99.9 of 100 draws, at 1 % FPR among 400 and by the area."""
    found = scores(name, folder)
    fresh = np.random.default_rng(1).permutation(FRESH)
    members, others = on(found, fresh[:400]), on(found, fresh[400:800])
    rate, _ = tpr_at_fpr(members, others, 0.01)
    assert rate * 400 <= 22  # hits up to the fifth of the others: negative binomial
    assert abs(auc(members, others) - 0.5) < 3.3 * np.sqrt(801 / (12 * 400 * 400))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "random"])
def test_scores_go_with_the_record_and_the_participant_whatever_they_are_called(
    name: str, folder: Path
) -> None:
    """Records and participants permuted. What trains draws other batches and folds then."""
    attack, plain = built(name), scores(name, folder)
    ids = np.sort(PLACE[AUDITED])
    found = attack.score(views(name)[1](folder), TURNED_KNOWN, ids, 0, SILENCE)
    again = found[np.searchsorted(ids, PLACE[AUDITED])]
    if attack.stochastic:
        assert np.corrcoef(again[OPEN], plain[OPEN])[0, 1] > 0.6
        return
    # `label` leaves a known record out of its own count, by folds over them as they stand.
    alike = OPEN if name == "label" else np.ones(len(plain), dtype=bool)
    np.testing.assert_allclose(again[alike], plain[alike], rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "random"])
def test_scores_stand_in_the_order_of_the_candidates(name: str, folder: Path) -> None:
    order = np.random.default_rng(2).permutation(len(AUDITED))
    attack, plain = built(name), scores(name, folder)
    found = attack.score(views(name)[0](folder), KNOWN, AUDITED[order], 0, SILENCE)
    if name == "unsupervised":  # its landmarks are drawn in the order of the candidates
        assert np.corrcoef(found, plain[order])[0, 1] > 0.95
        return
    np.testing.assert_allclose(found, plain[order], rtol=1e-3, atol=1e-4)
