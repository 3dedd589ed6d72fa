"""Canaries: crafted before their coins, known to the ledger, and audited in one run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from scipy.stats import binom

import fedsim
from fedsim.canaries import CanaryKind, CandidateRecords, CraftedCanaries
from fedsim.config.loading import experiment_of_tree
from fedsim.conformance import check_plugin
from fedsim.data import Arrays, Ledger, read_ledger
from fedsim.data.ledger import KNOWN, TESTED
from fedsim.errors import ConfigError, DataError, FedsimError, PluginError
from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory
from fedsim.stages.figures.canary_findings import TITLE
from fedsim.stages.preparation.setup import Setup
from fedsim.stages.preparation.setup_building import build_setup

KINDS = ["random", "mislabelled", "gradient-norm"]
SIZES = {"known_members": 30, "known_nonmembers": 30, "tested_members": 60, "tested_nonmembers": 60}


def clouds(records: int = 2400) -> Arrays:
    """Return records of four classes, with so many features that they can be learned by heart."""
    random = np.random.default_rng(0)
    labels = random.integers(4, size=records)
    features = random.normal(size=(4, 100))[labels] + 4 * random.normal(size=(records, 100))
    return Arrays(features.astype(np.float32), labels, num_classes=4)


def regressed() -> Arrays:
    arrays = clouds(600)
    return Arrays(
        arrays.features, arrays.features[:, 0].copy(), num_classes=1, objective="regression"
    )


class Twice(CanaryKind):
    """The same record again and again."""

    def craft(self, candidates: CandidateRecords, count: int, random: Any) -> CraftedCanaries:
        places = np.zeros(count, dtype=np.int64)
        return CraftedCanaries(places, candidates.dataset.labels[places])


class Hopeful(CanaryKind):
    """Labels that no class has."""

    def craft(self, candidates: CandidateRecords, count: int, random: Any) -> CraftedCanaries:
        places = np.arange(count)
        return CraftedCanaries(places, candidates.dataset.labels[places] + 7)


def sections(canaries: Any = KINDS, **more: Any) -> dict[str, Any]:
    audit = {**SIZES, "canaries": canaries, **more.pop("audit", {})}
    return toys.tree(
        **{
            "data": {"name": "test_canaries:clouds", "test_records": 400},
            "partition": {"participants": 3, "records": 400},
            "federation": {"rounds": 2, "local": {"batch_size": 40, "learning_rate": 0.1}},
            "snapshots": {"rounds": [2]},
            "audit": audit,
            "attacks": ["loss", "random"],
            "metrics": ["accuracy", "auc", "epsilon-one-run"],
            **more,
        }
    )


def setup_of(tree: dict[str, Any]) -> Setup:
    return build_setup(experiment_of_tree(tree, "the toy"), None, SILENCE)


def kinds_of(ledger: Ledger) -> Any:
    assert ledger.canaries is not None
    return ledger.canaries


def test_each_canary_is_in_by_a_fair_coin_of_its_own() -> None:
    in_, total = 0, 0
    for seed in range(6):
        setup = setup_of(sections(seed=seed))
        canaries = kinds_of(setup.ledger) != ""
        held = setup.ledger.holders_of([0])[canaries]
        assert not setup.ledger.holders_of([1, 2])[canaries].any()
        in_, total = in_ + int(held.sum()), total + len(held)
    assert total == 6 * 180
    assert min(binom.cdf(in_, total, 0.5), binom.sf(in_ - 1, total, 0.5)) > 1e-3


def test_the_ledger_knows_them_and_is_written_and_read(tmp_path: Path) -> None:
    run = fedsim.run(sections(), tmp_path / "run")
    ledger, setup = read_ledger(RunDirectory(run.path).ledger), setup_of(sections())
    kinds = kinds_of(ledger)
    assert {kind: int((kinds == kind).sum()) for kind in KINDS} == dict.fromkeys(KINDS, 60)
    assert (kinds == kinds_of(setup.ledger)).all()
    roles = ledger.roles["participant-0"]
    assert ((roles > 0) == (kinds != "")).all()
    assert (int((roles == KNOWN).sum()), int((roles == TESTED).sum())) == (60, 120)
    for kind in KINDS:  # of each kind the same share is known
        assert int((roles[kinds == kind] == KNOWN).sum()) == 20
    assert len(ledger.training_sets[0]) == 400 - 180 + ledger.holders_of([0])[kinds != ""].sum()
    # A second set-up, from the ledger, trains on the same labels.
    again = build_setup(experiment_of_tree(sections(), "the toy"), None, SILENCE, ledger=ledger)
    assert again.dataset.digest == setup.dataset.digest
    before = run.results.model_dump_json()
    assert fedsim.run(sections(), tmp_path / "run").results.model_dump_json() == before


def test_labels_are_wrong_where_they_should_be_and_nowhere_else() -> None:
    setup, plain = setup_of(sections()), clouds()
    kinds, labels = kinds_of(setup.ledger), setup.dataset.labels
    wrong = labels != plain.labels
    assert (wrong == (kinds == "mislabelled")).all()
    assert set(labels[wrong]) == set(range(4))


def test_the_largest_gradients_are_the_largest_at_the_first_parameters() -> None:
    setup = setup_of(sections(["gradient-norm"], audit={"tested_members": 20, "known_members": 10}))
    kinds = kinds_of(setup.ledger)
    plain = setup_of(sections([]))
    mine = plain.ledger.training_sets[0]
    model, norms = setup.new_model().eval(), []
    for record in mine:
        model.zero_grad()
        inputs, targets = plain.dataset.batch(np.array([record]))
        torch.nn.functional.cross_entropy(model(inputs), targets).backward()
        squares = sum(p.grad.double().square().sum() for p in model.parameters())  # type: ignore[union-attr]
        norms.append(float(squares) ** 0.5)
    expected = mine[np.argsort(norms)[-120:]]
    assert (np.flatnonzero(kinds != "") == np.sort(expected)).all()


def test_a_planted_leak_is_told_kind_by_kind_and_mislabelled_ones_leak_most(
    tmp_path: Path,
) -> None:
    tree = sections(
        federation={"rounds": 6, "local": {"batch_size": 20, "learning_rate": 0.1, "epochs": 4}},
        model={"name": "fully-connected", "widths": [64]},
        snapshots={"rounds": [6]},
    )
    results = fedsim.run(tree, tmp_path / "run").results
    (finding,) = [one for one in results.findings if one.adversary == TITLE]
    assert finding.columns[-1] == "epsilon >= (one run)"
    server = [row for row in finding.rows if row[0] == "curious-server, participant-0"]
    area = {(row[1], row[2]): row[4] for row in server}
    epsilon = {(row[1], row[2]): row[-1] for row in server}
    assert len(area) == 2 * 3
    assert area["loss", "mislabelled"] > 0.9 > area["loss", "random"] > 0.5  # type: ignore[operator]
    assert epsilon["loss", "mislabelled"] > 0.5 >= epsilon["random", "mislabelled"] == 0  # type: ignore[operator]
    row = next(r for r in results.results if r.key == ("curious-server", "loss", "participant-0"))
    assert row.members + row.nonmembers == 120
    assert row.figures["epsilon-one-run@1e-05"].value > 0


def test_nobody_trains_on_canaries_in_a_null_run(tmp_path: Path) -> None:
    tree = sections(audit={"null": True})
    run = fedsim.run(tree, tmp_path / "run")
    setup = setup_of(tree)
    canaries = kinds_of(setup.ledger) != ""
    assert not any(canaries[records].any() for records in setup.training_sets)
    bounds = [row[-1] for one in run.results.findings if one.adversary == TITLE for row in one.rows]
    assert len(bounds) == 2 * 2 * 3
    assert sum(bound > 0 for bound in bounds) <= 2  # type: ignore[operator, misc]


@pytest.mark.parametrize(
    ("tree", "kind", "told"),
    [
        (sections(["nobody"]), FedsimError, "audit.canaries: there is no 'nobody' among the can"),
        (sections(["random", "random"]), ConfigError, "audit.canaries has 'random' twice"),
        (sections(audit={"unit": "user"}), ConfigError, "audit.canaries are records"),
        (sections(audit={"nonmembers": "others"}), ConfigError, "coins left out; leave it out"),
        (sections(audit={"tested_members": 900}), DataError, "participant 0 has 400 records that"),
        (sections(["test_canaries:Twice"]), PluginError, "places of 0..399, each once"),
        (sections(["test_canaries:Hopeful"]), PluginError, "gave a label outside of 0..3"),
        (
            sections(audit={"known_members": 1, "known_nonmembers": 1, "canaries": ["random"]}),
            DataError,
            "of 2 known canaries, 2 stay in by their coins",
        ),
        (
            sections(
                ["mislabelled"],
                data={"name": "test_canaries:regressed", "test_records": 100},
                partition={"participants": 2, "records": 240},
                adversaries=["curious-server"],
            ),
            DataError,
            "mislabelled canaries need records of two or more classes",
        ),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(
    tree: dict[str, Any], kind: type[FedsimError], told: str
) -> None:
    with pytest.raises(kind, match=told.replace("(", r"\(")) as caught:
        setup_of(tree)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", KINDS)
def test_ours_keep_their_contract(name: str) -> None:
    check_plugin("canaries", name).require()


def test_a_broken_kind_is_found() -> None:
    with pytest.raises(AssertionError, match="each once"):
        check_plugin("canaries", "test_canaries:Twice").require()
