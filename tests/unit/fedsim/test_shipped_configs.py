"""Every experiment that we ship is valid, and large enough for the figures that it asks for."""

from pathlib import Path

import pytest

from fedsim.config.experiment import Experiment, load_experiment, parse_experiment

CONFIGS = sorted((Path(__file__).parents[3] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_it_is_valid_and_resolves_to_itself(path: Path) -> None:
    experiment = load_experiment(path)
    again = parse_experiment(experiment.model_dump(mode="json"), str(path))
    assert isinstance(experiment, Experiment)
    assert again.resolved() == experiment.resolved()
    assert experiment.observed_rounds[-1] == experiment.federation.rounds


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_its_audit_supports_the_low_fprs_or_is_small_on_purpose(path: Path) -> None:
    experiment = load_experiment(path)
    small = "location30"  # it has 5,010 records
    assert experiment.audit.tested_nonmembers >= 1000 or experiment.data.name == small


def test_the_quickstart_needs_no_network_and_shows_all_six() -> None:
    path = next(path for path in CONFIGS if path.stem == "quickstart")
    assert load_experiment(path).data.name.startswith("synthetic-")
    assert [attacker.label for attacker in load_experiment(path, ["seed=1"]).adversaries] == [
        "curious-server",
        "isolating-server",
        "gradient-ascent-server",
        "isolating-ascent-server",
        "curious-participant",
        "gradient-ascent-participant",
    ]
