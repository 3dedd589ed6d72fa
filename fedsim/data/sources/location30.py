"""Location30: visits of people to 446 places in Bangkok, in 30 clusters of people.

From Foursquare check-ins; 5,010 records. See `fedsim.data.sources.bits_archive`.
"""

from fedsim.data.sources.bits_archive import BitsArchive


class Location30(BitsArchive):
    """Location30: 5,010 people, 446 bits each, in 30 classes."""

    name = "location30"
    file = "dataset_location.tgz"
    bits = 446
    classes = 30
    member = "bangkok"

    def __init__(
        self,
        url: str = "https://github.com/privacytrustlab/datasets/raw/master/dataset_location.tgz",
        blob_id: str = "0cfc2caa0c8c8569cd68a5d4ab369a98c1f98447",
    ) -> None:
        super().__init__(url, blob_id)
