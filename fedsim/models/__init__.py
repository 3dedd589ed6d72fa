"""The target models that participants train, one architecture per file."""

from fedsim.models.alexnet import alexnet
from fedsim.models.building import build_model, require_model_fits
from fedsim.models.densenet import densenet
from fedsim.models.exchange import exchanged_state, load_exchanged
from fedsim.models.fully_connected import fully_connected
from fedsim.models.resnet import resnet

__all__ = [
    "alexnet",
    "build_model",
    "densenet",
    "exchanged_state",
    "fully_connected",
    "load_exchanged",
    "require_model_fits",
    "resnet",
]
