"""The classifier of texts: its mean counts no padding."""

import pytest
import torch

from fedsim.errors import PluginError
from fedsim.models.mean_embedding import MeanEmbedding
from fedsim.plugins import build


def test_logits_are_those_of_the_mean_of_the_tokens_before_the_padding() -> None:
    model = MeanEmbedding(num_classes=3, vocabulary=7, width=4, padding=6)
    expected = model.classifier(model.embedding.weight[[1, 5, 5]].mean(0))
    for length in (3, 9):
        tokens = torch.tensor([[1, 5, 5, *[6] * (length - 3)]])
        assert torch.allclose(model(tokens)[0], expected, atol=1e-6)
    assert torch.equal(model(torch.full((1, 3), 6))[0], model.classifier.bias)


def test_a_padding_outside_of_the_vocabulary_is_refused() -> None:
    with pytest.raises(PluginError, match="padding is 9; valid with a vocabulary of 7: 0 to 6"):
        build("models", "mean-embedding", {"vocabulary": 7, "padding": 9, "num_classes": 2})
