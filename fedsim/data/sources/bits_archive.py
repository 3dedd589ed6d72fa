"""The base class of the archives of sparse bits: Purchase100, Texas100 and Location30.

All three were prepared by Shokri, Stronati, Song and Shmatikov, "Membership inference attacks
against machine learning models", S&P 2017. The archives come without a licence, so each is
downloaded on the user's request only, and never redistributed.
"""

from pathlib import Path
from typing import ClassVar

from fedsim.data.archive import Archive, load_archive, require_archive
from fedsim.data.arrays import Arrays
from fedsim.data.digits import as_bits, as_labels, read_digits
from fedsim.data.sources.base import SourceLocation
from fedsim.data.tar_reader import read_members


class BitsArchive:
    """An archive of records of bits, each with its class.

    Parameters
    ----------
    url
        The URL of the archive (for a mirror).
    blob_id
        The git blob id that the archive must have.

    Attributes
    ----------
    name, file, bits, classes
        The data set's name, the archive's file name, the bits of a record, the number of classes.
    member
        The file in the archive with one record per line, which begins with the class.
    decoder
        The version of `decode`, to increase if it returns something else for the same archive.
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
        """Return all records, in the order of the archive, which has no test split."""
        return load_archive(
            self._archive, self.name, place, decoder=self.decoder, decode=self.decode
        )

    def require_files(self, place: SourceLocation) -> None:
        """Raise `DataError` if neither the data directory nor the cache has the archive."""
        require_archive(self._archive, self.name, place, decoder=self.decoder)

    @classmethod
    def decode(cls, path: Path) -> Arrays:
        """Return the arrays in an archive.

        Raises
        ------
        DataError
            If it is damaged, or has other content.
        """
        members = read_members(path, {cls.member: lambda file: read_digits(file, 1 + cls.bits)})
        table = members[cls.member]
        return Arrays(as_bits(table[:, 1:]), as_labels(table[:, 0]), num_classes=cls.classes)
