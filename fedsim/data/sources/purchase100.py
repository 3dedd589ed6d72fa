"""Purchase100: what customers of a shop bought, 600 products, in 100 clusters of customers.

From the "acquire valued shoppers" challenge, prepared by Shokri, Stronati, Song and Shmatikov,
"Membership inference attacks against machine learning models", S&P 2017: 197,324 records. There is
no licence beside the archive, so it is downloaded on the user's word and never redistributed.
"""

from pathlib import Path

from fedsim.data.archive import Archive, decoded_once
from fedsim.data.arrays import Arrays
from fedsim.data.digits import as_bits, as_labels, read_digits
from fedsim.data.sources.base import SourceLocation
from fedsim.data.tar_reader import read_members

NAME = "purchase100"
DECODER = 1
MEMBER = "dataset_purchase"
BITS = 600
CLASSES = 100


class Purchase100:
    """Purchase100: 197,324 customers, 600 bits each, in 100 classes.

    Parameters
    ----------
    url
        Where to download the archive (for a mirror).
    blob_id
        The git blob id that it must have.
    """

    def __init__(
        self,
        url: str = "https://github.com/privacytrustlab/datasets/raw/master/dataset_purchase.tgz",
        blob_id: str = "3efa7476ad5ed7ac3e558d28585a186b38fc5f19",
    ) -> None:
        self._archive = Archive("dataset_purchase.tgz", url, blob_id)

    def arrays(self, place: SourceLocation) -> Arrays:
        """Return all customers, in the order of the archive; it has no test split."""
        return decoded_once(self._archive, NAME, place, decoder=DECODER, decode=_decoded)


def _decoded(path: Path) -> Arrays:
    table = read_members(path, {MEMBER: lambda stream: read_digits(stream, 1 + BITS)})[MEMBER]
    return Arrays(as_bits(table[:, 1:]), as_labels(table[:, 0]), num_classes=CLASSES)
