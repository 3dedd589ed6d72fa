"""Every defence with noise or sums keeps what `fedsim check` asks of one."""

from pathlib import Path
from typing import Any

import pytest

from fedsim.conformance.checklist import CheckStatus, findings_of
from fedsim.conformance.defence_checks import defence_checks

pytestmark = pytest.mark.usefixtures("flower")
NOISE = {"clipping_norm": 0.3, "noise_multiplier": 1.0}


@pytest.mark.parametrize(
    ("name", "settings", "promised"),
    [
        ("fixed-clipping", NOISE, "of a participant against participants and outsiders"),
        ("server-fixed-clipping", NOISE, "of a participant against participants and outsiders"),
        ("adaptive-clipping", NOISE, "of a participant against participants and outsiders"),
        ("server-adaptive-clipping", NOISE, "of a participant against participants and outsiders"),
        ("local-dp", NOISE, "of a participant against the server, participants and outsiders"),
        ("distributed-dp", NOISE, "hides participant from the server"),
        ("secure-aggregation", {}, "nothing is guaranteed; hides participant from the server"),
    ],
)
def test_ours_pass(name: str, settings: dict[str, Any], promised: str, tmp_path: Path) -> None:
    found = list(findings_of(defence_checks(name, settings, tmp_path)))
    broken = [(one.claim, one.said) for one in found if one.status is CheckStatus.FAILED]
    assert broken == []
    assert promised in found[-1].said
