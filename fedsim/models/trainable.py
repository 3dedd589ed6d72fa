"""Telling the parameters in a message, which training changes, from the buffers.

Running statistics and counters of normalisation layers are sent with the parameters and are often
much larger than an update, so every measure of an update leaves them out. Names are read from the
model; in an app without a model they are inferred from the arrays' names and types.
"""

from collections.abc import Collection

from flwr.app import ArrayRecord
from torch import nn

_OF_NORMALISATION = ("running_mean", "running_var", "num_batches_tracked")


def trainable_names(model: nn.Module) -> frozenset[str]:
    """Return the names of a model's parameters that training changes; tied ones have one name.

    >>> sorted(trainable_names(nn.BatchNorm1d(3)))
    ['bias', 'weight']
    """
    return frozenset(name for name, p in model.named_parameters() if p.requires_grad)


def float_buffers(model: nn.Module) -> frozenset[str]:
    """Return the names of a model's floating-point buffers, which are sent with its parameters.

    >>> sorted(float_buffers(nn.BatchNorm1d(3)))
    ['running_mean', 'running_var']
    """
    kept = model.state_dict()
    return frozenset(
        name for name, b in model.named_buffers() if name in kept and b.is_floating_point()
    )


def likely_trainable(*records: ArrayRecord) -> frozenset[str]:
    """Return the names that are likely parameters, inferred from the messages alone.

    These are the arrays that are floating-point in every record and do not have the names of
    buffers of PyTorch's normalisation layers. Counters are integers in an upload, although a mean
    of them is floating-point.
    """
    names = set(records[0])
    for record in records:
        names &= {name for name, array in record.items() if array.dtype.startswith("float")}
    return frozenset(n for n in names if n.rpartition(".")[2] not in _OF_NORMALISATION)


def required_names(names: Collection[str] | None, *records: ArrayRecord) -> frozenset[str]:
    """Return the given names that the records have; without `names`, `likely_trainable` ones."""
    if names is None:
        return likely_trainable(*records)
    return frozenset(names).intersection(*(record.keys() for record in records))
