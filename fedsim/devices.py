"""Which device tensors are computed on, and what makes equal seeds give equal numbers there.

Initial parameters and all draws are made on the CPU, so that a federation starts alike everywhere;
a layer that draws by itself (Dropout) does so on the device, whose generator is seeded for it.
"""

import os

import torch

from fedsim.errors import ConfigError, listed

CPU = torch.device("cpu")


def chosen_device(name: str) -> torch.device:
    """Return the device that ``engine.device`` names, with its number.

    Parameters
    ----------
    name
        ``auto`` is the first CUDA device, and the CPU where there is none: a device without double
        precision, such as Apple's ``mps``, is used by name only. ``cpu``, ``cuda``, ``cuda:1``, or
        any other device that PyTorch knows.

    Raises
    ------
    ConfigError
        If PyTorch sees no such device here; the sentence names those that it sees.
    """
    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else CPU
    there = devices_there()
    kind, _, number = name.partition(":")
    counted = f"{kind}:{number or 0}"
    if kind == "cpu" and not number:
        return CPU
    if counted not in there:
        raise ConfigError(
            f"engine.device is {name!r}, but PyTorch {torch.__version__} sees no such device here; "
            f"valid: auto, {listed(['cpu', *there])}"
        )
    return torch.device(counted)


def devices_there() -> list[str]:
    """Return the devices beside the CPU that PyTorch sees here, such as ``cuda:0``."""
    if not torch.accelerator.is_available():
        return []
    kind = torch.accelerator.current_accelerator()
    return [f"{kind}:{number}" for number in range(torch.accelerator.device_count())]


def prepare(device: torch.device) -> None:
    """Have PyTorch compute alike in each run on a device; the CPU needs nothing.

    Products of float32 are computed in float32: cuDNN would round them to the 10 bits of TF32.
    """
    if device.type != "cuda":
        return
    # cuBLAS reads it when it is first used.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def seed_draws(device: torch.device, value: int) -> None:
    """Seed the generator that layers such as Dropout draw from on a device other than the CPU."""
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(value)


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that are free on a device; None where PyTorch cannot say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return None


def whole_memory(device: torch.device) -> int | None:
    """Return the bytes of a device's memory; None where PyTorch cannot say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    return None


def forget_peak(device: torch.device) -> None:
    """Start measuring `peak_memory` anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> int | None:
    """Return the most bytes that tensors took on a device since `forget_peak`; None if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that the memory of a device is not enough."""
    return isinstance(error, torch.OutOfMemoryError)
