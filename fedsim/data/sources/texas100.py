"""Texas100: hospital stays in Texas, 6,169 bits each, in the 100 most frequent procedures.

From the discharge data of the Texas Department of State Health Services; 67,330 records. See
`fedsim.data.sources.bits_archive`.
"""

from pathlib import Path

from fedsim.data.arrays import Arrays
from fedsim.data.digits import as_bits, as_labels, read_digits
from fedsim.data.sources.bits_archive import BitsArchive
from fedsim.data.tar_reader import read_members


class Texas100(BitsArchive):
    """Texas100: 67,330 hospital stays, 6,169 bits each, in 100 classes."""

    name = "texas100"
    file = "dataset_texas.tgz"
    bits = 6169
    classes = 100
    member = "texas/100/feats"  # the bits only; the classes are in another file
    labels = "texas/100/labels"

    def __init__(
        self,
        url: str = "https://github.com/privacytrustlab/datasets/raw/master/dataset_texas.tgz",
        blob_id: str = "966f7ff40b24cf5912ff84759aab9adb8c25f30e",
    ) -> None:
        super().__init__(url, blob_id)

    @classmethod
    def decode(cls, path: Path) -> Arrays:
        """Return the arrays in an archive; see `BitsArchive.decode`."""
        tables = read_members(
            path,
            {
                cls.member: lambda file: read_digits(file, cls.bits),
                cls.labels: lambda file: read_digits(file, 1),
            },
        )
        labels = as_labels(tables[cls.labels][:, 0])
        return Arrays(as_bits(tables[cls.member]), labels, num_classes=cls.classes)
