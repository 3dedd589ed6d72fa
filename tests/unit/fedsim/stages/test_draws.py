"""What is drawn before a run: by which seed, and what is said of what is left out or differs."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import toys

from fedsim.config.loading import read_experiment
from fedsim.data import Arrays
from fedsim.errors import FedsimError
from fedsim.progress import Watcher
from fedsim.stages.preparation.setup import Setup
from fedsim.stages.preparation.setup_building import build_setup


@dataclass
class Heard(Watcher):
    """Keeps what is said."""

    said: list[str] = field(default_factory=list)

    def say(self, message: str) -> None:
        self.said.append(message)


def drawn(watcher: Heard | None = None, **sections: object) -> Setup:
    return build_setup(toys.experiment(**sections), None, watcher or Heard())


def split_by_class(records: int = 240) -> Arrays:
    """The toy's data with a test split of their own, and classes in order."""
    arrays = toys.blobs(records)
    order = np.argsort(arrays.labels, kind="stable")
    test = np.arange(records) % 4 == 0
    return Arrays(arrays.features[order], arrays.labels[order], test=test, num_classes=4)


def test_split_and_partition_have_seeds_of_their_own() -> None:
    plain, split = drawn(), drawn(data={"split_seed": 9})
    parted, both = (
        drawn(partition={"seed": 9}),
        drawn(data={"split_seed": 3}, partition={"seed": 3}),
    )
    assert not np.array_equal(split.dataset.test, plain.dataset.test)
    assert np.array_equal(parted.dataset.test, plain.dataset.test)
    assert not np.array_equal(parted.ledger.training_sets[0], plain.ledger.training_sets[0])
    assert np.array_equal(both.ledger.training_sets[0], plain.ledger.training_sets[0])
    model = [setup.new_model().state_dict()["linear1.weight"].sum() for setup in (plain, parted)]
    assert model[0] == model[1]


def test_settings_that_are_not_used_are_not_in_the_resolved_experiment() -> None:
    """Run directories of earlier versions are found by it."""
    text = toys.experiment().resolved()
    for key in ("split_seed", "nonmember_source", "nonmember_classes", "user_score", "unit:"):
        assert key not in text
    assert "seed: 9" in toys.experiment(partition={"seed": 9}).resolved()


def test_a_split_of_the_sources_own_is_told_and_can_be_left_out(monkeypatch) -> None:
    monkeypatch.setattr(toys, "split_by_class", split_by_class, raising=False)
    data = {"name": "toys:split_by_class", "test_records": None}
    heard = Heard()
    setup = drawn(heard, data=data)
    audit = setup.ledger.audit(setup.attackers[0].queries[0])
    count = int(setup.ledger.test[audit.records[~audit.member]].sum())
    assert count
    assert any(
        f"participant-0: {count} of 20 non-members are of the data set's own test split" in said
        for said in heard.said
    )
    quiet = Heard()
    setup = drawn(quiet, data=data, audit={"nonmember_source": "pool"})
    audit = setup.ledger.audit(setup.attackers[0].queries[0])
    assert not setup.ledger.test[audit.records].any()
    assert not any("own test split" in said for said in quiet.said)
    drawn(quiet)  # a split that is drawn at random differs in nothing
    assert not any("own test split" in said for said in quiet.said)


def test_classes_that_a_victim_lacks_are_told_either_way() -> None:
    partition = {
        "name": "PathologicalPartitioner",
        "num_classes_per_partition": 2,
        "class_assignment_mode": "deterministic",
        "participants": 4,
        "records": 40,
    }
    sizes = {"known_members": 5, "known_nonmembers": 5, "tested_members": 5}
    audit = {**sizes, "tested_nonmembers": 10, "nonmembers": "both"}
    heard, loose = Heard(), Heard()
    setup = drawn(heard, partition=partition, audit=audit, adversaries=["curious-server"])
    found = setup.ledger.audit(setup.attackers[0].queries[0])
    trained = set(setup.ledger.labels[setup.ledger.training_sets[0]])
    assert len(trained) == 2
    assert set(setup.ledger.labels[found.records]) <= trained
    assert any("2 classes that no victim trains on are not among" in said for said in heard.said)
    audit["nonmember_classes"] = "any"
    drawn(loose, partition=partition, audit=audit, adversaries=["curious-server"])
    assert any("which the label alone gives away" in said for said in loose.said)


def test_a_loader_that_raises_is_told_with_its_file_and_line(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "broken_loader.py").write_text(
        "def load():\n    table = {}\n    return table['x']\n"
    )
    (tmp_path / "broken_source.py").write_text(
        "class Source:\n    def arrays(self, place):\n        return [1, 2][3]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FedsimError, match=r"KeyError: 'x' \(.*broken_loader.py, line 3\)"):
        drawn(data={"name": "broken_loader:load"})
    with pytest.raises(FedsimError, match=r"IndexError: .* \(.*broken_source.py, line 3\)"):
        drawn(data={"name": "broken_source:Source"})


def test_a_relative_path_is_looked_for_beside_the_experiment(tmp_path: Path) -> None:
    lines = [f"{n},{n % 5},{n % 3}" for n in range(240)]
    (tmp_path / "t.csv").write_text("a,b,label\n" + "\n".join(lines) + "\n")
    experiment = toys.experiment(
        data={"name": "csv", "path": "t.csv", "label": "label", "test_records": 20},
        partition={"participants": 2, "records": 20},
        audit={"known_members": 5, "known_nonmembers": 5, "tested_members": 5}
        | {"tested_nonmembers": 5},
        adversaries=["curious-server"],
    )
    (tmp_path / "e.yaml").write_text(experiment.resolved())
    read = read_experiment(tmp_path / "e.yaml")
    assert read.folder == tmp_path
    assert read == read.beside(None)
    assert len(build_setup(read, None, Heard()).dataset) == len(lines)
    with pytest.raises(FedsimError, match=r"path is t.csv, which is not there: looked for "):
        build_setup(experiment, None, Heard())
