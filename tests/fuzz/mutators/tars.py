"""Breaking gzipped tar archives: members that are not files, names that climb, sizes that lie."""

import gzip
import io
import tarfile
from random import Random

from fuzz.mutators import raw

BLOCK = 512
KINDS = (
    *(tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE),
    *(tarfile.DIRTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, tarfile.GNUTYPE_LONGNAME),
    *(tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, b"\0", b"?"),
)
NAMES = ("../{}", "/{}", "./{}", "a/../{}", "{}/", "{}\0", "", "\udcff{}", "{}" + "x" * 300)
SIZES = (
    b"77777777777\0",
    b"\xff" * 12,
    b"\x80" + b"\0" * 10 + b"\xff",
    b"-0000000001\0",
    b"x" * 12,
)
FIELDS = ((0, 100), (100, 8), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8), (345, 155))


def packed(members: dict[str, bytes]) -> bytes:
    """Return a gzipped tar archive of plain files."""
    return _zipped(_tarred([(tarfile.TarInfo(name), data) for name, data in members.items()]))


def mutated(members: dict[str, bytes], random: Random) -> bytes:
    """Return a broken archive of these members."""
    kind = random.random()
    if kind < 0.2:
        return raw.mutated(packed(members), random)
    if kind < 0.45:
        broken = {name: raw.mutated(data, random) for name, data in members.items()}
        return packed(broken)
    if kind < 0.7:
        return _zipped(_with_header_edited(_tarred_plainly(members), random))
    return _zipped(_tarred([_disguised(name, data, random) for name, data in members.items()]))


def _disguised(name: str, data: bytes, random: Random) -> tuple[tarfile.TarInfo, bytes]:
    """Return a member that is something else than a file of its name."""
    info = tarfile.TarInfo(name)
    change = random.randrange(4)
    if change == 0:
        info.type = random.choice(KINDS)
        info.linkname = random.choice((name, "/etc/passwd", "../outside", "/dev/zero", ""))
    elif change == 1:
        info.name = random.choice(NAMES).format(name)
    elif change == 2:
        info.pax_headers = random.choice(
            (
                {"size": "99999999999999"},
                {"size": "-1"},
                {"size": "x"},
                {"path": "../" + name},
                {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": name},
                {"GNU.sparse.map": "0,1,x", "GNU.sparse.size": "9" * 30},
                {"GNU.sparse.size": "1", "GNU.sparse.map": "1"},
                {"mtime": "nan", "uid": "1e400"},
                {"comment": "x" * 100_000},
            )
        )
    else:
        data = random.choice((b"", data[: len(data) // 2], data * 3, b"\0" * 4096, b",\n" * 999))
    return info, data


def _tarred(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return sink.getvalue()


def _tarred_plainly(members: dict[str, bytes]) -> bytes:
    return _tarred([(tarfile.TarInfo(name), data) for name, data in members.items()])


def _with_header_edited(content: bytes, random: Random) -> bytes:
    """Edit fields of a member's header, most often with a checksum that fits."""
    broken = bytearray(content)
    start = 0
    for _ in range(random.choice((1, 1, 2))):
        field, size = random.choice(FIELDS)
        if field == 124:
            value = random.choice(SIZES)
        elif field == 156:
            value = random.choice(KINDS)
        else:
            value = random.randbytes(size)
        broken[start + field : start + field + size] = value[:size].ljust(size, b"\0")
    if random.random() < 0.9:
        broken[start + 148 : start + 156] = b" " * 8
        total = sum(broken[start : start + BLOCK])
        broken[start + 148 : start + 156] = b"%06o\0 " % total
    return bytes(broken)


def _zipped(content: bytes) -> bytes:
    return gzip.compress(content, compresslevel=1, mtime=0)
