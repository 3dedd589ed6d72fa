"""Published data: archives, images, decoded arrays in the cache, and arrays of a user's own."""

import io
import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import toys
from PIL import Image

from fedsim.data import Arrays, SourceLocation
from fedsim.data.cache import load_or_decode
from fedsim.data.sources.cifar import pixels
from fedsim.data.sources.location30 import Location30
from fedsim.data.splitting import from_arrays
from fuzz.corpus import Corpus
from fuzz.harness import Subject
from fuzz.mutators import npy, raw, tars, texts, trees

SIDE = 32


def archives(corpus: Corpus) -> Subject:
    """Location30's archive, past its checksum."""
    bits = np.random.default_rng(0).integers(2, size=(6, Location30.bits))
    lines = [f'"{n + 1}",' + ",".join(map(str, row)) for n, row in enumerate(bits)]
    members = {"README": b"read me\n", "bangkok": ("\n".join(lines) + "\n").encode()}
    path = corpus.folder / "archive.tgz"

    def read(broken: bytes, folder: Path) -> None:
        path.write_bytes(broken)
        Location30.decode(path)

    return Subject("archive", lambda random: tars.mutated(members, random), read)


def images(corpus: Corpus) -> Subject:
    """PNG images in a parquet column."""
    sink = io.BytesIO()
    colours = np.random.default_rng(0).integers(255, size=(SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(colours).save(sink, "PNG")
    sound = sink.getvalue()
    strange: tuple[Any, ...] = (None, {}, {"bytes": None}, {"bytes": 1}, {"bytes": b""}, "x", 3)

    def make(random: Random) -> Any:
        if random.random() < 0.02:
            return [random.choice(strange)]
        return [{"bytes": sound}, {"bytes": raw.mutated(sound, random)}]

    return Subject("image", make, lambda broken, folder: pixels(broken, "the images"))


def cache_entries(corpus: Corpus) -> Subject:
    """An entry of the cache: what is damaged is built again, and the right arrays come out."""
    place = SourceLocation(corpus.folder / "cache")
    arrays = toys.blobs(40)

    def fetch() -> Arrays:
        return load_or_decode(place, "toy", decoder=1, source="toy", decode=lambda: arrays)

    fetch()
    (entry,) = place.cache_dir.glob("toy-*")
    sound = {path.name: path.read_bytes() for path in entry.iterdir()}
    meta = json.loads(sound["meta.json"])

    def make(random: Random) -> tuple[str, bytes]:
        name = random.choice(list(sound))
        if name == "meta.json":
            return name, texts.as_json(meta, random, ("features", "labels", "bytes", "shape"))
        array = np.load(io.BytesIO(sound[name]))
        return name, random.choice((npy.mutated(array, random), raw.mutated(sound[name], random)))

    def read(broken: tuple[str, bytes], folder: Path) -> None:
        for name, content in sound.items():
            if not (entry / name).is_file() or (entry / name).read_bytes() != content:
                entry.mkdir(exist_ok=True)
                (entry / name).write_bytes(content)
        name, content = broken
        (entry / name).write_bytes(content)
        found = fetch()
        assert found.features.ndim == 2
        assert found.features.nbytes < 1 << 20
        assert not place.cache_dir.joinpath(name).exists()

    return Subject("cache", make, read)


def own_arrays(corpus: Corpus) -> Subject:
    """What a data set of a user's own may return."""
    sound: dict[str, Any] = {
        "features": np.ones((12, 3), np.float32),
        "labels": np.arange(12) % 3,
        "test": np.arange(12) < 4,
        "mean": (0.5, 0.5, 0.5),
        "std": (1.0, 1.0, 1.0),
        "num_classes": 3,
        "class_names": ("a", "b", "c"),
        "groups": np.arange(12) % 4,
        "objective": "classification",
    }
    kinds = ("f2", "f4", "f8", "f16", "c8", "i8", "u1", "u8", "?", "O", "S3", "U3", "M8[s]", "V4")
    shapes = ((), (0,), (12,), (12, 0), (0, 3), (12, 3), (12, 1, 1, 1), (12, 8, 8, 3), (11, 3))

    def make(random: Random) -> dict[str, Any]:
        broken: dict[str, Any] = dict(sound)
        for _ in range(random.choice((1, 1, 2, 3))):
            name = random.choice(list(sound))
            if random.random() < 0.3 and isinstance(sound[name], np.ndarray):
                kind = random.choice(("f2", "f8", "u1", "?", "i1", "u8"))
                broken[name] = sound[name].astype(kind)
            elif random.random() < 0.6:
                broken[name] = np.zeros(random.choice(shapes), random.choice(kinds))
                if random.random() < 0.3 and broken[name].dtype.kind == "f":
                    with np.errstate(over="ignore"):
                        broken[name][...] = random.choice((np.nan, np.inf, 1e308, -5.0))
            else:
                broken[name] = random.choice(
                    (
                        trees.scalar(random),
                        [1, 2],
                        (1.0, float("nan"), 2.0),
                        ("a", None),
                        {},
                        (0,) * 3,
                        *("regression", "multilabel", "next-token", "own:Objective"),
                    )
                )
        return broken

    def read(broken: dict[str, Any], folder: Path) -> None:
        dataset = from_arrays("own", Arrays(**broken), test_records=None, seed=0)
        inputs, labels = dataset.batch(np.arange(2))
        assert len(inputs) == len(labels) == 2
        assert dataset.duplicate.any()

    return Subject("arrays", make, read)


READERS = {
    "archive": archives,
    "image": images,
    "cache": cache_entries,
    "arrays": own_arrays,
}
