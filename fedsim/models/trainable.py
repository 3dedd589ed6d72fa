"""Which arrays of a message are parameters that training changes, and which are buffers.

Running statistics and counters of normalisation layers travel with the parameters and are often
much larger than an update, so whatever measures an update leaves them out. The model knows best; in
an app without one, the arrays' names and types have to do.
"""

from collections.abc import Collection

from flwr.app import ArrayRecord
from torch import nn

_OF_NORMALISATION = ("running_mean", "running_var", "num_batches_tracked")


def trainable_names(model: nn.Module) -> frozenset[str]:
    """Return the names of a model's parameters that training changes, tied ones once.

    >>> sorted(trainable_names(nn.BatchNorm1d(3)))
    ['bias', 'weight']
    """
    return frozenset(name for name, p in model.named_parameters() if p.requires_grad)


def float_buffers(model: nn.Module) -> frozenset[str]:
    """Return the names of a model's floating-point buffers, which travel with its parameters.

    >>> sorted(float_buffers(nn.BatchNorm1d(3)))
    ['running_mean', 'running_var']
    """
    kept = model.state_dict()
    return frozenset(
        name for name, b in model.named_buffers() if name in kept and b.is_floating_point()
    )


def likely_trainable(*records: ArrayRecord) -> frozenset[str]:
    """Return the names that are likely parameters, inferred from the messages alone.

    They are floating-point numbers in every record (a mean makes such of counters, too, but an
    upload has them as they are), and not called as the buffers of PyTorch's normalisation layers.
    """
    names = set(records[0])
    for record in records:
        names &= {name for name, array in record.items() if array.dtype.startswith("float")}
    return frozenset(n for n in names if n.rpartition(".")[2] not in _OF_NORMALISATION)


def required_names(names: Collection[str] | None, *records: ArrayRecord) -> frozenset[str]:
    """Return the given names as far as the records have them; likely ones where none are given."""
    if names is None:
        return likely_trainable(*records)
    return frozenset(names).intersection(*(record.keys() for record in records))
