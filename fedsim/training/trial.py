"""A trial before round 1: a model that cannot be trained as configured is refused here."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from fedsim import devices, seeds
from fedsim.errors import ConfigError, FedsimError, PluginError, plural, shown
from fedsim.training.client_tasks import Participants
from fedsim.training.trainer import RecordIds, TrainerState

SHOWN = 300  # characters of another library's message
NO_MEMORY = "can't allocate memory"  # so does its allocator
ONE_RECORD = "Expected more than 1 value per channel"  # so PyTorch's normalisations complain


def require_training(
    participants: Participants, model_name: str, settings: Mapping[str, object]
) -> None:
    """Raise unless model, objective and trainer fit each other: nothing is trained for it.

    Raises
    ------
    ConfigError, PluginError
        The sentence says what would be valid.
    """
    model, local = participants.new_model(), participants.local
    participants.new_trainer().require_fit(participants.objective, local)
    smallest = min(len(own) for own in participants.training_records if len(own))
    if local.drop_last and smallest < local.batch_size:
        raise ConfigError(
            "federation.local.drop_last leaves nothing of a participant with "
            f"{plural(smallest, 'record')}, as batch_size is {local.batch_size}; set batch_size to "
            f"{smallest} or less"
        )
    inputs, targets = participants.dataset.batch(_first(participants, 2))
    model.eval()
    takes = f"does not take records of shape {tuple(inputs.shape[1:])}"
    if not inputs.is_floating_point():
        takes += ", which are integers (token ids need an Embedding)"
    with _as_error(model_name, takes), torch.no_grad():
        outputs = model(inputs)
        if not isinstance(outputs, torch.Tensor):
            raise ConfigError(
                f"model {model_name} returns a {type(outputs).__name__}; it must return one tensor"
                ": wrap it in a module whose forward returns its logits"
            )
        participants.objective.require_fit(outputs, targets)
        if not outputs.isfinite().all():
            chosen = ", ".join(f"{key} = {shown(value)}" for key, value in settings.items())
            raise ConfigError(
                f"model {model_name} gives outputs that are not finite before it is trained; "
                f"check its settings ({chosen or 'none'}) and the scale of the records"
            )


def require_usable_model(model: nn.Module, name: str) -> None:
    """Raise `PluginError` unless a model has parameters that can be sent and trained."""
    found = model.state_dict()
    lazy = [n for n, value in found.items() if is_lazy(value)]
    if lazy:
        raise PluginError(
            f"model {name}: {lazy[0]} has no shape yet, as of a lazy layer; give each layer its "
            "sizes (input_shape and num_classes are given to the model)"
        )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise PluginError(
            f"model {name} has no parameter that is trained; a model needs at least one with "
            "requires_grad"
        )
    for parameter, value in found.items():
        if value.is_meta or value.is_quantized:
            kind = "on the meta device" if value.is_meta else "quantised"
            raise PluginError(
                f"model {name}: {parameter} is {kind}, and cannot be trained; build the model with "
                "ordinary float32 parameters"
            )
        if value.is_floating_point() and value.dtype != torch.float32:
            raise PluginError(
                f"model {name}: {parameter} is {str(value.dtype).removeprefix('torch.')}; "
                "parameters must be float32 (model.float()), and federation.local.precision: bf16 "
                "trains in mixed precision"
            )


def require_training_step(participants: Participants, model_name: str) -> None:
    """Raise unless a participant can train on a batch, and on a last batch of one record.

    Raises
    ------
    ConfigError
        The sentence says why not, and what would help.
    """
    local = participants.local
    _train_once(participants, model_name, _first(participants, local.batch_size))
    if not local.drop_last and any(
        len(own) % local.batch_size == 1 for own in participants.training_records
    ):
        _train_once(participants, model_name, _first(participants, 1))


def _train_once(participants: Participants, model_name: str, records: RecordIds) -> None:
    """Train a new model on so few records."""
    small = participants.local.model_copy(
        update={"epochs": 1, "batch_size": len(records), "drop_last": False}
    )
    batches = replace(participants.batches(0, 1), records=records, local=small)
    path = (participants.seed, "training", 1, 0)
    device = participants.dataset.device
    with _as_error(model_name, "cannot be trained"), seeds.global_draws(*path, device=device):
        participants.new_trainer().fit(
            participants.new_model(),
            batches,
            TrainerState(),
            seeds.torch_generator(*path),
            device,
        )


def _first(participants: Participants, at_most: int) -> RecordIds:
    """Return some records of the participant that has most."""
    most = max(participants.training_records, key=len)
    return np.asarray(most[:at_most])


class _as_error:  # noqa: N801 - a context manager
    """Turns what a model or trainer raises into a sentence."""

    def __init__(self, model: str, cannot: str) -> None:
        self._start = f"model {model} {cannot}"

    def __enter__(self) -> None:
        return None

    def __exit__(self, raised: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, FedsimError) or not isinstance(error, Exception):
            return
        said = " ".join(str(error).split())
        if ONE_RECORD in said:
            raise ConfigError(
                f"{self._start} on a batch of one record, as its normalisation over the batch "
                "needs two, and a participant's last batch has one; set "
                "federation.local.drop_last to true, or another batch_size"
            ) from error
        if devices.is_out_of_memory(error):
            raise ConfigError(
                f"{self._start} on a batch, which does not fit into the memory of the device; set "
                "federation.local.batch_size to less, or engine.device to cpu"
            ) from error
        if isinstance(error, MemoryError) or NO_MEMORY in said:
            raise ConfigError(
                f"{self._start}, as this machine has too little memory for it ({said[:SHOWN]})"
            ) from error
        # These two are how PyTorch says anything at all; other kinds say something themselves.
        kind = "" if type(error) in (RuntimeError, ValueError) else f"{type(error).__name__}: "
        raise ConfigError(f"{self._start}: {kind}{said[:SHOWN]}") from error
