"""Memory that is used again: never too early, and as soon as nobody looks at it."""

import gc
import os
import random
from collections import deque
from pathlib import Path

import numpy as np
import pytest
import torch

from fedsim.transport.buffer_pool import BufferLayout, BufferPool, Uploads

PAGE = os.sysconf("SC_PAGE_SIZE")
MIXED = BufferLayout.of(
    {
        "w": torch.zeros(5, 3),
        "counts": torch.zeros((), dtype=torch.int64),
        "half": torch.zeros(7, dtype=torch.float16),
        "none": torch.zeros(0, 4),
    }
)


def sized(pages: int) -> BufferLayout:
    return BufferLayout.of({"w": torch.zeros(pages * PAGE, dtype=torch.uint8)})


@pytest.fixture
def pool() -> BufferPool:
    found = BufferPool.of_machine()
    assert found is not None
    return found


def uploads_in(pool: BufferPool) -> Uploads:
    uploads = Uploads()
    uploads.use_pool(pool)
    return uploads


def shared_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssShmem:")[1].split()[0])


def address(tensor: torch.Tensor) -> int:
    return tensor.data_ptr()


@pytest.mark.parametrize("many", [1, 3])
@pytest.mark.parametrize("in_arena", [True, False])
def test_arrays_have_their_shapes_and_types_and_do_not_overlap(
    pool: BufferPool, many: int, in_arena: bool
) -> None:
    uploads = Uploads()
    uploads.use_pool(pool if in_arena else None)
    rooms = uploads.rooms(many, MIXED)
    assert [t.shape for t in rooms.tensors] == [(many, 5, 3), (many,), (many, 7), (many, 0, 4)]
    assert [t.dtype for t in rooms.tensors[:3]] == [torch.float32, torch.int64, torch.float16]
    for number, tensor in enumerate(rooms.tensors):
        tensor.fill_(number + 1)
    assert [set(t.flatten().tolist()) for t in rooms.tensors] == [{1}, {2}, {3}, set()]
    assert all(t.data_ptr() % 8 == 0 for t in rooms.tensors if t.numel())
    assert (rooms.places is None) is not in_arena


def test_a_view_of_one_array_keeps_the_whole_block(pool: BufferPool) -> None:
    uploads = uploads_in(pool)
    first = uploads.rooms(2, MIXED).tensors
    where = address(first[0])
    row = first[2].numpy()[1]
    del first
    assert address(uploads.rooms(2, MIXED).tensors[0]) != where
    del row
    assert address(uploads.rooms(2, MIXED).tensors[0]) == where


def test_what_is_lent_is_kept_until_it_is_returned(pool: BufferPool) -> None:
    uploads, dropped = uploads_in(pool), deque[int]()
    rooms = uploads.rooms(2, MIXED)
    rooms.tensors[0][1] = 5
    where, places = address(rooms.tensors[0]), rooms.places
    assert places is not None
    for place in places:
        pool.lend(place)
    seen = [places[1].values(pool.borrowed(p, dropped), MIXED.parts[0]) for p in places]
    del rooms
    assert address(uploads.rooms(2, MIXED).tensors[0]) != where
    np.testing.assert_array_equal(seen[1], np.full((5, 3), 5, np.float32))
    seen.pop(0)
    pool.returned(list(dropped))
    assert len(dropped) == 1
    assert address(uploads.rooms(2, MIXED).tensors[0]) != where
    seen.clear()
    pool.returned([dropped[-1]])
    assert len(dropped) == 2
    assert address(uploads.rooms(2, MIXED).tensors[0]) == where


def test_nothing_that_is_looked_at_is_ever_written_over(pool: BufferPool) -> None:
    draw, uploads = random.Random(5), uploads_in(pool)
    held: list[tuple[int, torch.Tensor]] = []
    for number in range(2_000):
        size = draw.randrange(1, 6)
        [values] = uploads.rooms(size, sized(1)).tensors
        values.fill_(number % 251)
        held.append((number % 251, values[draw.randrange(size)]))
        while len(held) > draw.randrange(1, 30):
            held.pop(draw.randrange(len(held)))
        assert all(bool((value == expected).all()) for expected, value in held)
    del values
    held.clear()
    # All blocks are free again: as many as were made, each once.
    uploads.rooms(1, sized(1))
    pool._note_changes()
    assert sorted(number for _, number in pool._free) == list(range(len(pool._blocks)))


def test_free_blocks_of_other_sizes_take_no_memory_beside_a_new_one(pool: BufferPool) -> None:
    uploads, before = uploads_in(pool), shared_bytes()
    for pages in (100, 1_000, 30, 2_500, 7):
        uploads.rooms(1, sized(pages)).tensors[0].fill_(1)
    assert shared_bytes() - before <= 2_600 * PAGE
    again = uploads.rooms(1, sized(1_000)).tensors[0]
    again.fill_(3)
    assert bool((again == 3).all())


def test_a_block_is_not_wasted_on_what_is_much_smaller(pool: BufferPool) -> None:
    uploads = uploads_in(pool)
    large = address(uploads.rooms(1, sized(10)).tensors[0])
    small = uploads.rooms(1, sized(4)).tensors[0]
    assert address(small) != large
    assert address(uploads.rooms(1, sized(5)).tensors[0]) == large


def test_where_no_room_is_left_memory_is_fresh(pool: BufferPool) -> None:
    uploads = uploads_in(pool)
    pool._end = len(pool._memory) - PAGE
    last, beyond = uploads.rooms(1, sized(1)), uploads.rooms(1, sized(1))
    assert last.places is not None
    assert beyond.places is None
    beyond.tensors[0].fill_(1)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_does_not_write_over_its_parents_uploads() -> None:
    uploads = Uploads()
    [mine] = uploads.rooms(1, sized(1)).tensors
    mine.fill_(1)
    [dropped] = uploads.rooms(1, sized(1)).tensors
    del dropped
    child = os.fork()
    if child == 0:
        made = [uploads.rooms(1, sized(1)).tensors[0] for _ in range(3)]
        for one in made:
            one.fill_(2)
        os._exit(0 if bool((mine == 1).all()) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert bool((mine == 1).all())
    [again] = uploads.rooms(1, sized(1)).tensors
    assert 2 not in again.tolist()


def test_memory_goes_back_to_the_system_with_its_arena() -> None:
    before = shared_bytes()
    uploads = Uploads()
    uploads.rooms(1, sized(2_000)).tensors[0].fill_(1)
    assert shared_bytes() - before >= 2_000 * PAGE
    del uploads
    gc.collect()
    assert shared_bytes() - before < 100 * PAGE
