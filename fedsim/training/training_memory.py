"""Results of local training that several federations of a run have in common.

What a participant's training gives follows from what it was sent, from what it has kept, and from
the round. In the first round in which an attacker acts most participants are sent what the honest
federation sent them, and two attackers with an adversary in common do the same until they part. The
results are files, because the federations come one after the other in processes of their own.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fedsim.files import make_private_folder
from fedsim.files.digests import digest
from fedsim.training.client_tasks import ClientTask
from fedsim.transport.lazy_arrays import tensors_of

_FIGURES, _NAMES = "figures", "names"
_PARAMETERS, _STATE = "parameters", "state"


@dataclass(frozen=True)
class TrainingResult:
    """The parameters after training, what the trainer keeps, and its figures."""

    parameters: Mapping[str, Tensor]
    state: Mapping[str, Tensor]
    figures: Mapping[str, float]


@dataclass(frozen=True)
class TrainingMemory:
    """Results of one run, whose data and settings are the same for all of its federations.

    Attributes
    ----------
    folder
        Where they are.
    looks_up, keeps
        Whether a round's results may be there, and whether they are kept for other federations.
    """

    folder: Path
    looks_up: Callable[[int], bool]
    keeps: Callable[[int], bool]

    def result(
        self, task: ClientTask, received: Mapping[str, Tensor], train: Callable[[], TrainingResult]
    ) -> TrainingResult:
        """Return what training gives, from an earlier federation where it trained the same.

        Parameters
        ----------
        task, received
            What a participant is asked, and the parameters that it was sent.
        train
            Trains it.
        """
        looks_up, keeps = self.looks_up(task.round), self.keeps(task.round)
        if not (looks_up or keeps):
            return train()
        path = self._path(task, received)
        if looks_up and (found := _read(path)) is not None:
            return found
        result = train()
        if keeps:
            with suppress(OSError, SafetensorError):  # without it, it is trained again
                _write(path, result)
        return result

    def _path(self, task: ClientTask, received: Mapping[str, Tensor]) -> Path:
        kept = {} if task.kept is None else tensors_of(task.kept)
        of = {f"sent/{name}": value.cpu() for name, value in received.items()}
        of |= {f"kept/{name}": value for name, value in kept.items()}
        about = f"round-{task.round:05d}.participant-{task.participant}.{task.proximal!r}"
        return self.folder / f"{about}.{digest(of)}.safetensors"


def _write(path: Path, result: TrainingResult) -> None:
    """Write a file that is whole or not there; nothing waits for the disk."""
    tensors = {f"{_PARAMETERS}/{name}": value for name, value in result.parameters.items()}
    tensors |= {f"{_STATE}/{name}": value for name, value in result.state.items()}
    header = {_FIGURES: json.dumps(dict(result.figures)), _NAMES: json.dumps([*tensors])}
    temporary = make_private_folder(path.parent) / f"{path.name}.unfinished"
    # Copies: safetensors refuses tied weights, which share their memory.
    save_file(
        {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()},
        temporary,
        header,
    )
    temporary.replace(path)


def _read(path: Path) -> TrainingResult | None:
    """Return what `_write` wrote; None if it is not there or cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in json.loads(header[_NAMES])}
    except (OSError, SafetensorError, ValueError, LookupError):
        return None
    return TrainingResult(
        _below(_PARAMETERS, tensors), _below(_STATE, tensors), json.loads(header[_FIGURES])
    )


def _below(folder: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefix = f"{folder}/"
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
