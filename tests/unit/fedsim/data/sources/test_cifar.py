import io

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fedsim.data import SourceLocation
from fedsim.data.sources.cifar import CIFAR100, Cifar10, Cifar100
from fedsim.errors import DataError


def png(pixels, kind="PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind)
    return buffer.getvalue()


def write_split(path, images, labels, column="fine_label"):
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [{"bytes": image, "path": None} for image in images]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"img": pa.array(cells, kind), column: pa.array(labels)}), path)


def write_cifar(folder, column="fine_label"):
    """Write 5 + 2 random images as the Hub lays them out, and return their pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
    encoded = [png(image) for image in pixels]
    write_split(folder / "train-00000-of-00002.parquet", encoded[:3], [3, 1, 4], column)
    write_split(folder / "train-00001-of-00002.parquet", encoded[3:5], [1, 5], column)
    write_split(folder / "test-00000-of-00001.parquet", encoded[5:], [9, 2], column)
    return pixels


@pytest.mark.parametrize("folder", [".", "cifar100"])
def test_pixels_labels_and_split_come_back_exactly(place, folder):
    pixels = write_cifar(place.data_dir / folder)
    arrays = Cifar100().arrays(place)
    np.testing.assert_array_equal(arrays.features, pixels.transpose(0, 3, 1, 2))
    assert arrays.labels.tolist() == [3, 1, 4, 1, 5, 9, 2]
    assert arrays.test.tolist() == [False] * 5 + [True] * 2
    assert (arrays.num_classes, arrays.mean) == (100, CIFAR100.mean)


def test_without_a_data_directory_a_fixed_revision_of_the_hub_is_read_once(place, monkeypatch):
    write_cifar(place.data_dir)
    asked = []

    def from_hub(repository, *, revision, split):
        asked.append((repository, revision, split))
        files = sorted(map(str, place.data_dir.glob(f"{split}-*.parquet")))
        return offline("parquet", data_files={split: files}, split=split, streaming=True)

    offline = datasets.load_dataset
    monkeypatch.setattr("datasets.load_dataset", from_hub)
    for _ in range(2):
        assert len(Cifar100().arrays(SourceLocation(place.cache_dir)).labels) == 7
    hub = ("uoft-cs/cifar100", CIFAR100.revision)
    assert asked == [(*hub, "train"), (*hub, "test")]


def test_an_unreachable_hub_gets_a_sentence(place, monkeypatch):
    def unreachable(*arguments, **options):
        raise ConnectionError("Couldn't reach the Hub\nfor many reasons.")

    monkeypatch.setattr("datasets.load_dataset", unreachable)
    with pytest.raises(DataError, match=r"uoft-cs/cifar10: Couldn't reach the Hub; --data-dir"):
        Cifar10().arrays(SourceLocation(place.cache_dir))


def test_cifar10_has_its_own_label_column(place):
    write_cifar(place.data_dir / "plain_text", column="label")
    assert Cifar10().arrays(place).num_classes == 10


def test_changed_files_are_decoded_again_and_unchanged_ones_are_not(place):
    write_cifar(place.data_dir)
    said = []
    telling = SourceLocation(place.cache_dir, place.data_dir, said.append)
    Cifar100().arrays(telling)
    Cifar100().arrays(telling)
    assert len(said) == 1
    write_split(
        place.data_dir / "test-00000-of-00001.parquet", [png(np.zeros((32, 32, 3), "u1"))], [0]
    )
    assert len(Cifar100().arrays(telling).labels) == 6
    assert len(said) == 2


def test_missing_files_and_folders_get_a_sentence(place):
    with pytest.raises(DataError, match=r"data directory .*given does not exist"):
        Cifar100().arrays(place)
    write_cifar(place.data_dir)
    (place.data_dir / "test-00000-of-00001.parquet").unlink()
    with pytest.raises(DataError, match=r"train-\*.parquet and test-\*.parquet in one of .*given"):
        Cifar100().arrays(place)


def test_another_data_set_in_the_folder_gets_a_sentence(place):
    write_cifar(place.data_dir, column="label")
    with pytest.raises(DataError, match="is not cifar100: it has the columns img, label"):
        Cifar100().arrays(place)


def test_truncated_parquet_gets_a_sentence(place):
    write_cifar(place.data_dir)
    file = place.data_dir / "train-00000-of-00002.parquet"
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(DataError, match=r"cannot read .*given: "):
        Cifar100().arrays(place)


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (png(np.zeros((32, 32, 3), "u1"))[:60], "not a sound PNG"),
        (b"", "not a sound PNG"),
        (None, "not a sound PNG"),
        (png(np.zeros((32, 32, 3), "u1"), "BMP"), "not a sound PNG"),
        (png(np.zeros((33, 32, 3), "u1")), r"of \(32, 33\) pixels"),
        (png(np.zeros((32, 32), "u1")), "in mode L"),
    ],
)
def test_bad_images_get_a_sentence(place, image, sentence):
    write_cifar(place.data_dir)
    write_split(place.data_dir / "test-00000-of-00001.parquet", [image], [0])
    with pytest.raises(DataError, match=sentence):
        Cifar100().arrays(place)


def test_labels_out_of_range_get_a_sentence(place):
    write_cifar(place.data_dir)
    image = png(np.zeros((32, 32, 3), "u1"))
    write_split(place.data_dir / "test-00000-of-00001.parquet", [image], [100])
    with pytest.raises(DataError, match=r"1 to 100; valid for 100 classes"):
        Cifar100().arrays(place)
