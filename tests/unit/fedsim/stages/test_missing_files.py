"""Files of data that are not there are told with all else, before anything is decoded."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys

import fedsim
from fedsim import SourceLocation, load_experiment
from fedsim.data import Arrays, load_dataset, require_files
from fedsim.data.archive import Archive, require_archive
from fedsim.data.cache import load_or_decode
from fedsim.errors import DataError, FedsimError
from fedsim.files import write_text

MISSING = [
    (
        {"name": "csv", "path": "no.csv", "label": "y", "test_path": "gone.csv"},
        "path is no.csv, which is not there.*test_path is gone.csv, which is not there",
    ),
    ({"name": "csv", "path": ".", "label": "y"}, "path is ., which is no file"),
    ({"name": "parquet", "path": "no.parquet"}, "path is no.parquet, which is not there"),
    ({"name": "image-folder", "path": "no-images"}, "path is no-images, which is not there"),
    ({"name": "image-folder", "path": "a-file"}, "a-file is no folder"),
    ({"name": "huggingface", "path": "./saved"}, "no folder here, and no name"),
    ({"name": "huggingface", "path": "a/b/c"}, "no folder here, and no name"),
    ({"name": "location30"}, "needs the file dataset_location.tgz in one of"),
    ({"name": "texas100"}, "needs the file dataset_texas.tgz in one of"),
    ({"name": "cifar10"}, "needs train-.*parquet"),
    ({"name": f"{__name__}:Clinic"}, "visits of 1999 are not there"),
    ({"name": f"{__name__}:Broken"}, "its require_files.place. failed: KeyError: 'where'"),
]


class Clinic:
    """A source of a user's own, which says what it misses."""

    def __init__(self, year: int = 1999) -> None:
        self.year = year

    def require_files(self, place: SourceLocation) -> None:
        raise DataError(f"visits of {self.year} are not there")

    def arrays(self, place: SourceLocation) -> Arrays:
        raise AssertionError("it was read")


class Broken(Clinic):
    """Another, which fails."""

    def require_files(self, place: SourceLocation) -> None:
        raise KeyError("where")


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an experiment, an empty data directory, and an empty cache; we are there."""
    for name in ("data", "cache"):
        (tmp_path / name).mkdir()
    (tmp_path / "a-file").write_text("no folder")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEDSIM_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize(("data", "sentence"), MISSING)
def test_they_are_told_beside_what_else_is_wrong(
    places: Path, data: dict[str, Any], sentence: str
) -> None:
    tree = toys.tree()
    tree |= {"data": data, "model": "resnett", "seed": -1}
    with pytest.raises(FedsimError, match=sentence) as caught:
        fedsim.run(tree, places / "run", data_dir=places / "data")
    assert "3 faults" in str(caught.value)
    assert "resnett" in str(caught.value)
    assert not (places / "run").exists()


@pytest.mark.parametrize("data", [data for data, _ in MISSING[:4]])
def test_an_experiment_is_read_without_its_data(places: Path, data: dict[str, Any]) -> None:
    """Whoever reads a file loads no data: their folder may be named later, or be elsewhere."""
    write_text(places / "exp.yaml", repr(toys.tree() | {"data": data}))
    assert load_experiment(places / "exp.yaml").data.name == data["name"]
    with pytest.raises(FedsimError, match=r"not there|no file"):
        load_experiment(places / "exp.yaml", with_files=True)


def test_files_are_looked_for_where_they_are_read(places: Path) -> None:
    """In the data directory, beside the experiment, and here; and then nothing is said."""
    for folder in ("data", "elsewhere"):
        (places / folder).mkdir(exist_ok=True)
        (places / folder / f"{folder}.csv").write_text("y,x\n0,1\n")
    write_text(places / "elsewhere" / "exp.yaml", repr(toys.tree(data={"name": "none"})))
    for name in ("data/data.csv", "elsewhere.csv", "data.csv"):
        named = f"data={{name: csv, path: {name}, label: y}}"
        found = load_experiment(
            places / "elsewhere" / "exp.yaml", [named], with_files=True, data_dir=places / "data"
        )
        assert found.data.settings["path"] == name


def test_an_archive_that_was_decoded_is_not_missed(places: Path) -> None:
    place = SourceLocation(places / "cache", places / "data")
    archive = Archive("some.tgz", "https://nowhere.invalid/some.tgz", "0" * 40)
    with pytest.raises(DataError, match=r"needs the file some\.tgz"):
        require_archive(archive, "some", place, decoder=1)
    made = Arrays(np.zeros((4, 2), np.float32), np.array([0, 1, 0, 1]), num_classes=2)
    load_or_decode(place, "some", decoder=1, source=archive.blob_id, decode=lambda: made)
    require_archive(archive, "some", place, decoder=1)
    with pytest.raises(DataError, match=r"needs the file some\.tgz"):
        require_archive(archive, "some", place, decoder=2)


def test_names_of_the_hub_and_functions_are_not_asked(places: Path) -> None:
    require_files("huggingface", {"path": "owner/name"}, data_dir=None)
    require_files("huggingface", {"path": "name"}, data_dir=places / "data")
    require_files("location30", {}, data_dir=None)
    require_files("toys:blobs", {"records": 5}, data_dir=None)
    with pytest.raises(DataError, match=r"data set location30: the data directory .* not exist"):
        require_files("location30", {}, data_dir=places / "nowhere")
    with pytest.raises(DataError, match="which is not there"):  # the reader says the same
        load_dataset(
            "csv", {"path": "no.csv", "label": "y"}, data_dir=None, cache_dir=places, seed=0
        )
