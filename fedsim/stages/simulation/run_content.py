"""Digests of the data and the model that a run was made from.

An experiment names data and a model, whose files may change. The digests are kept in the run
directory (``content.json``); a run is resumed, attacked again, or reported with exposed records
only if they still match.
"""

import ast
import hashlib
import inspect
import json
import textwrap
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from fedsim.data import Dataset, read_ledger
from fedsim.errors import RunDirectoryError
from fedsim.files import read_json, write_json
from fedsim.files.digests import digest
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.experiment_data import require_labels
from fedsim.stages.preparation.setup import Setup

LIBRARIES = ("torch", "torchvision")
"""Their modules change with their version only, which is in ``provenance.json``."""


@dataclass(frozen=True)
class RunContent:
    """The digests of a run's data (see `Dataset.digest`) and model (see `model_digest`)."""

    data: str
    model: str


def content_of(setup: Setup) -> RunContent:
    """Return the current digests of an experiment's data and model."""
    return RunContent(setup.dataset.digest, model_digest(setup.new_model()))


def model_digest(model: nn.Module) -> str:
    """Return a digest of a model's modules, their settings and code, and its initial state.

    Code is that of the classes of modules that are not of torch or torchvision, without comments
    and layout; what their methods call is not followed.
    """
    total = hashlib.blake2b(digest_size=16)
    total.update(repr(model).encode())
    classes = {type(module) for module in model.modules()}
    for kind in sorted(classes, key=lambda kind: (kind.__module__, kind.__qualname__)):
        if kind.__module__.partition(".")[0] not in LIBRARIES:
            total.update(_code_of(kind).encode())
    state = model.state_dict()
    try:
        total.update(digest(state).encode())
    except (RuntimeError, TypeError, ValueError, NotImplementedError):  # a lazy or meta tensor
        total.update(
            json.dumps([[name, str(value.dtype)] for name, value in state.items()]).encode()
        )
    return total.hexdigest()


def _code_of(kind: type) -> str:
    try:
        return ast.dump(ast.parse(textwrap.dedent(inspect.getsource(kind))))
    except (OSError, TypeError, SyntaxError):  # typed in, or made by a function
        return kind.__qualname__


def keep_content(setup: Setup, run: RunDirectory) -> None:
    """Write the digests of a run, or raise if the run was made from something else.

    Raises
    ------
    RunDirectoryError
        If the data or the model are not those that the run was made from.
    """
    now = content_of(setup)
    if run.content.is_file():
        _require_same(now, run, setup.dataset, setup.experiment.model.name)
        return
    if run.ledger.is_file():  # a run of a version that kept no digests
        require_labels(read_ledger(run.ledger), setup.dataset, run.ledger)
    write_json(run.content, {"schema": 1, "data": now.data, "model": now.model})


def require_content(setup: Setup, run: RunDirectory) -> None:
    """Raise as `keep_content` does; a run that has no digests is not checked."""
    if run.content.is_file():
        _require_same(content_of(setup), run, setup.dataset, setup.experiment.model.name)


def require_data(dataset: Dataset, run: RunDirectory) -> None:
    """Raise `RunDirectoryError` if a run was made from other data than these."""
    if run.content.is_file():
        kept = _read(run.content)
        _require_same(RunContent(dataset.digest, kept.model), run, dataset, "")


def _require_same(now: RunContent, run: RunDirectory, dataset: Dataset, model: str) -> None:
    kept = _read(run.content)
    data_changed, model_changed = kept.data != now.data, kept.model != now.model
    if not data_changed and not model_changed:
        return
    what = [f"data set {dataset.name} gives other records"] if data_changed else []
    what += [f"model {model} is another"] if model_changed else []
    raise RunDirectoryError(
        f"{run.path} holds a run of another experiment: {' and '.join(what)} than when it was made "
        f"(compare {run.content}); choose another --out, delete that folder, or give "
        f"{'them' if len(what) > 1 else 'it'} as {'they were' if len(what) > 1 else 'it was'}"
        + (" (--data-dir says where the files are)" if data_changed else "")
    )


def _read(path: Path) -> RunContent:
    try:
        stated = read_json(path)
        found = RunContent(stated["data"], stated["model"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunDirectoryError(
            f"{path} is damaged, so nobody can tell whether the run was made from these data; "
            "delete it to go on without that check"
        ) from error
    if not (isinstance(found.data, str) and isinstance(found.model, str)):
        raise RunDirectoryError(f"{path} is damaged: its digests must be texts")
    return found
