"""Joining a Ray cluster that is not there: one sentence, and at once."""

import socket
import time

import pytest

from fedsim.engine_settings import RayEngine
from fedsim.engines.opening import opened
from fedsim.errors import FedsimError


def test_where_nothing_listens_one_sentence_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    began = time.monotonic()
    told = rf"no Ray cluster to join at engine.address 127\.0\.0\.1:{port} \(.*refused\); this mach"
    with pytest.raises(FedsimError, match=told):
        opened(RayEngine(address=f"127.0.0.1:{port}")).__enter__()
    assert time.monotonic() - began < 3
