"""What the archives of sparse bits have in common: Purchase100, Texas100 and Location30.

All three were prepared by Shokri, Stronati, Song and Shmatikov, "Membership inference attacks
against machine learning models", S&P 2017. There is no licence beside the archives, so each is
downloaded on the user's word and never redistributed.
"""

from pathlib import Path
from typing import ClassVar

from fedsim.data.archive import Archive, decoded_once, require_archive
from fedsim.data.arrays import Arrays
from fedsim.data.digits import as_bits, as_labels, read_digits
from fedsim.data.sources.base import SourceLocation
from fedsim.data.tar_reader import read_members


class BitsArchive:
    """An archive of records of bits, each with its class.

    Parameters
    ----------
    url
        Where to download the archive (for a mirror).
    blob_id
        The git blob id that it must have.

    Attributes
    ----------
    name, file, bits, classes
        Of the data set: its name, the archive's, how many bits a record has, how many classes.
    member
        The file in the archive that has a record per line, its class first.
    decoder
        Counted up when `decode` makes something else of the same archive.
    """

    name: ClassVar[str]
    file: ClassVar[str]
    bits: ClassVar[int]
    classes: ClassVar[int]
    member: ClassVar[str]
    decoder: ClassVar[int] = 1

    def __init__(self, url: str, blob_id: str) -> None:
        self._archive = Archive(self.file, url, blob_id)

    def arrays(self, place: SourceLocation) -> Arrays:
        """Return all records, in the order of the archive; it has no test split."""
        return decoded_once(
            self._archive, self.name, place, decoder=self.decoder, decode=self.decode
        )

    def require_files(self, place: SourceLocation) -> None:
        """Raise `DataError` if the data directory lacks an archive that was not decoded before."""
        require_archive(self._archive, self.name, place, decoder=self.decoder)

    @classmethod
    def decode(cls, path: Path) -> Arrays:
        """Return the arrays in an archive.

        Raises
        ------
        DataError
            If it is damaged, or holds something else.
        """
        members = read_members(path, {cls.member: lambda file: read_digits(file, 1 + cls.bits)})
        table = members[cls.member]
        return Arrays(as_bits(table[:, 1:]), as_labels(table[:, 0]), num_classes=cls.classes)
