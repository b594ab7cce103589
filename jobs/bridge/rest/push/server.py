"""Puts the endpoint together and serves it until the process is told to end.

With `processes` above one, as many processes bind the same port (SO_REUSEPORT: the kernel spreads connections over
them), each with an endpoint of its own; this one only watches them.
"""

from __future__ import annotations

import gc
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from jobs.bridge.breakers.diversion import Diversion, open_diversion
from jobs.bridge.breakers.positions import open_guard
from jobs.bridge.journal import Journal
from jobs.bridge.page import Page
from jobs.bridge.rest.config import PushBridge
from jobs.bridge.rest.push.app import Authenticate, PushApp
from jobs.bridge.rest.push.processes import keep_running
from jobs.bridge.rest.push.sender import PushSender
from jobs.bridge.rest.push.tokens import TokenFile
from jobs.pipeline.config import Deployment

Address = tuple[str, int]


def serve(config: PushBridge, folder: Path, deployment: Deployment, journal: Journal, page: Page) -> None:
    """Serve until SIGTERM or SIGINT; requests that were received get their answer first.

    Parameters
    ----------
    page
        Shows the figures of each process; can be pickled.

    Raises
    ------
    BadTokens : the file of tokens cannot be used.
    ColdUnusable : the cold store's folder cannot be used.
    OSError : the address is taken, or a certificate cannot be read.
    """
    _authenticate(config, folder, journal)  # before anything listens
    _open_diversion(config, folder, deployment, journal)
    wanted = config.listen.host, config.listen.port
    _bind(wanted, shared=False).close()  # or another endpoint that shares its port would share it with this one
    with _bind(wanted, shared=config.processes > 1) as listener:
        address: Address = listener.getsockname()[:2]
        if config.processes == 1:
            listener.listen()  # who connects from now on waits and is not refused
        facts = {"host": address[0], "port": address[1], "feeds": [feed.name for feed in config.feeds]}
        journal.event("listening", **facts)
        if config.processes > 1:  # the socket only keeps the port: without `listen` it gets no connections
            keep_running(config.processes, _serve_beside, (config, folder, deployment, address, page), journal)
        else:
            _serve(0, config, folder, deployment, listener, page)


def _serve_beside(
    place: int, config: PushBridge, folder: Path, deployment: Deployment, address: Address, page: Page
) -> None:
    with _bind(address, shared=True) as listener:
        _serve(place, config, folder, deployment, listener, page)


def _serve(
    place: int, config: PushBridge, folder: Path, deployment: Deployment, listener: socket.socket, page: Page
) -> None:
    journal = Journal(config.name)
    sender = PushSender(
        config,
        deployment,
        journal,
        _open_diversion(config, folder, deployment, journal),
        open_guard(config.breakers, deployment.position.rule, journal.event),
    )
    push = PushApp(config, sender, _authenticate(config, folder, journal))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        sender.start()
        try:
            yield
        finally:
            sender.stop()

    listen, limits = config.listen, config.limits
    server_config = uvicorn.Config(
        push.asgi(lifespan=lifespan),
        http="httptools",
        ws="none",
        lifespan="on",
        ssl_certfile=listen.certificate and folder / listen.certificate,
        ssl_keyfile=str(folder / listen.key) if listen.key else None,
        limit_concurrency=limits.connections,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=limits.ack_timeout // 1000 + 5,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
    )
    server_config.load()
    server = uvicorn.Server(server_config)
    _spare_the_collector()
    # uvicorn passes the signal on to who had it before, once everything has ended: that is an end as wished for.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    with page(place, push.figures):
        server.run(sockets=[listener])
    journal.event("ended", readings=push.readings, unreadable=push.unreadable, shed=push.shed)


def _bind(address: Address, shared: bool) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    # Accepted connections inherit it; asyncio sets it only on sockets that it made itself.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(address)
    return listener


def _authenticate(config: PushBridge, folder: Path, journal: Journal) -> Authenticate:
    if config.auth.file is None:
        return lambda _header: "anyone"
    tokens = TokenFile(folder / config.auth.file, lambda problem: journal.event("tokens_unusable", problem=problem))
    return tokens.client


def _open_diversion(config: PushBridge, folder: Path, deployment: Deployment, journal: Journal) -> Diversion | None:
    if config.breakers is None:
        return None
    return open_diversion(config.breakers, config.name, folder, deployment.topics.raw.name, journal.event)


def _spare_the_collector() -> None:
    """Readings and records hold no cycles, and a batch makes hundreds of thousands of objects that it would look at."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)
