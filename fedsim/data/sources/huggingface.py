"""Any data set of the Hugging Face Hub, or saved by `datasets` in a folder, read by its columns.

Nothing but data is loaded: no script of a repository is run.
"""

from dataclasses import replace
from typing import Any, Literal

import pyarrow as pa

from fedsim.data.arrays import Arrays
from fedsim.data.columns import Categories, ColumnSettings, arrays_of
from fedsim.data.images import checked_size
from fedsim.data.sources.base import SourceLocation
from fedsim.data.sources.tables import joined
from fedsim.data.tokens import BYTES, TextSettings
from fedsim.errors import DataError, listed

SAVED = ("dataset_dict.json", "dataset_info.json", "state.json")


class HuggingFace:
    """A data set of the Hugging Face Hub, or a local folder, by its columns; no Python needed.

    Parameters
    ----------
    path
        A name on the Hub, or a folder: one that `datasets` saved, or of parquet, CSV or JSON files.
    label
        The column of labels, or several columns (regression, multilabel), or one of lists.
    config
        Which configuration of the data set.
    revision
        Which commit of the Hub's repository; name one, so that a rerun reads the same.
    train
        The split of the pool.
    test
        The split of test records, used if it is there; without it, test records are drawn.
    features
        The columns of features; none means all others. Numbers stay, texts are categories; a single
        column of lists of one length is taken as it is, integers as token ids.
    user
        The column of the user whom a record is of.
    categories
        What becomes of texts among the features: ``one-hot`` columns, or ``refuse``.
    objective
        What the labels are for; none means the experiment's.
    image
        A column of images that are the features.
    size
        A side, or [height, width], that images are resized to; none means that all have one size.
    channels
        1 for grayscale, 3 for colour.
    text
        A column of texts that are the features, as token ids.
    tokenizer
        ``bytes``, or your own as module:function, from a text to a list of ids.
    max_length
        Tokens a text; longer ones are cut, shorter ones padded.
    padding
        The id behind a text's end; none means 256 for bytes and 0 for others.
    """

    def __init__(
        self,
        path: str,
        label: str | list[str] | None = None,
        config: str | None = None,
        revision: str | None = None,
        train: str = "train",
        test: str = "test",
        features: list[str] | None = None,
        user: str | None = None,
        categories: Categories = "one-hot",
        objective: str | None = None,
        image: str | None = None,
        size: int | list[int] | None = None,
        channels: Literal[1, 3] = 3,
        text: str | None = None,
        tokenizer: str = BYTES,
        max_length: int = 128,
        padding: int | None = None,
    ) -> None:
        self._path, self._config, self._revision = path, config, revision
        self._splits = (train, test)
        self._columns = ColumnSettings(
            label=tuple(label) if isinstance(label, list) else label,
            features=None if features is None else tuple(features),
            user=user,
            categories=categories,
            image=image,
            size=checked_size(size),
            channels=channels,
            text=text,
            tokens=TextSettings(tokenizer, max_length, padding),
            objective=objective,
        )

    def arrays(self, place: SourceLocation) -> Arrays:
        """Return the records of the train split, those of the test split behind them."""
        try:
            splits = self._loaded(place)
            parts = [splits[name] for name in self._splits if name in splits]
            tables = [_table(part) for part in parts]
            names = _class_names(parts[0], self._columns.label) if parts else None
        except DataError:
            raise
        except Exception as error:  # `datasets` passes on what pyarrow and the Hub raise
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise DataError(f"cannot read {self._path}: {reason.rstrip('.')}") from error
        if self._splits[0] not in splits:
            raise DataError(
                f"{self._path} has no split {self._splits[0]!r}; valid for train: {listed(splits)}"
            )
        table, test = joined(tables, self._path)
        columns = replace(self._columns, objective=self._columns.objective or place.objective)
        try:
            return arrays_of(table, columns, test=test, class_names=names)
        except DataError as error:
            raise DataError(f"{self._path}: {error}") from error

    def _loaded(self, place: SourceLocation) -> dict[str, Any]:
        """Return the splits by name."""
        import datasets  # here, because importing it takes a second

        folder = place.folder(self._path)
        if folder is not None and any((folder / name).is_file() for name in SAVED):
            loaded = datasets.load_from_disk(str(folder))
        else:
            place.say(f"huggingface: reading {folder or self._path}")
            loaded = datasets.load_dataset(
                str(folder or self._path),
                self._config,
                revision=None if folder else self._revision,
                cache_dir=str(place.cache_dir / "huggingface"),
            )
        if isinstance(loaded, datasets.DatasetDict):
            return dict(loaded)
        return {self._splits[0]: loaded}


def _table(part: Any) -> pa.Table:
    """Return a split as a table, encoded images as they are."""
    table = part.with_format("arrow")[:]
    if not isinstance(table, pa.Table):
        raise DataError(f"a split is a {type(table).__name__}, no table")
    return table.replace_schema_metadata(None)


def _class_names(part: Any, label: str | tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return the names of classes, where `datasets` knows them."""
    names = getattr(part.features.get(label), "names", None) if isinstance(label, str) else None
    return tuple(map(str, names)) if names else None
