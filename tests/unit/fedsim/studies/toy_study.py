"""A study of the toy: two training rates by one axis, two attackers, three attacks without nets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import toys
import yaml

ATTACKS = ["scalar-logistic", "gradient-norm", "label"]
STUDY: dict[str, Any] = {
    "title": "The toy at two rates",
    "reproduces": "table X",
    "base": "toy.yaml",
    "scales": {
        "cpu": {},
        "paper": {"changes": {"federation.rounds": 5}, "axes": {"rate": {"fast": {}}}},
    },
    "axes": {
        "rate": {
            "fast": {"federation.local.learning_rate": 0.1},
            "slow": {"federation.local": {"batch_size": 20, "learning_rate": 0.01}},
        }
    },
    "reference": {"table": "table X", "only": {"attack": ["scalar-logistic"]}},
    "tables": [
        {"rows": ["rate", "adversary"], "columns": "attack", "metrics": ["accuracy", "auc"]},
        {
            "rows": ["rate"],
            "metrics": ["auc", "test accuracy", "tpr@0.01"],
            "only": {"adversary": ["curious-server"], "attack": ["label"]},
        },
    ],
}

WriteStudy = Callable[..., Path]


def writing_into(folder: Path) -> WriteStudy:
    """Return what writes the study, with some keys given anew, beside its experiment."""

    def write(**keys: Any) -> Path:
        toy = folder / "toy.yaml"
        toy.write_text(yaml.safe_dump(toys.tree(attacks=ATTACKS), sort_keys=False))
        path = folder / "study.yaml"
        path.write_text(yaml.safe_dump({**STUDY, **keys}, sort_keys=False))
        return path

    return write
