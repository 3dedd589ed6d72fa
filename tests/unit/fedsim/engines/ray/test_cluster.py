"""Joining a Ray cluster that is not there: one sentence, and at once."""

import socket
import threading

import pytest

from fedsim.config.engine import RayEngine
from fedsim.engines.factory import open_engine
from fedsim.errors import FedsimError


def refusal(port: int) -> str:
    with pytest.raises(FedsimError) as refused:
        open_engine(RayEngine(address=f"127.0.0.1:{port}")).__enter__()
    return str(refused.value)


def test_where_nothing_listens_one_sentence_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    told = refusal(port)
    assert told.startswith(f"there is no Ray cluster to join at engine.address 127.0.0.1:{port} (")
    assert "Connection refused" in told


def test_where_another_service_listens_one_sentence_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def answer() -> None:
            with server.accept()[0] as client:
                client.sendall(b"HTTP/1.1 505 HTTP Version Not Supported\r\n\r\n")

        listener = threading.Thread(target=answer)
        listener.start()
        assert "Failed parsing HTTP/2" in refusal(server.getsockname()[1])
        listener.join()
