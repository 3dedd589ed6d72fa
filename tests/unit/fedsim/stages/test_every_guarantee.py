"""Every guarantee that is registered, against attacks of every kind, where records must leak.

Under an epsilon of 1 no attack's interval lies above .5 without lying below its ceiling; under one
of 1,000 the leak is back.
"""

from pathlib import Path
from typing import Any

import pytest
from registered_defences import TRAINERS, with_guarantees
from test_ceilings import STRONG, WEAK, attacked

from fedsim.privacy.guarantee import Ceiling
from fedsim.report.result_schema import ResultRow
from fedsim.report.results import Results

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:FutureWarning"),
]
SERVER = ["curious-server"]
OTHERS = [{"name": "curious-participant", "participant": 2}, "released-model"]
AGAINST: dict[str, list[Any]] = {
    "adaptive-clipping": OTHERS,
    "distributed-dp": SERVER + OTHERS,
    "dp-sgd": SERVER,
    "fixed-clipping": OTHERS,
    "local-dp": SERVER,
    "server-adaptive-clipping": OTHERS,
    "server-fixed-clipping": OTHERS,
}
"""The adversaries that a guarantee is to bind."""
ATTACKS = ["loss", "gradient-norm", "scalar-logistic", "label", "random"]
ON_UPLOADS = ["gradient-alignment", "fedmia"]


def test_every_guarantee_is_listed() -> None:
    assert set(AGAINST) == with_guarantees()


def rows(results: Results) -> list[ResultRow]:
    """Return the rows of single victims, or of all together."""
    return [row for row in results.results if row.victim != "mean"]


def defended(name: str | None, noise: float, path: Path) -> Results:
    adversaries = AGAINST[name] if name else SERVER + OTHERS
    attacks = ATTACKS + ON_UPLOADS * (adversaries == SERVER)
    sections: dict[str, Any] = {"adversaries": adversaries, "attacks": attacks}
    if name in TRAINERS:
        trainer = {"name": name, "noise_multiplier": noise, "clip_norm": 0.1}
        local = {"batch_size": 100, "learning_rate": 50.0, "trainer": trainer}
        sections["federation"] = {"rounds": 1, "local": local, "evaluation": {"every": 1}}
    elif name:
        settings = {"clipping_norm": 0.5, "noise_multiplier": noise}
        sections["defences"] = [{"name": name, **settings}]
    return attacked(path, **sections)


def best(found: list[ResultRow]) -> dict[str, float]:
    """Return the largest AUC of each adversary."""
    return {
        who: max(row.auc.value for row in found if row.adversary == who)
        for who in {row.adversary for row in found}
    }


def test_without_a_defence_every_position_knows(tmp_path: Path) -> None:
    assert min(best(rows(defended(None, 0.0, tmp_path))).values()) > 0.99


@pytest.mark.parametrize("name", AGAINST)
def test_no_attack_is_better_than_an_epsilon_of_1_allows(name: str, tmp_path: Path) -> None:
    results = defended(name, STRONG, tmp_path)
    assert results.self_check == ()
    [guaranteed] = results.guarantees
    assert guaranteed.epsilon == pytest.approx(1.15, abs=0.2)
    found = rows(results)
    assert len({row.attack for row in found}) >= len(ATTACKS)
    for row in found:
        assert row.ceiling is not None
        ceiling = Ceiling(row.ceiling.epsilon, row.ceiling.delta).auc
        assert row.auc.low <= 0.5 or row.auc.high <= ceiling


@pytest.mark.parametrize("name", AGAINST)
def test_with_an_epsilon_of_1000_the_leak_is_back(name: str, tmp_path: Path) -> None:
    results = defended(name, WEAK, tmp_path)
    assert results.self_check == ()
    assert results.guarantees[0].epsilon == pytest.approx(1000, rel=0.6)
    assert min(best(rows(results)).values()) > 0.99
