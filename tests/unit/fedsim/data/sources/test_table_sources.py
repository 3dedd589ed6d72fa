"""Data sets without Python: CSV, parquet and what `datasets` saves, by the same columns."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fedsim import TableFile
from fedsim.data import load_dataset
from fedsim.errors import FedsimError

CSV = """age,city,income,who,split,label
30,Rome,1.5,u1,train,yes
41,Oslo,2.5,u1,train,no
22,Rome,0.5,u2,test,no
50,Bern,3.0,u3,train,yes
"""


def load(name: str, folder: Path, hold: int | None = 1, **settings: object):
    return load_dataset(
        name,
        settings,
        data_dir=None,
        cache_dir=folder / "cache",
        seed=0,
        test_records=hold,
        beside=folder,
    )


def png(side: int, mode: str = "RGB", kind: str = "PNG") -> bytes:
    sink = io.BytesIO()
    shade = np.full((side, side, 3), 40 * (side % 5), np.uint8)
    Image.fromarray(shade).convert(mode).save(sink, kind)
    return sink.getvalue()


@pytest.fixture(params=["csv", "parquet", "huggingface"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str, Path]:
    """Return the same table as a source's name, its path, and the folder."""
    import pyarrow.csv as pa_csv

    (tmp_path / "t.csv").write_text(CSV)
    content = pa_csv.read_csv(tmp_path / "t.csv")
    if request.param == "csv":
        return "csv", "t.csv", tmp_path
    if request.param == "parquet":
        pq.write_table(content, tmp_path / "t.parquet")
        return "parquet", "t.parquet", tmp_path
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict(content.to_pydict()).save_to_disk(str(tmp_path / "saved"))
    return "huggingface", "saved", tmp_path


def test_a_table_is_read_by_its_columns(table) -> None:
    name, path, folder = table
    split = {} if name == "huggingface" else {"split": "split"}
    features = ["age", "city", "income"]
    split["hold"] = None if split else 1
    split["path"] = path
    dataset = load(name, folder, label="label", user="who", features=features, **split)
    assert dataset.features.tolist() == [
        [30, 0, 0, 1, 1.5],
        [41, 0, 1, 0, 2.5],
        [22, 0, 0, 1, 0.5],
        [50, 1, 0, 0, 3.0],
    ]
    assert (dataset.labels.tolist(), dataset.class_names) == ([1, 0, 0, 1], ("no", "yes"))
    assert (dataset.groups.tolist(), dataset.group_names) == ([0, 0, 1, 2], ("u1", "u2", "u3"))
    if name != "huggingface":
        assert dataset.test_records.tolist() == [2]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "needs the setting label"),
        ({"label": "lable"}, "label is 'lable', but it has no such column; valid: age, city"),
        (
            {"label": "label", "features": ["age", "city"], "categories": "refuse"},
            "holds texts",
        ),
        ({"label": ["age", "city"]}, "column 'city' is of type string; valid: numbers"),
        ({"label": "income"}, "labels must be a numpy array of integers or texts"),
        ({"label": "label", "text": "age"}, "valid for text: texts"),
        ({"label": "label", "text": "city", "tokenizer": "words"}, "no tokenizer 'words'"),
        ({"label": "label", "text": "city", "tokenizer": "json:dumps"}, "no list of ids for row 0"),
        ({"label": "label", "text": "city", "max_length": 0}, "max_length is 0"),
    ],
)
def test_mistakes_in_settings_get_a_sentence(table, settings, sentence) -> None:
    name, path, folder = table
    with pytest.raises(FedsimError, match=sentence):
        load(name, folder, path=path, **settings)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,label\n1,0\n,1\n", "column 'a', row 1 is empty"),
        ("a,label\n1,0\nnan,1\n", "column 'a', row 1 is nan"),
        ("a,label\n1,x\n2,\n", "column 'label', row 1 is empty"),
        ("a,label\n1,0\n2\n", "cannot be read as CSV"),
        ("a,a,label\n1,1,0\n", "two columns 'a'"),
        ("label\n1\n0\n", "no column left for features"),
        ("a,label\n", "no rows"),
        ("", "cannot be read as CSV"),
        ("a,label\n2020-01-01,0\n2021-01-01,1\n", "which is no feature"),
    ],
)
def test_cells_that_do_not_fit_are_told_with_column_and_row(tmp_path, text, sentence) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(FedsimError, match=sentence):
        load("csv", tmp_path, path="t.csv", label="label")


def test_a_file_that_is_not_there_is_told_with_the_places_looked_in(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path.parent)
    with pytest.raises(FedsimError, match=rf"looked for {tmp_path}/no.csv, {tmp_path.parent}/no"):
        load("csv", tmp_path, path="no.csv", label="label")


def test_a_second_file_holds_the_test_records(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,label\n1,a\n2,b\n")
    (tmp_path / "b.csv").write_text("x,label\n3.5,b\n")
    dataset = load("csv", tmp_path, path="a.csv", test_path="b.csv", label="label", hold=None)
    assert dataset.features[:, 0].tolist() == [1, 2, 3.5]
    assert (dataset.test_records.tolist(), dataset.labels.tolist()) == ([2], [0, 1, 1])
    (tmp_path / "c.csv").write_text("x,label,split\n3,b,test\n")
    with pytest.raises(FedsimError, match="leave one of them out"):
        load("csv", tmp_path, path="a.csv", test_path="c.csv", split="split", label="label")


def test_several_label_columns_are_regression_or_multilabel(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,a,b\n1,0,1\n2,1,1\n3,0,0\n")
    for objective in ("regression", "multilabel"):
        found = load("csv", tmp_path, path="t.csv", label=["a", "b"], objective=objective)
        assert found.labels.tolist() == [[0, 1], [1, 1], [0, 0]]
        assert (found.num_classes, found.labels.dtype) == (2, np.float32)


def test_text_becomes_bytes_cut_and_padded(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("said,label\nhé,0\nabcdefgh,1\n")
    found = load("csv", tmp_path, path="t.csv", label="label", text="said", max_length=5)
    assert found.features.tolist() == [[104, 195, 169, 256, 256], [97, 98, 99, 100, 101]]
    assert found.num_classes == 2
    following = load(
        "csv", tmp_path, path="t.csv", text="said", max_length=5, objective="next-token"
    )
    assert following.features.tolist() == [[104, 195, 256, 256, 256], [97, 98, 99, 100, 101]]
    assert following.labels.tolist() == [[195, 169, -100, -100, -100], [98, 99, 100, 101, 102]]
    assert following.num_classes == 257


def test_lists_in_parquet_are_token_ids_or_vectors(tmp_path: Path) -> None:
    ids = pa.array([[1, 2], [3, 4], [5, 6]])
    pq.write_table(pa.table({"ids": ids, "y": [0, 1, 0]}), tmp_path / "t.parquet")
    found = load("parquet", tmp_path, path="t.parquet", label="y")
    assert (found.features.tolist(), found.features.dtype) == ([[1, 2], [3, 4], [5, 6]], np.int64)
    pq.write_table(pa.table({"ids": [[1], [3, 4]], "y": [0, 1]}), tmp_path / "t.parquet")
    with pytest.raises(FedsimError, match="lists of 2 lengths"):
        load("parquet", tmp_path, path="t.parquet", label="y")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("packed", [True, False])
def test_images_in_parquet_are_resized_and_converted(tmp_path: Path, kind, packed) -> None:
    encoded = [png(40, "L", kind), png(61, "RGB", kind)]
    column = [{"bytes": one, "path": None} for one in encoded] if packed else encoded
    pq.write_table(pa.table({"picture": column, "y": [3, 5]}), tmp_path / "t.parquet")
    given = {"path": "t.parquet", "label": "y", "image": "picture"}
    found = load("parquet", tmp_path, **given, size=16)
    assert (found.features.shape, found.features.dtype) == ((2, 3, 16, 16), np.uint8)
    assert abs(found.features[1].astype(int) - 40).max() <= 2
    assert found.class_names == ("3", "5")
    assert load("parquet", tmp_path, **given, size=[8, 4], channels=1).input_shape == (1, 8, 4)
    with pytest.raises(FedsimError, match="row 1 has 61 x 61 pixels where the first image"):
        load("parquet", tmp_path, **given)


def test_class_names_that_datasets_knows_are_kept(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = {"x": [0.5, 1.5, 2.5], "y": [2, 0, 2]}
    kinds = datasets.Features(
        {"x": datasets.Value("float32"), "y": datasets.ClassLabel(names=["a", "b", "c"])}
    )
    splits = {
        "train": datasets.Dataset.from_dict(rows, features=kinds),
        "test": datasets.Dataset.from_dict({"x": [9.0], "y": [1]}, features=kinds),
    }
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "saved"))
    found = load("huggingface", tmp_path, None, path="saved", label="y")
    assert (found.labels.tolist(), found.class_names) == ([2, 0, 2, 1], ("a", "b", "c"))
    assert found.test_records.tolist() == [3]
    with pytest.raises(FedsimError, match="no split 'dev'; valid for train: test, train"):
        load("huggingface", tmp_path, path="saved", label="y", train="dev")


def test_a_folder_of_parquet_files_goes_through_datasets(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    (tmp_path / "folder").mkdir()
    for split, rows in (("train", [1.0, 2.0]), ("test", [3.0])):
        table = pa.table({"x": rows, "y": [0, 1][: len(rows)]})
        pq.write_table(table, tmp_path / "folder" / f"{split}.parquet")
    found = load("huggingface", tmp_path, None, path="folder", label="y")
    assert found.features[:, 0].tolist() == [1, 2, 3]
    assert found.test_records.tolist() == [2]


def test_images_that_datasets_keeps_are_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = {"img": [{"bytes": png(9), "path": None}, {"bytes": png(9), "path": None}], "y": [0, 1]}
    kinds = datasets.Features({"img": datasets.Image(), "y": datasets.Value("int64")})
    datasets.Dataset.from_dict(rows, features=kinds).save_to_disk(str(tmp_path / "saved"))
    found = load("huggingface", tmp_path, path="saved", label="y", image="img")
    assert found.input_shape == (3, 9, 9)


def test_a_text_that_rows_repeat_is_tokenized_once(tmp_path: Path, monkeypatch) -> None:
    import toys

    asked = []

    def ids(text: str) -> list[int]:
        asked.append(text)
        return [len(word) for word in text.split()]

    monkeypatch.setattr(toys, "ids", ids, raising=False)
    (tmp_path / "t.csv").write_text("said,label\na bb,0\nccc,1\na bb,1\n")
    chosen = {"label": "label", "text": "said", "tokenizer": "toys:ids", "max_length": 3}
    found = load("csv", tmp_path, path="t.csv", **chosen)
    assert found.features.tolist() == [[1, 2, 0], [3, 0, 0], [1, 2, 0]]
    assert sorted(asked) == ["a bb", "ccc"]


def test_a_hub_that_is_not_reached_is_told_in_one_sentence(tmp_path: Path, monkeypatch) -> None:
    import datasets
    import huggingface_hub.constants

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FedsimError) as caught:
        load("huggingface", tmp_path, path="owner/reviews", label="stars")
    assert str(caught.value) == (
        "data set huggingface: path is owner/reviews, no folder here, and the Hugging Face Hub "
        "cannot be reached; valid without a network: a folder that `save_to_disk` wrote, or one "
        "of parquet or csv files"
    )


class SemicolonFile(TableFile):
    """A third party's format of files: two numbers and a label, with semicolons."""

    def read(self, path: Path) -> pa.Table:
        """Return the table in a file."""
        rows = [line.split(";") for line in path.read_text().split()]
        columns = [pa.array([int(row[n]) for row in rows]) for n in (0, 1)]
        return pa.table([*columns, [row[2] for row in rows]], ["x", "y", "label"])


def test_a_format_of_a_third_party_is_one_method(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("1;2;a\n3;4;b\n5;6;a\n")
    (tmp_path / "held.txt").write_text("7;8;b\n")
    name = f"{__name__}:SemicolonFile"
    found = load(
        name, tmp_path, path="t.txt", test_path="held.txt", label="label", user="x", hold=None
    )
    assert found.features.tolist() == [[2], [4], [6], [8]]
    assert (found.labels.tolist(), found.groups.tolist()) == ([0, 1, 0, 1], [0, 1, 2, 3])
    assert found.test_records.tolist() == [3]
    (tmp_path / "t.txt").write_text("1;two;a")
    with pytest.raises(FedsimError, match=r"t\.txt cannot be read as a table: invalid literal"):
        load(name, tmp_path, path="t.txt", label="label")


def test_features_are_standardised_over_the_training_rows(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,y,label,split\n1,7,a,train\n3,7,b,train\n100,9,a,test\n")
    settings = {"path": "t.csv", "label": "label", "split": "split", "hold": None}
    found = load("csv", tmp_path, standardise=True, **settings)
    inputs, _ = found.batch(np.arange(3))
    assert inputs.tolist() == [[-1, 0], [1, 0], [98, 2]]
    assert load("csv", tmp_path, **settings).batch(np.arange(3))[0][0].tolist() == [1, 7]
    (tmp_path / "text.csv").write_text("said,label\nab,0\ncd,1\n")
    with pytest.raises(FedsimError, match="token ids stay integers"):
        load("csv", tmp_path, path="text.csv", label="label", text="said", standardise=True)


def test_images_are_standardised_by_channel(tmp_path: Path) -> None:
    for number, shade in enumerate((0, 255, 51, 102)):
        folder = tmp_path / "images" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((2, 2, 3), shade, np.uint8)).save(folder / f"{number}.png")
    found = load("image-folder", tmp_path, path="images", standardise=True)
    inputs = found.batch(np.arange(4))[0].numpy()
    assert np.allclose(inputs.mean((0, 2, 3)), 0, atol=1e-6)
    assert np.allclose(inputs.std((0, 2, 3)), 1, atol=1e-6)


def test_whole_numbers_written_as_floats_are_classes_and_users(tmp_path: Path) -> None:
    rows = [f"{n % 3}.0,{n / 7:.3f},{float(n % 2)}" for n in range(8)]
    (tmp_path / "t.csv").write_text("\n".join(["who,x,label", *rows]))
    found = load("csv", tmp_path, path="t.csv", label="label", user="who")
    assert (found.num_classes, found.labels.tolist()) == (2, [0, 1] * 4)
    assert found.group_names == ("0", "1", "2")
    with pytest.raises(FedsimError, match="column 'x' holds fractions; valid for users: integers"):
        load("csv", tmp_path, path="t.csv", label="label", user="x")
    with pytest.raises(FedsimError, match="labels that are no classes need an objective"):
        load("csv", tmp_path, path="t.csv", label="x")


def test_a_delimiter_of_another_kind_is_a_setting_and_named_when_it_is_missing(tmp_path) -> None:
    (tmp_path / "t.csv").write_text("x;y;label\n1;2;a\n3;4;b\n")
    found = load("csv", tmp_path, path="t.csv", label="label", delimiter=";")
    assert found.features.tolist() == [[1, 2], [3, 4]]
    with pytest.raises(FedsimError, match=r"one column, 'x;y;label'; .* set delimiter: ';'"):
        load("csv", tmp_path, path="t.csv", label="label")
    with pytest.raises(FedsimError, match="delimiter is '::'; valid: one character"):
        load("csv", tmp_path, path="t.csv", label="label", delimiter="::")


def test_a_class_for_nearly_every_record_is_said_to_look_like_a_quantity(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,price\n1,310\n2,250\n3,420\n")
    said: list[str] = []
    load_dataset(
        "csv",
        {"path": "t.csv", "label": "price"},
        data_dir=None,
        cache_dir=tmp_path,
        seed=0,
        test_records=1,
        beside=tmp_path,
        say=said.append,
    )
    assert said == [
        "csv: labels 250, 310, 420 are classes 0 to 2, of 3 records; if they are quantities, set "
        "objective: regression"
    ]
