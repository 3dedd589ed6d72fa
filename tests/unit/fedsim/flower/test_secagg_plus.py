"""Flower's SecAgg+ under the app: sums as FedAvg's, and uploads that nobody can read."""

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import toys
import yaml
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.common import bytes_to_ndarray
from flwr.serverapp.strategy import FedAvg, Strategy
from scipy import stats
from torch import nn

from fedsim import api
from fedsim.config.federation import LocalTraining
from fedsim.defences.secure_aggregation import MOST_SUMMED, SecureAggregation
from fedsim.engines.in_process import LocalGrid, local_identity
from fedsim.errors import ConfigError, MessageError
from fedsim.flower import new_client_app, new_server_app
from fedsim.flower.secagg_plus import LEVELS, MOST, STAGE, MaskedGrid
from fedsim.observation.snapshots import SnapshotStore
from fedsim.privacy import FederationFacts
from fedsim.rundir import RunDirectory
from fedsim.transport.messages import CONFIG, ROUND

MASKED = [{"name": "secure-aggregation", "protocol": "secagg+"}]
SUMMED = [{"name": "secure-aggregation"}]
SECTIONS: dict[str, Any] = {
    "partition": {"participants": 3, "records": 40},
    "federation": {"rounds": 2, "evaluation": {"every": 2}},
    "snapshots": {"rounds": [1, 2]},
    "adversaries": ["curious-server", "released-model"],
}
BOUND = 2 * 8.0 / LEVELS
"""How far a round's mean is off at most, of participants with as many records each."""


class Copying(LocalGrid):
    """Sends and returns copies, as a network does, and keeps what participants uploaded."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.returned: list[RecordDict] = []

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Send copies, and keep the replies of training."""
        sent = list(messages)
        for message in sent:
            message.content = copy.deepcopy(message.content)
        replies = super().send_and_receive(sent, timeout=timeout)
        trained = [r for r in replies if r.metadata.message_type == "train"]
        self.returned += [copy.deepcopy(r.content) for r in trained]
        return replies


def run_app(folder: Path, **sections: Any) -> tuple[RunDirectory, Copying]:
    path = folder / "experiment.yaml"
    tree = toys.tree(**SECTIONS, defences=MASKED) | sections
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    grid = Copying(new_client_app(path), 3)
    config: dict[str, Any] = {"out": str(folder / "run"), "data-dir": "", "patience": 0}
    for context in grid._contexts.values():
        context.run_id, context.run_config = 1, config
    with local_identity():
        new_server_app(path)(grid, Context(1, 1, {}, RecordDict(), config))
    return RunDirectory(folder / "run"), grid


def kept(run: RunDirectory, who: str) -> dict[tuple[int, str], np.ndarray]:
    return {
        (s.round, s.key.name): np.concatenate([v.numpy().ravel() for v in s.load().values()])
        for s in SnapshotStore(run.snapshots(who)).index()
    }


def test_sums_are_fedavgs_and_uploads_cannot_be_read(tmp_path: Path) -> None:
    run, grid = run_app(tmp_path)
    exact = toys.simulated(tmp_path / "exact", **SECTIONS, defences=SUMMED)
    for who in ("curious-server", "released-model"):
        ours, theirs = kept(run, who), kept(exact, who)
        assert set(ours) == set(theirs)
        assert {name for _, name in ours} == {"aggregate"}
        first = np.abs(ours[1, "aggregate"] - theirs[1, "aggregate"]).max()
        assert 0 < first <= BOUND
        # What a round begins with is off as well; training may make that a little larger.
        assert np.abs(ours[2, "aggregate"] - theirs[2, "aggregate"]).max() <= 4 * BOUND

    uploads = [c for c in grid.returned if "masked_params" in c.config_records[STAGE]]
    assert len(uploads) == 2 * 3
    assert not [c for c in grid.returned if any(map(len, c.array_records.values()))]
    masked = [
        np.concatenate(
            [bytes_to_ndarray(b).ravel() for b in c.config_records[STAGE]["masked_params"]]
        ).astype(np.float64)
        for c in uploads
    ]
    for values in masked:  # uniform over the modulus, and not related to what was learned
        assert stats.kstest(values / 2**32, "uniform").pvalue > 1e-4
    correlations = np.corrcoef(masked)[~np.eye(len(masked), dtype=bool)]
    assert np.abs(correlations).max() < 5 / np.sqrt(len(masked[0]))


def test_a_participant_does_not_upload_what_is_not_masked(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(toys.tree(**SECTIONS, defences=MASKED), sort_keys=False))
    app = new_client_app(path)
    config: Any = {"out": str(tmp_path / "run"), "data-dir": ""}
    content = RecordDict(
        {
            "arrays": ArrayRecord(toys.new_model().state_dict()),
            CONFIG: ConfigRecord({ROUND: 1, "federation": "honest"}),
        }
    )
    with local_identity(), pytest.raises(MessageError, match="upload that is not masked"):
        app(
            Message(content, dst_node_id=1, message_type="train"),
            Context(1, 1, {"partition-id": 0}, RecordDict(), config),
        )


def test_other_engines_refuse_it_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"protocol secagg\+ is Flower's own, and needs one of"):
        toys.simulated(tmp_path, **SECTIONS, defences=MASKED)


def unread() -> NoReturn:
    raise AssertionError("the data were read")


def test_it_is_refused_before_data_are_read_and_a_run_begins(tmp_path: Path) -> None:
    tree = toys.tree(**SECTIONS, data={"name": f"{__name__}:unread"}, defences=MASKED)
    with pytest.raises(ConfigError, match="needs one of its runtimes"):
        api.run(tree, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("flower")
@pytest.mark.parametrize(
    ("arrays", "nodes", "told"),
    [
        ({"w": np.zeros(3), "seen": np.zeros(1, np.int64)}, 2, "'seen' is none; take a model"),
        ({"w": np.zeros(3)}, 1, "of 2 to 1,024 participants, and the strategy asked 1"),
    ],
)
def test_what_cannot_be_summed_is_one_sentence(
    arrays: dict[str, Any], nodes: int, told: str
) -> None:
    record = ArrayRecord({name: Array(value) for name, value in arrays.items()})
    content = RecordDict({"arrays": record, CONFIG: ConfigRecord({ROUND: 1})})
    grid = MaskedGrid(LocalGrid(lambda *_: None, 2), (1, 2), max_weight=10, clipping_range=8.0)
    asked = [Message(content, dst_node_id=n + 1, message_type="train") for n in range(nodes)]
    with pytest.raises(MessageError, match=told):
        grid.send_and_receive(asked)


@pytest.mark.parametrize(
    ("count", "told"), [(1, "only one trains"), (MOST + 1, r"at most 1,024 .* 1,025 train")]
)
def test_how_many_train_is_refused_before_round_1(count: int, told: str) -> None:
    """With as many as a sum may have, the strategy is wrapped."""
    assert MOST == MOST_SUMMED
    secure = SecureAggregation(protocol="secagg+")
    secure.facts = facts_of(count)
    with pytest.raises(ConfigError, match=told):
        secure.wrap_strategy(FedAvg())
    secure.facts = facts_of(MOST)
    assert isinstance(secure.wrap_strategy(FedAvg()), Strategy)
    SecureAggregation().wrap_strategy(FedAvg())  # the stand-in sums any number


def facts_of(count: int) -> FederationFacts:
    names = frozenset({"weight"})
    return FederationFacts(1, count, count, (10,) * count, names, LocalTraining(), 0)


def test_a_model_with_counters_is_refused_before_round_1(tmp_path: Path) -> None:
    """Before any node is asked who it is, and before a run directory is made."""
    with pytest.raises(ConfigError, match=r"'1.num_batches_tracked' is none; take a model"):
        run_app(tmp_path, model={"name": f"{__name__}:counting"})
    assert not (tmp_path / "run").exists()


def counting() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
