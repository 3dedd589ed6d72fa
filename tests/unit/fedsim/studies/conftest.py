"""Every test of studies writes the study of the toy into a folder of its own."""

from pathlib import Path

import pytest
from toy_study import WriteStudy, writing_into


@pytest.fixture
def write_study(tmp_path: Path) -> WriteStudy:
    """Return what writes the study, with some keys given anew, beside its experiment."""
    return writing_into(tmp_path)
