"""Accountants and `dp-sgd` without the packages that they need, and the refusals of `dp-sgd`."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

from fedsim.errors import ConfigError
from fedsim.objectives import Classification
from fedsim.privacy import Accountant, Release, accountants
from fedsim.training.dp_sgd import DPSGD, _Sums
from fedsim.training.trainer import TrainerState

DELTA = 1e-5


@pytest.mark.parametrize(
    ("accountant", "package", "sentence"),
    [
        (
            "rdp",
            "opacus.accountants",
            "the accountant of Opacus is not installed; pip install fedsim[dp]",
        ),
        (
            "pld",
            "dp_accounting",
            "accountant pld needs dp-accounting, which is not installed; pip install "
            "fedsim[accounting]",
        ),
    ],
)
def test_a_package_that_is_not_installed(
    accountant: str, package: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # importing it then raises ImportError
    with pytest.raises(ConfigError) as found:
        accountants._ACCOUNTANTS[accountant]((Release(1.0),), DELTA)
    assert str(found.value) == sentence


def test_the_trainer_without_opacus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opacus.optimizers", None)
    with pytest.raises(ConfigError) as found:
        DPSGD()
    assert str(found.value) == (
        "federation.local.trainer dp-sgd needs Opacus, which is not installed; pip install "
        "fedsim[dp]"
    )


class RecordingAccountant:
    """Keeps what is composed; stands in for dp-accounting, which may not be installed."""

    composed: ClassVar[list[tuple[Any, int]]] = []

    def compose(self, event: Any, count: int) -> None:
        self.composed.append((event, count))

    def get_epsilon(self, delta: float) -> float:
        return -1e-12 if delta == DELTA else delta


def test_what_pld_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    package, module = ModuleType("dp_accounting"), ModuleType("dp_accounting.pld")
    vars(package).update(
        GaussianDpEvent=lambda noise: ("gaussian", noise),
        PoissonSampledDpEvent=lambda rate, event: ("sampled", rate, event),
    )
    vars(module).update(PLDAccountant=RecordingAccountant)
    monkeypatch.setitem(sys.modules, "dp_accounting", package)
    monkeypatch.setitem(sys.modules, "dp_accounting.pld", module)
    RecordingAccountant.composed.clear()
    releases = (Release(3.0, 0.125, 7), Release(5.0, 1.0, 2), Release(1.0, 1.0, 0))
    accountant: Accountant = "pld"
    # Slightly below 0, as numerical accountants return it, is 0.
    assert accountants.total_epsilon(releases, DELTA, accountant) == 0.0
    assert RecordingAccountant.composed == [
        (("sampled", 0.125, ("gaussian", 3.0)), 7),
        (("gaussian", 5.0), 2),
    ]
    assert accountants._pld(releases, 0.25) == 0.25


def test_a_proximal_term_is_refused() -> None:
    batches: Any = SimpleNamespace(proximal=0.1)
    with pytest.raises(ConfigError) as found:
        DPSGD().fit(
            torch.nn.Linear(2, 2), batches, TrainerState(), torch.Generator(), torch.device("cpu")
        )
    assert str(found.value) == (
        "federation.local.trainer dp-sgd has no proximal term; use another strategy than FedProx"
    )


def test_figures_of_nobody_are_none() -> None:
    sums = _Sums()
    assert sums.means("accuracy") == {}
    outputs = torch.tensor([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0]])
    sums.add(Classification(), torch.tensor(0.5), outputs, torch.tensor([0, 0, 1]))
    sums.add(Classification(), torch.tensor(1.5), outputs[:1], torch.tensor([0]))
    assert sums.means("accuracy") == {"loss": 0.75, "accuracy": 0.75}
