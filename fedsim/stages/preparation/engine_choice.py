"""What an engine's `auto` settings become: the device, stacked training, ways of convolutions.

They decide last digits, so they go by rules, never by the clock, and stand in the resolved
experiment.
"""

from collections.abc import Callable
from dataclasses import replace

from fedsim import devices
from fedsim.config.engine import Engine, RayEngine
from fedsim.errors import ConfigError
from fedsim.models.convolutions import prepare_model
from fedsim.stages.preparation.setup import Setup
from fedsim.training.convolution_choice import convolution_ways
from fedsim.training.vectorized.trainer import required_stack_training, stacking_pays

Say = Callable[[str], None]


def with_device_chosen(setup: Setup, say: Say) -> Setup:
    """Return the setup with the device of its engine resolved.

    Raises
    ------
    ConfigError
        If the device is not here.
    """
    return _with(setup, **_device_settings(setup.experiment.engine, say))


def with_engine_chosen(setup: Setup) -> Setup:
    """Return the setup, whose device is chosen, with the other `auto` settings of its engine.

    Raises
    ------
    ConfigError
        If training cannot be stacked as it is to be.
    """
    engine, participants = setup.experiment.engine, setup.participants
    chosen = stacking_pays(participants) if engine.stacked == "auto" else engine.stacked
    if chosen:
        required_stack_training(participants)
    return _with(setup, stacked=chosen, **_convolution_settings(setup))


def _with(setup: Setup, **settings: object) -> Setup:
    engine = setup.experiment.engine.model_copy(update=settings)
    return replace(setup, experiment=setup.experiment.model_copy(update={"engine": engine}))


def _device_settings(engine: Engine, say: Say) -> dict[str, object]:
    """Return the device of an engine, with `auto` resolved, and in how many processes it is used.

    A process that was forked after its parent used a GPU cannot use it, so on the local engine one
    process does; Ray's are no forks, and several share one.
    """
    if isinstance(engine, RayEngine):
        return {"device": _device_on_ray(engine)}
    device = devices.chosen_device(engine.device)
    if device.type == "cpu":
        return {"device": "cpu"}
    if engine.timeout is not None:
        raise ConfigError(
            f"engine.timeout has participants run in forked processes, which cannot use {device}; "
            "leave engine.timeout out, or set engine.device to cpu"
        )
    if engine.workers > 1:
        say(
            f"engine.workers is {engine.workers}, but one process computes on {device}; with "
            "engine: {name: ray, gpus: 0.5} two would share it"
        )
    return {"device": str(device), "workers": 1}


def _device_on_ray(engine: RayEngine) -> str:
    """Return where the processes of a cluster compute: each sees the GPUs that it takes.

    This process, which evaluates and attacks, computes on the same type of device.
    """
    if engine.device == "auto":
        return devices.chosen_device("auto").type if engine.gpus else "cpu"
    if engine.device != "cpu" and not engine.gpus:
        raise ConfigError(
            f"engine.device is {engine.device!r}, but engine.gpus is 0, and Ray hides GPUs from "
            "processes that take none; set engine.gpus to 1, or to a share such as 0.5"
        )
    if ":" in engine.device:
        raise ConfigError(
            f"engine.device is {engine.device!r}, but Ray chooses which GPU a process takes; set "
            f"engine.device to {engine.device.partition(':')[0]!r}"
        )
    devices.chosen_device(engine.device)
    return engine.device


def _convolution_settings(setup: Setup) -> dict[str, object]:
    """Return the convolution settings of an engine, with `auto` resolved.

    The rules are those of a CPU; on other devices `auto` leaves the convolutions to PyTorch.
    """
    engine = setup.experiment.engine
    small, channels_last = engine.small_convolutions, engine.channels_last
    if small != "auto":
        prepare_model(setup.new_model, small, channels_last=False)  # refuses what it cannot do
    if "auto" in (small, channels_last):
        by_rule_of_cpu = setup.experiment.given is None and engine.device == "cpu"
        by_rule = convolution_ways(setup.participants) if by_rule_of_cpu else ((), False)
        small = by_rule[0] if small == "auto" else small
        channels_last = by_rule[1] if channels_last == "auto" else channels_last
    return {"small_convolutions": small, "channels_last": channels_last}


def report_device_memory(setup: Setup, say: Say) -> None:
    """Report the memory of the device that a trial batch took, if PyTorch says."""
    device = setup.device
    peak, whole = devices.peak_memory(device), devices.whole_memory(device)
    if peak is not None and whole is not None:
        say(
            f"computing on {device}: local training takes {peak / 1e9:.2f} GB of its "
            f"{whole / 1e9:.0f} GB, the records included"
        )
