import http.server
import io
import tarfile
import threading
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from fedsim.data import SourceLocation
from fedsim.data.archive import git_blob_id
from fedsim.data.digits import read_digits
from fedsim.data.sources.location30 import Location30
from fedsim.data.sources.purchase100 import Purchase100
from fedsim.data.sources.texas100 import Texas100
from fedsim.data.tar_reader import read_members
from fedsim.errors import DataError

RANDOM = np.random.default_rng(0)


def write_archive(path, members):
    """Write {name: bytes, or a TarInfo of its own kind} as a gzipped tar; return its blob id."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name) if isinstance(content, bytes) else content
            data = content if isinstance(content, bytes) else b""
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return git_blob_id(path)


def lines(labels, bits, quote='"') -> bytes:
    rows = [
        ",".join([*([] if label is None else [f"{quote}{label}{quote}"]), *map(str, row)])
        for label, row in zip(labels, bits.astype(int), strict=True)
    ]
    return ("\n".join(rows) + "\n").encode()


def link(name, target) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


def test_blob_id_is_the_one_of_git(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "hello").write_bytes(b"hello\n")
    assert git_blob_id(tmp_path / "empty") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert git_blob_id(tmp_path / "hello") == "ce013625030ba8dba906f756967f9e9ca394464a"


@pytest.mark.parametrize(
    ("source", "file_name", "member", "width", "classes", "quote"),
    [
        (Purchase100, "dataset_purchase.tgz", "dataset_purchase", 600, 100, ""),
        (Location30, "dataset_location.tgz", "bangkok", 446, 30, '"'),
    ],
)
@pytest.mark.parametrize("folder", [".", "named"])
def test_labelled_bits_come_back_exactly(
    place, source, file_name, member, width, classes, quote, folder
):
    bits = RANDOM.random((5, width)) < 0.3
    labels = [classes, 1, 2, 7, 7]
    folder = source.__name__.lower() if folder == "named" else folder
    members = {"README": b"not this", member: lines(labels, bits, quote)}
    blob_id = write_archive(place.data_dir / folder / file_name, members)
    arrays = source(blob_id=blob_id).arrays(place)
    np.testing.assert_array_equal(arrays.features, bits, strict=True)
    assert arrays.labels.tolist() == [classes - 1, 0, 1, 6, 6]
    assert (arrays.num_classes, arrays.test) == (classes, None)


def write_texas(place, features, labels):
    members = {"texas/100/feats": features, "texas/100/labels": labels}
    return Texas100(blob_id=write_archive(place.data_dir / "dataset_texas.tgz", members))


def test_texas_joins_its_two_members(place):
    bits = RANDOM.random((4, 6169)) < 0.1
    arrays = write_texas(place, lines([None] * 4, bits), b"100\n1\n3\n3\n").arrays(place)
    np.testing.assert_array_equal(arrays.features, bits, strict=True)
    assert arrays.labels.tolist() == [99, 0, 2, 2]


def test_texas_members_of_different_lengths_are_refused(place):
    source = write_texas(place, lines([None] * 4, np.ones((4, 6169))), b"1\n2\n")
    with pytest.raises(DataError, match=r"dataset_texas\.tgz: there are 4 rows .* but 2 labels"):
        source.arrays(place)


def test_a_cached_archive_is_not_needed_any_more(place):
    source = write_location(place)
    source.arrays(place)
    (place.data_dir / "dataset_location.tgz").unlink()
    assert len(source.arrays(place).labels) == 2


def write_location(place, members=None) -> Location30:
    members = members or {"bangkok": lines([1, 30], np.eye(2, 446))}
    return Location30(blob_id=write_archive(place.data_dir / "dataset_location.tgz", members))


BAD_MEMBERS = {
    "no member": ({"tokyo": b"1"}, "has no member bangkok"),
    "absolute name": ({"/bangkok": b"1"}, "has no member bangkok"),
    "name that climbs": ({"../bangkok": b"1"}, "has no member bangkok"),
    "symbolic link": ({"bangkok": link("bangkok", "/etc/passwd")}, "is not a plain file"),
    "empty": ({"bangkok": b""}, "not 447 small numbers each"),
    "short line": ({"bangkok": b'"1",0,1\n'}, "not 447 small numbers each"),
    "text": ({"bangkok": lines([1], np.ones((1, 446))).replace(b",1,", b",x,", 1)}, "small num"),
    "empty cell": ({"bangkok": lines([1], np.ones((1, 446))).replace(b",1,", b",,", 1)}, "small"),
    "not a bit": ({"bangkok": lines([1], np.full((1, 446), 2))}, "a feature is 2; valid: 0 and 1"),
    "class 0": ({"bangkok": lines([0], np.ones((1, 446)))}, "labels run from -1"),
    "class 31": ({"bangkok": lines([31], np.ones((1, 446)))}, r"valid for 30 classes: 0\.\.29"),
}


@pytest.mark.parametrize("case", BAD_MEMBERS)
def test_archives_with_unexpected_content_get_a_sentence(place, case):
    members, sentence = BAD_MEMBERS[case]
    with pytest.raises(DataError, match=rf"dataset_location\.tgz: .*{sentence}") as caught:
        write_location(place, members).arrays(place)
    assert "\n" not in str(caught.value)
    assert not place.cache_dir.exists()


@pytest.mark.parametrize("keep", [0, 1, 9, 60, 100])
def test_damaged_archives_get_a_sentence(place, keep):
    write_location(place)
    path = place.data_dir / "dataset_location.tgz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"dataset_location\.tgz: .*(damaged|no member)"):
        Location30(blob_id=git_blob_id(path)).arrays(place)


def test_flipped_bytes_get_a_sentence(place):
    write_location(place)
    path = place.data_dir / "dataset_location.tgz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"dataset_location\.tgz: "):
        Location30(blob_id=git_blob_id(path)).arrays(place)


def test_another_archive_than_the_published_one_is_refused(place):
    write_location(place)
    with pytest.raises(DataError, match=r"is not the published dataset_location.tgz.*0cfc2caa0c"):
        Location30().arrays(place)


def test_missing_archive_says_what_was_looked_for_and_where(place):
    place.data_dir.mkdir()
    sentence = r"file dataset_location\.tgz in one of .*given, .*given/location30; without"
    with pytest.raises(DataError, match=sentence):
        Location30().arrays(place)


def test_decompression_bomb_is_cut_off(tmp_path):
    path = tmp_path / "bomb.tgz"
    write_archive(path, {"filler": bytes(3 << 20), "wanted": b"1"})
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match="unpacks to more than any published"):
        read_members(path, {"wanted": lambda stream: stream.read()}, most_bytes=1 << 20)
    read = read_members(path, {"wanted": lambda stream: stream.read()}, most_bytes=4 << 20)
    assert read == {"wanted": b"1"}


def test_tables_longer_than_a_block_are_read_whole():
    row = b"0,1,255\n"
    table = read_digits(io.BytesIO(row * 1_100_000), 3)
    assert table.shape == (1_100_000, 3)
    assert table.sum(dtype=np.int64) == 1_100_000 * 256


@contextmanager
def serving(content, status=200):
    """Serve `content` at every address, and give the address of one."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/archive.tgz"
        server.shutdown()
        thread.join()


@pytest.fixture
def published(place):
    source = write_location(place)
    path = place.data_dir / "dataset_location.tgz"
    return path.read_bytes(), source._archive.blob_id


def test_download_is_verified_kept_and_decoded(place, published):
    content, blob_id = published
    said = []
    anywhere = SourceLocation(place.cache_dir, say=said.append)
    with serving(content) as url:
        arrays = Location30(url=url, blob_id=blob_id).arrays(anywhere)
    assert arrays.labels.tolist() == [0, 29]
    assert said[0] == f"downloading {url}"
    assert "100 %" in said[1]
    (kept,) = (place.cache_dir / "downloads").iterdir()
    assert kept.read_bytes() == content
    # The decoded arrays lost, the kept download serves again: the server is gone.
    (entry,) = place.cache_dir.glob("location30-*")
    (entry / "meta.json").unlink()
    assert Location30(url=url, blob_id=blob_id).arrays(anywhere).labels.tolist() == [0, 29]


@pytest.mark.parametrize(
    ("status", "extra", "sentence"),
    [
        (404, b"", r"cannot download http.* \(HTTPError\); .*--data-dir"),
        (200, b"x", r"is not the published dataset_location\.tgz"),
    ],
)
def test_failed_downloads_leave_nothing(place, published, status, extra, sentence):
    content, blob_id = published
    anywhere = replace(place, data_dir=None)
    with (
        serving(content + extra, status) as url,
        pytest.raises(DataError, match=sentence),
    ):
        Location30(url=url, blob_id=blob_id).arrays(anywhere)
    assert not [path for path in place.cache_dir.rglob("*") if path.is_file()]


def test_a_server_that_does_not_stop_is_cut_off(place, published, monkeypatch):
    monkeypatch.setattr("fedsim.data.archive.MOST_DOWNLOADED_BYTES", 100)
    content, blob_id = published
    with serving(content) as url, pytest.raises(DataError, match="sends more than 100 bytes"):
        Location30(url=url, blob_id=blob_id).arrays(SourceLocation(place.cache_dir))


def test_a_server_that_is_not_there_gets_a_sentence(place):
    source = Location30(url="http://127.0.0.1:9/archive.tgz")
    with pytest.raises(DataError, match=r"cannot download .*\(ConnectionError\)"):
        source.arrays(SourceLocation(place.cache_dir))
