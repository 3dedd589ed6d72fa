"""Nothing but an objective names the loss of a record."""

import re
from pathlib import Path

import adversaries
import fedsim


def test_nothing_else_calls_cross_entropy() -> None:
    calls = re.compile(r"(?<!binary_)cross_entropy\(|CrossEntropyLoss\(|nll_loss\(")
    sources = [
        path
        for package in (fedsim, adversaries)
        for path in Path(str(package.__file__)).parent.rglob("*.py")
        if path.parent.name != "objectives"
    ]
    assert len(sources) > 100
    assert [path for path in sources if calls.search(path.read_text(encoding="utf-8"))] == []
