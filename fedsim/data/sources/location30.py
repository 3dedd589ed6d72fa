"""Location30: where people went in Bangkok, 446 places, in 30 clusters of people.

From Foursquare check-ins, prepared by Shokri, Stronati, Song and Shmatikov, "Membership inference
attacks against machine learning models", S&P 2017: 5,010 records. There is no licence beside the
archive, so it is downloaded on the user's word and never redistributed.
"""

from pathlib import Path

from fedsim.data.archive import Archive, decoded_once
from fedsim.data.arrays import Arrays
from fedsim.data.digits import as_bits, as_labels, read_digits
from fedsim.data.sources.base import SourceLocation
from fedsim.data.tar_reader import read_members

NAME = "location30"
DECODER = 1
MEMBER = "bangkok"
BITS = 446
CLASSES = 30


class Location30:
    """Location30: 5,010 people, 446 bits each, in 30 classes.

    Parameters
    ----------
    url
        Where to download the archive (for a mirror).
    blob_id
        The git blob id that it must have.
    """

    def __init__(
        self,
        url: str = "https://github.com/privacytrustlab/datasets/raw/master/dataset_location.tgz",
        blob_id: str = "0cfc2caa0c8c8569cd68a5d4ab369a98c1f98447",
    ) -> None:
        self._archive = Archive("dataset_location.tgz", url, blob_id)

    def arrays(self, place: SourceLocation) -> Arrays:
        """Return all people, in the order of the archive; it has no test split."""
        return decoded_once(self._archive, NAME, place, decoder=DECODER, decode=decoded)


def decoded(path: Path) -> Arrays:
    """Return the arrays in an archive.

    Raises
    ------
    DataError
        If it is damaged, or holds something else.
    """
    table = read_members(path, {MEMBER: lambda stream: read_digits(stream, 1 + BITS)})[MEMBER]
    return Arrays(as_bits(table[:, 1:]), as_labels(table[:, 0]), num_classes=CLASSES)
