"""Which way participants compute the convolutions of their model, where it is left to fedsim."""

from torch import nn

from fedsim.models.convolutions import (
    channels_last_pays,
    record_convolution_calls,
    small_convolutions,
)
from fedsim.training.client_tasks import Participants
from fedsim.training.sgd import SGD


def convolution_ways(participants: Participants) -> tuple[tuple[str, ...], bool]:
    """Return which layers are computed by rows, and whether channels are last, by rule.

    None and false where the training is not that of the trainer `sgd` in single precision, with
    nothing around it: Opacus takes layers of PyTorch's own types only.
    """
    plain = participants.wrap_trainer is None and type(participants.new_trainer()) is SGD
    if not plain or participants.local.precision != "fp32":
        return (), False
    model = participants.new_model()
    if not any(isinstance(module, nn.Conv2d) for module in model.modules()):
        return (), False
    inputs, _ = participants.dataset.batch(max(participants.training_records, key=len)[:2])
    calls = record_convolution_calls(model, inputs)
    return small_convolutions(calls), channels_last_pays(calls)
