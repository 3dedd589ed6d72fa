"""Defences together: order, halves, what is hidden, who is not bound, and the pair of Flower's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import toys
from flwr.app import Context, Message
from flwr.clientapp.typing import Mod
from flwr.serverapp.strategy import FedAvg, Strategy

from fedsim.config.choice import LabelledChoice
from fedsim.config.federation import LocalTraining
from fedsim.defences import Defence, FederationFacts, Guarantee, Half, Hidden
from fedsim.defences.composition import build_defences, mods_of, wrapped_strategy
from fedsim.errors import ConfigError, FedsimError, PluginError
from fedsim.federation.strategies import build_strategy
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshots import SnapshotStore
from fedsim.progress import SILENCE
from fedsim.stages.preparation.plan import plan
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.training.sgd import SGD
from fedsim.training.trainer import LocalTrainer

FACTS = FederationFacts(4, 3, 3, (40, 30, 20), frozenset({"w"}), LocalTraining(), 3)
PASSED: list[str] = []


class Noted(Defence):
    """Notes what passes its mod, and wraps the strategy in a class that says its name."""

    halves: ClassVar[frozenset[Half]] = frozenset({"participants", "server"})

    def __init__(self, name: str = "a") -> None:
        self.name = name

    def in_words(self) -> str:
        return f"it notes {self.name}"

    def client_mods(self) -> Sequence[Mod]:
        return (self.mod,)

    def mod(self, message: Message, context: Context, call_next: Any) -> Message:
        PASSED.append(self.name)
        return call_next(message, context)  # type: ignore[no-any-return]

    def wrap_strategy(self, strategy: Strategy) -> Strategy:
        strategy.__dict__.setdefault("order", []).append(self.name)
        return strategy

    def guarantee(self, facts: FederationFacts) -> Guarantee | None:
        return Guarantee(8.0, 1e-5, "participant", ("server",), (f"{facts.rounds} rounds",))


class HalfOnly(Noted):
    """It says that the server must act, and has nothing for it."""

    wrap_strategy = Defence.wrap_strategy


class NoMods(Noted):
    """It says that participants must act, and has nothing for it."""

    client_mods = Defence.client_mods


class Idle(Defence):
    """It does nothing at all."""

    def in_words(self) -> str:
        return "nothing"


class SumsOnly(Noted):
    """The server sees sums only."""

    def hides(self) -> tuple[Hidden, ...]:
        kinds = frozenset({SnapshotKind.UPLOAD})
        return (Hidden("server", kinds, "it sees the sum of all uploads only"),)


class Untrained(Defence):
    """Participants do not train."""

    halves: ClassVar[frozenset[Half]] = frozenset({"participants"})

    def in_words(self) -> str:
        return "participants do nothing in training"

    def wrap_trainer(self, trainer: LocalTrainer) -> LocalTrainer:
        return Nothing()


class Nothing(SGD):
    """It trains with no step."""

    def fit(self, model: Any, batches: Any, state: Any, generator: Any, device: Any) -> Any:
        before = {name: value.clone() for name, value in model.state_dict().items()}
        figures = super().fit(model, batches, state, generator, device)
        model.load_state_dict(before)
        return figures


def choice(kind: str, **settings: Any) -> LabelledChoice:
    return LabelledChoice(name=f"test_composition:{kind}", **settings)


@pytest.mark.usefixtures("flower")
def test_an_update_passes_the_first_defence_first() -> None:
    chosen = [LabelledChoice(name="test_composition:Noted", label=n) for n in ("one", "two")]
    defences = build_defences(chosen, FACTS)
    assert list(defences) == ["one", "two"]
    for name, defence in defences.items():
        assert isinstance(defence, Noted)
        defence.name = name
        assert defence.facts is not None
        assert defence.facts.records == FACTS.records
    later = [d.facts.later for d in defences.values() if d.facts]
    assert later == [("two",), ()]
    PASSED.clear()
    toys.Federation(mods=mods_of(tuple(defences.values())), rounds=1, participants=1).run()
    # A message from the server passes the outermost first; a reply comes back the other way round.
    assert PASSED[-2:] == ["two", "one"]
    strategy = wrapped_strategy(defences.values(), FedAvg())
    assert vars(strategy)["order"] == ["one", "two"]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("HalfOnly", "defence HalfOnly is a half: it says that the server must act, and has no st"),
        ("NoMods", "is a half: it says that the participants must act, and has no client mod or"),
        ("Idle", "defence Idle does nothing: it has no client mods, and wraps neither strategy"),
        ("FACTS", "is a FederationFacts, not a callable"),
    ],
)
def test_a_half_is_refused(kind: str, told: str) -> None:
    with pytest.raises(PluginError, match=told):
        build_defences([choice(kind)], FACTS)


def test_what_is_no_defence_is_refused() -> None:
    with pytest.raises(PluginError, match="gave a FedAvg; a plugin of group defences must derive"):
        build_defences([LabelledChoice(name="flwr.serverapp.strategy:FedAvg")], FACTS)


def test_a_position_that_needs_what_is_hidden_is_refused_before_round_1() -> None:
    hidden = [{"name": "test_composition:SumsOnly"}]
    acting = {"name": "isolating-server", "first": 3}
    with pytest.raises(ConfigError) as error:
        build_setup(toys.experiment(defences=hidden, adversaries=[acting]), None, SILENCE)
    assert str(error.value) == (
        "isolating-server needs the upload of participant 0, which the defence SumsOnly hides from "
        "it: it sees the sum of all uploads only; take another adversary, or leave the defence out"
    )
    others = [{"name": "curious-participant", "participant": 2}, "released-model"]
    assert build_setup(toys.experiment(defences=hidden, adversaries=others), None, SILENCE)


def test_defences_are_in_the_plan_in_words() -> None:
    chosen = [{"name": "test_composition:Noted"}, {"name": "clipped-updates", "max_norm": 2}]
    setup = build_setup(toys.experiment(defences=chosen), None, SILENCE)
    assert plan(setup).defences == (
        (
            "Noted",
            "it notes a; (8, 1e-05)-differential privacy of a participant against the server, if "
            "4 rounds",
        ),
        (
            "clipped-updates",
            "participants shorten updates that are longer than 2; no guarantee of differential "
            "privacy",
        ),
    )


def test_a_defence_may_change_the_local_training(tmp_path: Path) -> None:
    idle = [{"name": "test_composition:Untrained"}]
    run = toys.simulated(tmp_path, defences=idle, snapshots={"rounds": [4]})
    kept = max(SnapshotStore(run.snapshots("curious-server")).index(), key=lambda s: s.round)
    for name, value in toys.new_model().state_dict().items():
        np.testing.assert_allclose(kept.load()[name].numpy(), value.numpy(), atol=1e-6)
    stacked = toys.experiment(defences=idle, engine={"stacked": True})
    with pytest.raises(ConfigError, match="cannot be stacked: a defence wraps its local trainer"):
        build_setup(stacked, None, SILENCE)


def test_a_dishonest_participant_that_acts_is_not_bound(tmp_path: Path) -> None:
    active = {"name": "gradient-ascent-participant", "participant": 1, "first": 3, "drop": None}
    active["rate"] = 10.0
    run = toys.simulated(
        tmp_path,
        defences=[{"name": "clipped-updates", "max_norm": 1e-3}],
        adversaries=["curious-server", active],
        snapshots={"rounds": [1, 2, 3, 4]},
    )
    # Three clipped updates cannot move their mean further than the norm; the ascent can.
    kept = {
        s.round: s.load()
        for s in SnapshotStore(run.snapshots("gradient-ascent-participant")).index()
        if s.key.kind is SnapshotKind.AGGREGATE
    }

    def moved(number: int) -> float:
        parts = [(kept[number][n] - kept[number - 1][n]).double() for n in kept[number]]
        return float(sum(part.square().sum() for part in parts) ** 0.5)

    assert moved(2) <= 1.001e-3
    assert moved(3) > 2e-3


@pytest.mark.parametrize("kind", ["Fixed", "Adaptive"])
def test_the_server_half_of_a_defence_of_flowers_is_refused(kind: str) -> None:
    name = f"DifferentialPrivacyClientSide{kind}Clipping"
    with pytest.raises(ConfigError, match=r"is the server's half of a defence: without the other"):
        build_strategy(name, {"strategy": "FedAvg"}, 3)


def test_fixed_clipping_is_a_pair(tmp_path: Path) -> None:
    """With a clip of 1e-6 and no noise nothing is learned; with noise the aggregate has it."""

    def aggregate(name: str, **settings: Any) -> dict[str, Any]:
        run = toys.simulated(
            tmp_path / name,
            defences=[{"name": "fixed-clipping", **settings}],
            adversaries=["released-model"],
            snapshots={"rounds": [1]},
        )
        [kept] = [s for s in SnapshotStore(run.snapshots("released-model")).index() if s.round == 1]
        return {key: value.numpy() for key, value in kept.load().items()}

    start = {key: value.numpy() for key, value in toys.new_model().state_dict().items()}
    still = aggregate("still", clipping_norm=1e-6, noise_multiplier=0.0)
    assert all(np.abs(still[key] - value).max() < 2e-6 for key, value in start.items())
    noisy = aggregate("noisy", clipping_norm=0.3, noise_multiplier=100.0)
    noise = np.concatenate([(noisy[key] - value).ravel() for key, value in start.items()])
    # Deviation: multiplier times norm over the three that train; 276 draws are within 20 %.
    assert noise.std() == pytest.approx(100 * 0.3 / 3, rel=0.2)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"clipping_norm": 0.0, "noise_multiplier": 1.0}, "'clipping_norm' is 0"),
        ({"clipping_norm": 1.0, "noise_multiplier": -1.0}, "noise_multiplier"),
        ({"clipping_norm": 1.0}, "setting 'noise_multiplier' is missing"),
        ({"clipping_norm": 1.0, "noise_multiplier": 1.0, "sampled": 0}, "sampled"),
    ],
)
def test_wrong_settings_are_one_sentence(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(FedsimError, match=told):
        build_defences([LabelledChoice(name="fixed-clipping", **settings)], FACTS)
