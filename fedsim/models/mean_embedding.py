"""A small classifier of texts by the mean of their token embeddings, as in fastText.

Joulin, Grave, Bojanowski and Mikolov, "Bag of tricks for efficient text classification", EACL 2017.
"""

from torch import Tensor, nn

from fedsim.models.sizes import Size


class MeanEmbedding(nn.Module):
    """The mean of a text's token embeddings, then a linear layer (Joulin et al., EACL 2017).

    Parameters
    ----------
    num_classes
        The number of logits.
    vocabulary
        The number of token ids, including the padding; 257 for bytes.
    width
        The dimension of an embedding.
    padding
        The id that fills the end of a short text, which the mean leaves out; 256 for bytes.

    Examples
    --------
    >>> MeanEmbedding(num_classes=2)(torch.tensor([[97, 98, 256]])).shape
    torch.Size([1, 2])
    """

    def __init__(
        self, num_classes: Size, vocabulary: Size = 257, width: Size = 64, padding: int = 256
    ) -> None:
        super().__init__()
        if not 0 <= padding < vocabulary:
            raise ValueError(
                f"padding is {padding}; valid with a vocabulary of {vocabulary}: 0 to "
                f"{vocabulary - 1}"
            )
        self.padding = padding
        self.embedding = nn.Embedding(vocabulary, width)
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (n, num_classes) of token ids (n, length)."""
        counted = (tokens != self.padding).unsqueeze(-1)
        total = (self.embedding(tokens) * counted).sum(1)
        logits: Tensor = self.classifier(total / counted.sum(1).clamp(min=1))
        return logits
