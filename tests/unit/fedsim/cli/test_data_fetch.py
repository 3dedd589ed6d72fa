"""``fedsim data fetch``: any data set with the settings that an experiment would give it."""

from pathlib import Path

import numpy as np
import pytest
from command_line import Fedsim
from PIL import Image


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(3):
            pixels = random.integers(256, size=(20, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


def test_settings_are_those_of_an_experiment(fedsim: Fedsim, photos: Path) -> None:
    given = ["--set", f"path={photos}", "--set", "size=[8, 12]", "--set", "channels=1"]
    said = fedsim("data", "fetch", "image-folder", *given)
    assert (said.code, said.err) == (0, "")
    told = " ".join(said.out.split())
    assert "image-folder: 6 records of shape (1, 8, 12), 2 classes, 0.0 MB, kept in " in told
    folder = Path(told.partition("kept in ")[2].replace(" ", ""))
    assert folder.is_dir()
    again = fedsim("data", "fetch", "image-folder", *given)
    assert "decoding" in said.out
    assert "decoding" not in again.out


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "image-folder: setting 'path' is missing"),
        (["--set", "path=nowhere"], "path is nowhere, which is not there: looked for"),
        (["--set", "path"], "--set 'path' is not of the form"),
        (["--set", "path=photos", "--set", "sise=8"], "unknown setting 'sise'; valid: channels"),
        (["--set", "path=photos", "--set", "size=0"], "size is 0; valid: a side in pixels"),
    ],
)
def test_a_wrong_setting_is_one_sentence(
    given: list[str], sentence: str, fedsim: Fedsim, photos: Path
) -> None:
    said = fedsim("data", "fetch", "image-folder", *given)
    assert said.code == 2
    assert said.out == ""
    assert sentence in " ".join(said.err.split())
