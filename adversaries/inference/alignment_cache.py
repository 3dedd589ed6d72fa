"""Cache of update alignments: computed once for each pair of snapshots of a view.

An alignment reads the parameters of two snapshots, before and after training. Once it is cached,
neither is needed any more (``snapshots.keep: features``).
"""

import glob
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from adversaries.inference.alignment import Alignment, alignments
from adversaries.inference.feature_cache import digest_of_view
from adversaries.inference.feature_file import UNREADABLE
from fedsim.attacks import View
from fedsim.errors import FedsimError
from fedsim.files import make_private_folder, replacing
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshot_file import Snapshot

FORMAT = "fedsim-alignment-1"
"""The version of the computation and of the file format; part of each file's name."""
_COLUMNS = ("slope", "log_scale", "log_norm")
_UPDATE_NORM = "update_norm"


def seen_updates(view: View) -> tuple[tuple[Snapshot, Snapshot], ...]:
    """Return the updates that a view shows, as pairs (before, after) training.

    The victims' own updates, from the parameters sent to them to their uploads, where both were
    seen; otherwise those of the aggregate between observed rounds.
    """
    own = tuple(
        (before, after)
        for before, after in view.changes
        if (before.kind, after.kind) == (SnapshotKind.SENT, SnapshotKind.UPLOAD)
    )
    return own or tuple(pairwise(view.snapshots(SnapshotKind.AGGREGATE)))


def required_updates(view: View) -> tuple[tuple[Snapshot, Snapshot], ...]:
    """Return the updates that a view shows.

    Raises
    ------
    FedsimError
        If it shows none.
    """
    found = seen_updates(view)
    if not found:
        raise FedsimError(
            f"{view.adversary} saw no update of {view.query.key}: gradient alignment needs what a "
            "participant was sent and what it uploaded, or the aggregates of two rounds; observe "
            "more rounds (snapshots.rounds)"
        )
    return found


def observed_alignments(
    view: View, before: Snapshot, afters: Sequence[Snapshot]
) -> list[Alignment]:
    """Return the alignments of all audited records with updates from the same parameters.

    Cached alignments are read from the view's folder; the others are computed in one pass over the
    records and written there.
    """
    paths = [_path(view, before, after) for after in afters]
    kept = [_kept(view, path) for path in paths]
    missing = [after for after, there in zip(afters, kept, strict=True) if there is None]
    if not missing:
        return [there for there in kept if there is not None]
    made = iter(
        alignments(
            view.new_model(),
            before.load(),
            [after.load() for after in missing],
            view.dataset.batch,
            view.records,
            view.objective,
        )
    )
    make_private_folder(view.features)
    found = []
    for path, there in zip(paths, kept, strict=True):
        found.append(there or next(made))
        if there is None:
            _write(path, found[-1])
    return found


def _path(view: View, before: Snapshot, after: Snapshot) -> Path:
    """Return the path of a cached alignment."""
    digest = digest_of_view(view, FORMAT, before.digest, after.digest)
    name = f"alignment-{after.round:05d}.{before.key.name}.{after.key.name}.{digest}"
    return view.features / f"{name}.safetensors"


def _write(path: Path, alignment: Alignment) -> None:
    columns = {name: np.ascontiguousarray(getattr(alignment, name)) for name in _COLUMNS}
    columns[_UPDATE_NORM] = np.array([alignment.update_norm])
    with replacing(path) as temporary:
        save_file(columns, temporary, {FORMAT: ""})


def _kept(view: View, path: Path) -> Alignment | None:
    """Return an alignment computed before, by this attacker or another one."""
    for found in view.feature_files(glob.escape(path.name)):
        return _read(found, len(view.records))
    return None


def _read(path: Path, records: int) -> Alignment | None:
    """Return what `_write` wrote; None if there is nothing, or it is damaged."""
    try:
        with safe_open(path, framework="numpy") as file:
            columns = {name: file.get_tensor(name) for name in (*_COLUMNS, _UPDATE_NORM)}
    except UNREADABLE:
        return None
    norm = columns.pop(_UPDATE_NORM)
    whole = norm.shape == (1,) and all(one.shape == (records,) for one in columns.values())
    if not whole or any(one.dtype != np.float64 for one in (norm, *columns.values())):
        return None
    return Alignment(**columns, update_norm=float(norm[0]))
