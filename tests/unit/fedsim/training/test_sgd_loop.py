"""Local training is the plain PyTorch loop, bit for bit."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.clientapp.typing import Mod
from torch import nn
from torch.nn import functional
from toys import dataset, new_model, train_locally, training_sets

from fedsim import plugins, seeds
from fedsim.config.choice import Choice
from fedsim.config.federation import LocalTraining
from fedsim.errors import PluginError
from fedsim.federation.client_app import OPTIMIZER_STATE, Participants, make_client_app, sampled
from fedsim.objectives import Classification
from fedsim.training.optimizers import optimizer_factory, optimizer_tensors, restore_optimizer
from fedsim.training.sgd_loop import evaluate

DATA = dataset()
SETS = training_sets(DATA)


def by_hand(
    local: LocalTraining,
    new_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    participant: int,
    received: list[dict[str, torch.Tensor]],
) -> list[dict[str, torch.Tensor]]:
    """Return what a participant uploads in each round, one optimiser living through all."""
    model = new_model()
    optimizer = new_optimizer(model)
    uploads = []
    for round_number, state in enumerate(received, start=1):
        model.load_state_dict(state)
        for group in optimizer.param_groups:
            group["lr"] = local.learning_rate_in(round_number)
        order = seeds.generator(3, "batches", round_number, participant)
        model.train()
        for _ in range(local.epochs):
            shuffled = order.permutation(SETS[participant])
            for batch in np.split(
                shuffled, range(local.batch_size, len(shuffled), local.batch_size)
            ):
                loss = functional.cross_entropy(
                    model(torch.from_numpy(DATA.features[batch])),
                    torch.from_numpy(DATA.labels[batch]),
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        uploads.append({k: v.clone() for k, v in model.state_dict().items()})
    return uploads


def by_client_app(
    local: LocalTraining, participant: int, received: list[dict[str, torch.Tensor]]
) -> tuple[list[dict[str, torch.Tensor]], Context]:
    """Return what the ClientApp uploads in each round, with nothing but its context kept."""
    context = Context(
        run_id=1,
        node_id=2,
        node_config={"partition-id": participant},
        state=RecordDict(),
        run_config={},
    )
    uploads = []
    for round_number, state in enumerate(received, start=1):
        app = make_client_app(Participants(DATA, SETS, new_model, local, None, 3))
        content = RecordDict(
            {
                "arrays": ArrayRecord(state),
                "config": ConfigRecord({"server-round": round_number}),
            }
        )
        reply = app(Message(content, 2, MessageType.TRAIN), context)
        uploads.append(next(iter(reply.content.array_records.values())).to_torch_state_dict())
        metrics = next(iter(reply.content.metric_records.values()))
        assert metrics["num-examples"] == len(SETS[participant]) * local.epochs
    return uploads, context


def received(rounds: int) -> list[dict[str, torch.Tensor]]:
    """Return the parameters sent in each round: the initial ones, shifted a little."""
    initial = new_model().state_dict()
    return [{k: v + 0.01 * number for k, v in initial.items()} for number in range(rounds)]


def plain(kind: type[torch.optim.Optimizer], **settings: Any) -> Callable[[nn.Module], Any]:
    return lambda model: kind(model.parameters(), lr=0.1, fused=True, **settings)


@pytest.mark.usefixtures("flower")
@pytest.mark.parametrize(
    ("optimizer", "new_optimizer"),
    [
        (Choice(name="sgd"), plain(torch.optim.SGD, momentum=0.9)),
        (
            Choice(name="sgd", momentum=0.8, weight_decay=1e-3, nesterov=True),
            plain(torch.optim.SGD, momentum=0.8, weight_decay=1e-3, nesterov=True),
        ),
        (Choice(name="sgd", momentum=0.0), plain(torch.optim.SGD)),
        (Choice(name="adam", beta1=0.8), plain(torch.optim.Adam, betas=(0.8, 0.999))),
        (Choice(name="adamw"), plain(torch.optim.AdamW, weight_decay=0.01)),
    ],
    ids=["sgd", "nesterov", "plain-sgd", "adam", "adamw"],
)
def test_training_equals_the_loop_written_by_hand(
    optimizer: Choice, new_optimizer: Callable[[nn.Module], torch.optim.Optimizer]
) -> None:
    local = LocalTraining(
        epochs=2, batch_size=16, optimizer=optimizer, learning_rate=0.05, schedule={2: 0.02, 4: 0.3}
    )
    uploads, _ = by_client_app(local, 1, received(4))
    for ours, theirs in zip(uploads, by_hand(local, new_optimizer, 1, received(4)), strict=True):
        assert list(ours) == list(theirs)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.usefixtures("flower")
def test_the_optimiser_may_start_anew_in_each_round() -> None:
    kept = LocalTraining(batch_size=16, learning_rate=0.05)
    anew = kept.model_copy(update={"keep_optimizer_state": False})
    first, second = received(2)
    with_state, _ = by_client_app(kept, 0, [first, second])
    without, context = by_client_app(anew, 0, [first, second])
    assert OPTIMIZER_STATE not in context.state
    assert torch.equal(with_state[0]["linear1.weight"], without[0]["linear1.weight"])
    assert not torch.equal(with_state[1]["linear1.weight"], without[1]["linear1.weight"])
    fresh = _round_two(anew, second)
    assert all(torch.equal(without[1][name], fresh[name]) for name in fresh)


def _round_two(local: LocalTraining, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    model = new_model()
    model.load_state_dict(state)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, 0.9, fused=True)
    train_locally(model, optimizer, SETS[0], local, (3, 2, 0))
    return model.state_dict()


@pytest.mark.usefixtures("flower")
def test_bf16_trains_close_to_fp32_and_keeps_fp32_parameters() -> None:
    full = LocalTraining(batch_size=16, learning_rate=0.05)
    half = full.model_copy(update={"precision": "bf16"})
    [exact], _ = by_client_app(full, 0, received(1))
    [rounded], _ = by_client_app(half, 0, received(1))
    moved = (exact["linear1.weight"] - received(1)[0]["linear1.weight"]).norm()
    apart = (exact["linear1.weight"] - rounded["linear1.weight"]).norm()
    assert rounded["linear1.weight"].dtype == torch.float32
    assert 0 < apart < 0.1 * moved


def test_the_utility_of_training_is_over_its_passes() -> None:
    model = new_model()
    frozen = torch.optim.SGD(model.parameters(), lr=0.0)
    local = LocalTraining(epochs=3, batch_size=7)
    during = train_locally(model, frozen, SETS[2], local, (3, 1, 2))
    after = evaluate(model, DATA, SETS[2], Classification())
    assert during["loss"] == pytest.approx(after.loss, rel=1e-6)
    assert during["accuracy"] == after.term


def test_evaluation_is_the_mean_over_records_and_leaves_the_model_alone() -> None:
    model = new_model()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    inputs, labels = DATA.batch(DATA.test_records)
    utility = evaluate(model, DATA, DATA.test_records, Classification())
    with torch.no_grad():
        outputs = model(inputs)
    assert utility.loss == pytest.approx(functional.cross_entropy(outputs, labels).item())
    assert utility.term == (outputs.argmax(1) == labels).double().mean().item()
    assert utility.records == 60
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


@pytest.mark.parametrize("name", plugins.available("optimizers"))
def test_an_optimisers_state_survives_as_arrays(name: str) -> None:
    model = new_model()
    optimizer = optimizer_factory(name, {})(model.parameters(), 0.1)
    model(torch.ones(2, 12)).sum().backward()
    optimizer.step()
    other = optimizer_factory(name, {})(model.parameters(), 0.2)
    restore_optimizer(other, optimizer_tensors(optimizer))
    one, two = optimizer.state_dict()["state"], other.state_dict()["state"]
    assert one.keys() == two.keys() == {0, 1, 2, 3}
    for number, buffers in one.items():
        assert buffers.keys() == two[number].keys()
        for key, value in buffers.items():
            assert torch.equal(value, two[number][key])
            assert value.shape == two[number][key].shape
    assert other.param_groups[0]["lr"] == 0.2


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, {}) for name in plugins.available("optimizers")),
        ("sgd", {"momentum": 0.0}),
        ("sgd", {"momentum": 0.0, "weight_decay": 0.1}),
        ("sgd", {"momentum": 0.5, "nesterov": True}),
        ("adam", {"beta1": 0.0}),
    ],
)
def test_that_an_optimiser_remembers_is_stated_as_it_is(name: str, settings: Any) -> None:
    model, factory = new_model(), optimizer_factory(name, settings)
    optimizer = factory(model.parameters(), 0.1)
    model(torch.ones(2, 12)).sum().backward()
    optimizer.step()
    assert factory.remembers == bool(optimizer_tensors(optimizer))


def test_a_class_of_torch_is_an_optimiser() -> None:
    models = [new_model() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    factory = optimizer_factory("torch.optim:RMSprop", {"alpha": 0.5})
    rules = [
        factory(models[0].parameters(), 0.1),
        torch.optim.RMSprop(models[1].parameters(), lr=0.1, alpha=0.5),
    ]
    for model, rule in zip(models, rules, strict=True):
        model(torch.ones(2, 12)).sum().backward()
        rule.step()
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(PluginError, match="unknown setting 'lr'; valid: alpha, "):
        optimizer_factory("torch.optim:RMSprop", {"lr": 0.5})
    with pytest.raises(PluginError, match="gave a Fraction; it must be a class of optimisers"):
        optimizer_factory("fractions:Fraction", {})


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize(
    ("optimizer", "keeps"),
    [
        (Choice(name="sgd", momentum=0.0, weight_decay=0.1), False),
        (Choice(name="sgd"), True),
        (Choice(name="adam"), True),
        (Choice(name="adamw"), True),
    ],
)
def test_participants_keep_what_their_optimiser_remembers(
    optimizer: Choice, keeps: bool, stacked: bool
) -> None:
    def forgets(mods: Sequence[Mod] = (), **settings: Any) -> bool:
        local = LocalTraining(optimizer=optimizer, **settings)
        members = Participants(DATA, SETS, new_model, local, None, 0)
        return make_client_app(members, mods, stacked=stacked).forgets

    assert forgets() == (not keeps)
    assert forgets(keep_optimizer_state=False)
    assert not forgets([lambda message, context, call_next: call_next(message, context)])


def test_a_wrong_optimiser_is_one_sentence() -> None:
    with pytest.raises(PluginError, match="no 'lion' among the optimizers; valid: adam, "):
        optimizer_factory("lion", {})
    with pytest.raises(PluginError, match="sgd: unknown setting 'beta1'; valid: momentum, nest"):
        optimizer_factory("sgd", {"beta1": 0.9})


def test_evaluated_records_are_a_fixed_sample() -> None:
    records = np.arange(100, 200)
    chosen = sampled(records, 10, 3, 0)
    assert chosen.tolist() == sampled(records, 10, 3, 0).tolist() == sorted(set(chosen.tolist()))
    assert len(chosen) == 10
    assert set(chosen.tolist()) <= set(records.tolist())
    assert chosen.tolist() != sampled(records, 10, 3, 1).tolist()
    assert sampled(records, 100, 3, 0) is records
    assert sampled(records, None, 3, 0) is records
