"""What a client is told when a broker cannot be believed."""

from __future__ import annotations

import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from jobs.broker.clients import Admin
from jobs.broker.topics import TopicProblem, _list
from jobs.cli.local.secure import SecureFiles


class _Silent(socketserver.BaseRequestHandler):
    context: ssl.SSLContext

    def handle(self) -> None:
        with suppress(OSError):
            self.context.wrap_socket(self.request, server_side=True).recv(1)


@contextmanager
def server(files: SecureFiles) -> Iterator[int]:
    """Shows a certificate and says nothing."""
    _Silent.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _Silent.context.load_cert_chain(files.broker)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Silent) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield running.server_address[1]
        finally:
            running.shutdown()
            thread.join()


def made(folder: Path) -> SecureFiles:
    files = SecureFiles(folder)
    files.make()
    return files


def test_a_broker_with_a_foreign_certificate_is_no_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.broker.topics._TIMEOUT_S", 3.0)
    with server(made(tmp_path / "foreign")) as port:
        trusted = str(made(tmp_path / "mine").authority)
        admin = Admin(
            {"bootstrap.servers": f"127.0.0.1:{port}", "security.protocol": "SSL", "ssl.ca.location": trusted}
        )
        with pytest.raises(TopicProblem, match="certificate") as problem:
            _list(admin)
    assert len(str(problem.value).splitlines()) == 1
