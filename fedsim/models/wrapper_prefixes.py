"""Parameter names with the prefix of a wrapper around the model.

``torch.compile``, data parallelism and Opacus wrap a model, and the wrapper's state dict has a
prefix before each name. Weights saved from the wrapper differ from the model's in their names only.
"""

from collections.abc import Iterable

WRAPPERS = {
    "module": "torch.nn.DataParallel and DistributedDataParallel",
    "_orig_mod": "torch.compile",
    "_module": "Opacus",
}
"""The prefix that a wrapper adds to names, and the wrapper."""


def wrapper_hint(names: Iterable[str], expected: Iterable[str]) -> str:
    """Return advice if names differ from the expected ones by the prefixes of wrappers only.

    Returns
    -------
    str
        The end of a sentence; empty if there are other differences.

    Examples
    --------
    >>> wrapper_hint(["_orig_mod.fc.weight"], ["fc.weight"])
    "; its names have '_orig_mod.', which torch.compile adds: save the state dict of the model \
inside the wrapper (model._orig_mod.state_dict()), or remove that part of the names"
    >>> wrapper_hint(["fc.weights"], ["fc.weight"])
    ''
    """
    names, expected = list(names), set(expected)
    parts = dict.fromkeys(p for name in names for p in name.split(".") if p in WRAPPERS)
    added = [part for part in parts if not any(part in name.split(".") for name in expected)]
    if added and {_without(name, added) for name in names} == expected:
        added_parts = " and ".join(f"'{part}.', which {WRAPPERS[part]} adds" for part in added)
        return (
            f"; its names have {added_parts}: save the state dict of the model inside the wrapper "
            f"(model.{'.'.join(added)}.state_dict()), or remove that part of the names"
        )
    if len(names) == len(expected) and (prefix := _common_prefix(names, expected)):
        return (
            f"; all its names begin with {prefix!r}: save the state dict of that module, or remove "
            "the prefix"
        )
    return ""


def _without(name: str, parts: Iterable[str]) -> str:
    return ".".join(part for part in name.split(".") if part not in parts)


def _common_prefix(names: list[str], expected: set[str]) -> str:
    """Return the prefix that all names have before the expected names; empty if there is none."""
    prefix = names[0].partition(".")[0] + "." if names and "." in names[0] else ""
    fits = prefix and {name.removeprefix(prefix) for name in names} == expected
    return prefix if fits and all(name.startswith(prefix) for name in names) else ""
