"""Joining a Ray cluster that is not there: one sentence, and at once."""

import signal
import socket
import threading

import pytest

from fedsim.config.engine import RayEngine
from fedsim.engines.factory import open_engine
from fedsim.engines.ray import connection
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


@pytest.mark.parametrize("fails", [False, True])
def test_rays_signal_handler_is_put_back(fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray turns a SIGTERM into SystemExit, which a notebook or a test suite must not keep."""

    def connect(address: str | None) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        if fails:
            raise FedsimError("no room")

    monkeypatch.setattr(connection, "_connect", connect)
    monkeypatch.setattr(connection.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(connection.ray, "shutdown", lambda: None)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with connection.ray_connection(None):
            assert signal.getsignal(signal.SIGTERM) is not before
    except FedsimError:
        assert fails
    assert signal.getsignal(signal.SIGTERM) is before
