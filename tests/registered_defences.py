"""The defences that fedsim brings, and settings for each under which it acts on the toy federation.

Tests that hold for every defence go over `SETTINGS`, and one of them holds it against the entry
points: a defence that is registered and not listed here fails it.
"""

from importlib.metadata import entry_points
from typing import Any

from fedsim import plugins
from fedsim.defences import Defence
from fedsim.training.trainer import LocalTrainer

NOISE = {"clipping_norm": 0.3, "noise_multiplier": 1.0}
SETTINGS: dict[str, dict[str, Any]] = {
    "adaptive-clipping": NOISE,
    "clipped-updates": {"max_norm": 0.1},
    "distributed-dp": NOISE,
    "fixed-clipping": NOISE,
    "local-dp": NOISE,
    "mixup": {},
    "perturbed-updates": {"standard_deviation": 0.01},
    "quantized-updates": {"bits": 1},
    "random-k": {"share": 0.5},
    "relax-loss": {"level": 0.5},
    "secure-aggregation": {},
    "server-adaptive-clipping": NOISE,
    "server-fixed-clipping": NOISE,
    "top-k": {"share": 0.1},
}
TRAINERS: dict[str, dict[str, Any]] = {"dp-sgd": {"noise_multiplier": 1.0}}
"""Trainers that are defences."""


def registered(group: str) -> set[str]:
    """Return the names of the plugins of a group that are fedsim's own."""
    found = entry_points(group=f"fedsim.{group}")
    return {point.name for point in found if point.value.startswith("fedsim.")}


def with_guarantees() -> set[str]:
    """Return the names of the defences and trainers that may guarantee something."""
    return {
        name
        for group, base in (("defences", Defence), ("trainers", LocalTrainer))
        for name in registered(group)
        if plugins.resolve(group, name).guarantee is not base.guarantee
    }


def sections_with(name: str, **local: Any) -> dict[str, Any]:
    """Return the sections of an experiment that have a defence, or a trainer that is one."""
    if name in TRAINERS:
        return {"federation": {"local": {"trainer": {"name": name, **TRAINERS[name]}, **local}}}
    return {"defences": [{"name": name, **SETTINGS[name]}]}
