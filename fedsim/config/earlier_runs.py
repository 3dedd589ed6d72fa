"""Settings that runs of earlier versions did not have are not written where they are not used.

A run directory is resumed, and a cell of a study found, by its resolved experiment.
"""

from typing import Any

from fedsim.config.metrics import DEFAULT_CHOICES

_LATER: dict[str, dict[str, Any]] = {
    "data": {"split_seed": None},
    "partition": {"seed": None},
    "audit": {
        "nonmember_source": "any",
        "nonmember_classes": "victim",
        "unit": "record",
        "user_score": "mean",
        "canaries": [],
        "canary_participants": 0,
        "federation_seeds": 1,
    },
}
"""Settings that runs of earlier versions did not have, with what they did."""


def without_later_defaults(tree: dict[str, Any]) -> dict[str, Any]:
    """Return a resolved experiment without them, where they are not used."""
    local = tree["federation"]["local"]
    for section, later in _LATER.items():
        for key, default in later.items():
            if tree[section][key] == default:
                del tree[section][key]
    if not tree["defences"]:
        del tree["defences"]
    if tree["objective"] is None:
        del tree["objective"]
    if not local["drop_last"]:
        del local["drop_last"]
    if local["trainer"] == {"name": "sgd"}:
        del local["trainer"]
    if tree["metrics"] == [choice.written() for choice in DEFAULT_CHOICES]:
        del tree["metrics"]
    return tree
