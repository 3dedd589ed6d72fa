"""Purchase100: purchases of a shop's customers among 600 products, in 100 clusters of customers.

From the "acquire valued shoppers" challenge; 197,324 records. See
`fedsim.data.sources.bits_archive`.
"""

from fedsim.data.sources.bits_archive import BitsArchive


class Purchase100(BitsArchive):
    """Purchase100: 197,324 customers, 600 bits each, in 100 classes."""

    name = "purchase100"
    file = "dataset_purchase.tgz"
    bits = 600
    classes = 100
    member = "dataset_purchase"

    def __init__(
        self,
        url: str = "https://github.com/privacytrustlab/datasets/raw/master/dataset_purchase.tgz",
        blob_id: str = "3efa7476ad5ed7ac3e558d28585a186b38fc5f19",
    ) -> None:
        super().__init__(url, blob_id)
