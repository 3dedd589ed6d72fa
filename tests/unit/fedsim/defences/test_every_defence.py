"""What is true of every defence that is registered: none can be forgotten."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import toys
from registered_defences import SETTINGS, TRAINERS, registered, sections_with, with_guarantees

from fedsim.rundir import RunDirectory

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:FutureWarning")
DOES_WHAT_IT_SAYS = {
    "adaptive-clipping": (
        "test_central_dp.test_participants_clip_to_the_norm_that_was_sent_and_say_so",
        "test_central_dp.test_the_noise_on_the_aggregate_is_of_its_size",
    ),
    "clipped-updates": ("test_clipped_updates.test_no_upload_lies_further_than_the_norm",),
    "distributed-dp": (
        "test_secure_aggregation.test_shares_of_noise_are_in_the_sum_as_large_as_central_noise",
    ),
    "dp-sgd": (
        "test_clipping.test_sums_are_those_of_one_record_at_a_time",
        "test_dp_sgd.test_the_noise_has_its_size",
    ),
    "fixed-clipping": (
        "test_composition.test_fixed_clipping_is_a_pair",
        "test_central_dp.test_the_noise_on_the_aggregate_is_of_its_size",
    ),
    "local-dp": ("test_dp_runs.test_the_noise_of_each_participant_is_of_its_size_and_its_own",),
    "mixup": ("test_changed_training.test_mixed_records_and_losses_are_convex_combinations",),
    "perturbed-updates": (
        "test_transformed_updates.test_noise_has_its_standard_deviation_and_is_anothers_in_each_round",
    ),
    "quantized-updates": (
        "test_transformed_updates.test_quantised_entries_are_on_levels_and_right_on_average",
        "test_transformed_updates.test_one_bit_is_the_sign_times_the_mean_magnitude",
    ),
    "random-k": (
        "test_transformed_updates.test_random_k_is_right_on_average_without_feedback_only",
    ),
    "relax-loss": (
        "test_changed_training.test_the_relaxed_loss_descends_ascends_and_flattens",
        "test_changed_training.test_a_relaxed_federation_keeps_its_loss_at_the_level",
    ),
    "secure-aggregation": (
        "test_secure_aggregation.test_sums_are_fedavgs_bit_for_bit_and_no_upload_is_kept",
    ),
    "server-adaptive-clipping": (
        "test_central_dp.test_the_noise_on_the_aggregate_is_of_its_size",
        "test_central_dp.test_the_norm_follows_the_quantile",
    ),
    "server-fixed-clipping": (
        "test_central_dp.test_a_server_clips_every_update_and_takes_one_of_zero",
        "test_central_dp.test_the_noise_on_the_aggregate_is_of_its_size",
    ),
    "top-k": ("test_transformed_updates.test_top_k_keeps_the_largest_entries_as_they_are",),
}
"""By what tests it is measured that a defence does what it says."""


def test_every_defence_is_listed() -> None:
    assert set(SETTINGS) == registered("defences")
    assert set(TRAINERS) == with_guarantees() - registered("defences")
    assert set(DOES_WHAT_IT_SAYS) == {*SETTINGS, *TRAINERS}


@pytest.mark.parametrize("name", DOES_WHAT_IT_SAYS)
def test_by_figures_every_defence_does_what_it_says(name: str) -> None:
    for place in DOES_WHAT_IT_SAYS[name]:
        module, _, test = place.partition(".")
        folder = "training" if module in ("test_dp_sgd", "test_clipping") else "defences"
        path = Path(__file__).parents[1] / folder / f"{module}.py"
        spec = importlib.util.spec_from_file_location(module, path)
        assert spec is not None
        assert spec.loader is not None
        spec.loader.exec_module(found := importlib.util.module_from_spec(spec))
        assert callable(getattr(found, test))


def files(run: RunDirectory) -> dict[str, str]:
    """Return the digests of snapshots, figures and checkpoint: of the accountant, too."""
    return {k: v for k, v in toys.content_of(run).items() if k != "experiment.yaml"}


@pytest.fixture(scope="module")
def undefended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return files(toys.simulated(tmp_path_factory.mktemp("plain"), **SEEN, **PLAIN))


SEEN: dict[str, Any] = {
    "adversaries": ["curious-server", "released-model"],
    "snapshots": {"rounds": [1, 2, 3, 4]},
}
PLAIN: dict[str, Any] = {"federation": {"local": {"batch_size": 10, "learning_rate": 0.1}}}


@pytest.mark.parametrize("name", [*SETTINGS, *TRAINERS])
def test_a_seed_gives_the_same_bits_in_processes_and_after_a_stop(
    name: str, undefended: dict[str, str], tmp_path: Path
) -> None:
    sections = SEEN | PLAIN | sections_with(name, **PLAIN["federation"]["local"])
    whole = files(toys.simulated(tmp_path / "whole", **sections))
    assert len([path for path in whole if path.startswith("snapshots/")]) >= 8
    assert any("checkpoint" in path for path in whole)
    assert files(toys.simulated(tmp_path / "two", engine={"workers": 2}, **sections)) == whole
    with pytest.raises(KeyboardInterrupt):
        toys.simulated(tmp_path / "cut", watcher=toys.Stopping(2), **sections)
    assert files(toys.simulated(tmp_path / "cut", **sections)) == whole
    if name != "secure-aggregation":  # which changes what is shown, and no bit
        assert whole != undefended
