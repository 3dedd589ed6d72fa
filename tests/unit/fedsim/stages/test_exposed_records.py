"""The most exposed members: true ones, tested ones, in the attack's order, with their pictures."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import toys
from PIL import Image

from fedsim.api import report
from fedsim.data import read_ledger
from fedsim.errors import DataError
from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory
from fedsim.stages.attack import attack
from fedsim.stages.figures.evaluate import evaluate_run
from fedsim.stages.page.exposed_records import ExposedRequest, picture, standing_out
from fedsim.stages.preparation.experiment_data import require_labels
from fedsim.stages.preparation.setup_building import build_setup


@pytest.fixture(scope="module")
def attacked(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the toy run, attacked."""
    path = shutil.copytree(toy_run, tmp_path_factory.mktemp("exposed") / "run")
    attack(build_setup(toys.experiment(), None, SILENCE), RunDirectory(path), SILENCE, fresh=False)
    return path


def test_the_most_exposed_are_tested_members_in_the_order_of_their_scores(attacked: Path) -> None:
    run = RunDirectory(attacked)
    judged = evaluate_run(run)
    dataset = build_setup(toys.experiment(), None, SILENCE).dataset
    query = judged.attackers[0].queries[0]
    audit = judged.ledger.audit(query)
    tested = audit.records[~audit.known & audit.member]
    first = next(iter(standing_out(judged, ExposedRequest(4, dataset))))
    (case,) = judged.evaluation_results["curious-server", query.key, first.attack].cases
    calibrated = (case.joined.scores - case.thresholds[:, None]).mean(axis=0)
    above = dict(zip(case.joined.records, calibrated, strict=True))
    assert [one.record for one in first.records] == sorted(tested, key=lambda r: -above[r])[:4]
    others = audit.records[~audit.known & ~audit.member]
    best = first.records[0]
    assert best.as_high == sum(above[other] >= above[best.record] for other in others)
    assert best.label == str(judged.ledger.labels[best.record])
    assert best.image is None  # twelve numbers are no image
    assert (first.members, first.nonmembers) == (10, 10)
    assert first.found == {}  # ten non-members support no low FPR
    assert not next(iter(standing_out(judged, None))).records


def test_a_page_names_records_on_request_only(attacked: Path) -> None:
    run = RunDirectory(attacked)
    report(attacked, exposed=3)
    assert run.report.read_text().count("<li><b>") == 2 * 3
    report(attacked)
    assert "<li><b>" not in run.report.read_text()


def test_other_data_are_refused(attacked: Path) -> None:
    run = RunDirectory(attacked)
    ledger, dataset = read_ledger(run.ledger), build_setup(toys.experiment(), None, SILENCE).dataset
    ledger.labels[0] += 1
    with pytest.raises(DataError, match=r"ledger.parquet has other labels than toys:blobs has now"):
        require_labels(ledger, dataset, run.ledger)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_holds_the_pixels(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(channels, 8, 9)).astype(np.uint8)
    made = picture(pixels)
    assert made is not None
    read = np.asarray(Image.open(io.BytesIO(made)))
    np.testing.assert_array_equal(read, pixels.transpose(1, 2, 0).squeeze())


def test_what_is_no_byte_is_stretched_and_what_is_large_is_made_small() -> None:
    made = picture(np.linspace(-1, 1, 200 * 300).reshape(1, 200, 300).astype(np.float32))
    assert made is not None
    image = Image.open(io.BytesIO(made))
    assert image.size == (96, 64)
    assert image.getextrema()[1] > 250
    assert picture(np.zeros((3, 4, 4), np.float32)) is not None  # all the same: no division by 0
    assert picture(np.zeros((2, 4, 4), np.uint8)) is None
