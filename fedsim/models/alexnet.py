"""AlexNet for 32x32 images, as in the code of Nasr, Shokri and Houmansadr (IEEE S&P 2019)."""

from collections import OrderedDict

from torch import nn

from fedsim.models.sizes import Shape, Share, Size


def alexnet(
    num_classes: Size, input_shape: Shape = (3, 32, 32), dropout: Share = 0.0
) -> nn.Sequential:
    """Five convolutions and one linear layer, for 32x32 images (2.5 million parameters).

    The layers are named ``conv1`` to ``conv5`` and ``classifier``. Weights are Kaiming-normal,
    because with PyTorch's default the loss stays on a plateau for the first thousand steps.

    Parameters
    ----------
    num_classes
        The number of logits.
    input_shape
        (channels, 32, 32).
    dropout
        The probability with which an input of the classifier is dropped in training.

    Raises
    ------
    ValueError
        If `input_shape` is not (channels, 32, 32).
    """
    if len(input_shape) != 3 or input_shape[1:] != (32, 32):
        raise ValueError(f"alexnet takes images of (channels, 32, 32), not {input_shape}")
    layers = OrderedDict[str, nn.Module](
        conv1=nn.Conv2d(input_shape[0], 64, kernel_size=11, stride=4, padding=5),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(64, 192, kernel_size=5, padding=2),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
        conv3=nn.Conv2d(192, 384, kernel_size=3, padding=1),
        relu3=nn.ReLU(),
        conv4=nn.Conv2d(384, 256, kernel_size=3, padding=1),
        relu4=nn.ReLU(),
        conv5=nn.Conv2d(256, 256, kernel_size=3, padding=1),
        relu5=nn.ReLU(),
        pool5=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
    )
    if dropout:
        layers["dropout"] = nn.Dropout(dropout)
    layers["classifier"] = nn.Linear(256, num_classes)
    network = nn.Sequential(layers)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            last = name == "classifier.weight"
            nn.init.kaiming_normal_(parameter, nonlinearity="linear" if last else "relu")
    return network
