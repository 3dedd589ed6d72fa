"""ResNet and DenseNet-BC have the published numbers of layers and parameters."""

import pytest
import torch
from torch import nn

from fedsim.models import densenet, resnet


def weights(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_resnet_110_is_as_large_as_published() -> None:
    network = resnet(10)
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in network.modules()) == 110
    assert weights(network) == 1_727_962  # 1.7 M in He et al., table 6


def test_densenet_bc_100_12_is_as_large_as_published() -> None:
    network = densenet(10, depth=100, growth=12)
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in network.modules()) == 100
    assert weights(network) == 769_162  # 0.8 M in Huang et al., table 2


@pytest.mark.parametrize("network", [resnet(7, depth=14, width=4), densenet(7, depth=16, growth=4)])
def test_every_record_has_its_own_output(network: nn.Module) -> None:
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    network.eval()
    with torch.no_grad():
        together = network(images)
        alone = torch.cat([network(image[None]) for image in images])
    assert together.shape == (3, 7)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [resnet, densenet])
def test_an_impossible_depth_names_the_valid_ones(make: type) -> None:
    with pytest.raises(ValueError, match="depth 11 is not 6n"):
        make(10, depth=11)
