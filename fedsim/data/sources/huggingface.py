"""Any data set of the Hugging Face Hub, or saved by `datasets` in a folder, read by its columns.

Nothing but data is loaded: no script of a repository is run.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from fedsim.data.arrays import Arrays
from fedsim.data.sources.base import SourceLocation
from fedsim.data.sources.tables import ImageColumn
from fedsim.errors import DataError, listed

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9_][\w.-]*)?")
SAVED = ("dataset_dict.json", "dataset_info.json", "state.json")


@dataclass(kw_only=True)
class HuggingFace(ImageColumn):
    """A data set of the Hugging Face Hub, or a local folder, by its columns; no Python needed.

    Parameters
    ----------
    path
        A name on the Hub, or a folder: one that `datasets` saved, or of parquet, CSV or JSON files.
    config
        Which configuration of the data set.
    revision
        Which commit of the Hub's repository; name one, so that a rerun reads the same.
    train
        The split of the pool.
    test
        The split of test records, used if it is there; without it, test records are drawn.
    """

    config: str | None = None
    revision: str | None = None
    train: str = "train"
    test: str = "test"

    def require_files(self, place: SourceLocation) -> None:
        """Raise `DataError` if the path is neither a folder nor a valid name on the Hub."""
        if not HUB_NAME.fullmatch(self.path) and place.folder(self.path) is None:
            raise DataError(
                f"path is {self.path}, which is no folder here, and no name of the Hugging Face "
                "Hub, as NAME or OWNER/NAME"
            )

    def arrays(self, place: SourceLocation) -> Arrays:
        """Return the records of the train split, followed by those of the test split."""
        try:
            with _quiet():
                splits = self._loaded(place)
            parts = [splits[name] for name in (self.train, self.test) if name in splits]
            tables = [_table(part) for part in parts]
            names = _class_names(parts[0], self.label) if parts else None
        except DataError:
            raise
        except ConnectionError as error:  # the Hub cannot be reached
            raise DataError(
                f"path is {self.path}, no folder here, and the Hugging Face Hub cannot be "
                "reached; valid without a network: a folder that `save_to_disk` wrote, or one of "
                "parquet or csv files"
            ) from error
        except Exception as error:  # errors of `datasets`, pyarrow and the Hub
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise DataError(f"cannot read path {self.path}: {reason.rstrip('.')}") from error
        if self.train not in splits:
            raise DataError(
                f"{self.path} has no split {self.train!r}; valid for train: {listed(splits)}"
            )
        return self.read_records(tables, self.path, place, names)

    def _loaded(self, place: SourceLocation) -> dict[str, Any]:
        """Return the splits by name."""
        import datasets  # here, because importing it takes a second

        folder = place.folder(self.path)
        if folder is not None and any((folder / name).is_file() for name in SAVED):
            loaded = datasets.load_from_disk(str(folder))
        else:
            place.say(f"huggingface: reading {folder or self.path}")
            loaded = datasets.load_dataset(
                str(folder or self.path),
                self.config,
                revision=None if folder else self.revision,
                cache_dir=str(place.cache_dir / "huggingface"),
            )
        if isinstance(loaded, datasets.DatasetDict):
            return dict(loaded)
        return {self.train: loaded}


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress progress bars and logs of `datasets` and the Hub; failures raise exceptions."""
    import datasets
    from datasets.utils import logging
    from huggingface_hub.utils import logging as hub_logging

    level, bars = logging.get_verbosity(), datasets.are_progress_bars_disabled()
    of_hub = hub_logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    hub_logging.set_verbosity(logging.CRITICAL)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        hub_logging.set_verbosity(of_hub)
        if not bars:
            datasets.enable_progress_bars()


def _table(part: Any) -> pa.Table:
    """Return a split as a table, with encoded images unchanged."""
    table = part.with_format("arrow")[:]
    if not isinstance(table, pa.Table):
        raise DataError(f"a split is a {type(table).__name__}, no table")
    table.validate(full=True)  # reading a damaged table would end the process
    return table.replace_schema_metadata(None)


def _class_names(part: Any, label: str | list[str] | None) -> tuple[str, ...] | None:
    """Return the names of classes, if `datasets` has them."""
    names = getattr(part.features.get(label), "names", None) if isinstance(label, str) else None
    return tuple(map(str, names)) if names else None
