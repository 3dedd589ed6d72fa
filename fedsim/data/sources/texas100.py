"""Texas100: hospital stays in Texas, 6,169 bits each, in the 100 most frequent procedures.

From the discharge data of the Texas Department of State Health Services, prepared by Shokri,
Stronati, Song and Shmatikov, "Membership inference attacks against machine learning models", S&P
2017: 67,330 records. There is no licence beside the archive, so it is downloaded on the user's word
and never redistributed.
"""

from pathlib import Path

from fedsim.data.archive import Archive, decoded_once
from fedsim.data.arrays import Arrays
from fedsim.data.digits import as_bits, as_labels, read_digits
from fedsim.data.sources.base import SourceLocation
from fedsim.data.tar_reader import read_members

NAME = "texas100"
DECODER = 1
FEATURES = "texas/100/feats"
LABELS = "texas/100/labels"
BITS = 6169
CLASSES = 100


class Texas100:
    """Texas100: 67,330 hospital stays, 6,169 bits each, in 100 classes.

    Parameters
    ----------
    url
        Where to download the archive (for a mirror).
    blob_id
        The git blob id that it must have.
    """

    def __init__(
        self,
        url: str = "https://github.com/privacytrustlab/datasets/raw/master/dataset_texas.tgz",
        blob_id: str = "966f7ff40b24cf5912ff84759aab9adb8c25f30e",
    ) -> None:
        self._archive = Archive("dataset_texas.tgz", url, blob_id)

    def arrays(self, place: SourceLocation) -> Arrays:
        """Return all stays, in the order of the archive; it has no test split."""
        return decoded_once(self._archive, NAME, place, decoder=DECODER, decode=_decoded)


def _decoded(path: Path) -> Arrays:
    tables = read_members(
        path,
        {
            FEATURES: lambda stream: read_digits(stream, BITS),
            LABELS: lambda stream: read_digits(stream, 1),
        },
    )
    return Arrays(as_bits(tables[FEATURES]), as_labels(tables[LABELS][:, 0]), num_classes=CLASSES)
