"""Keeps the ports between Flink and its Python workers on the loopback interface.

Beam, which connects the two, builds a loopback address for each of its gRPC servers and then uses only the port of it
(`NettyServerBuilder.forPort`), so that ten unauthenticated ports per slot listen on all interfaces. No setting changes
that. Here the one class is rewritten to use the whole address (`forAddress`), and the result is put in front of the
original on the classpath of the local stack. The installed package is not touched.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zipfile
from pathlib import Path
from typing import Final

from jobs.cli.console import EXIT_ENVIRONMENT, CliError, warn

CLASS_FILE: Final = "org/apache/beam/sdk/fn/server/ServerFactory$InetSocketAddressServerFactory.class"
_KNOWN_SHA256: Final = "c1118447c1a3ca918c1a766c1319a42789455667f0ad312689ffabed3849cfe9"
"""The class as it is in apache-flink 2.2.1: any other is left alone, because the byte offsets are of this one."""
OPEN_PORTS_VARIABLE: Final = "MERIDIAN_OPEN_WORKER_PORTS"

_UTF8, _NAME_AND_TYPE, _METHOD_REF = 1, 12, 10
_SIZES: Final = {
    3: 4,
    4: 4,
    5: 8,
    6: 8,
    7: 2,
    8: 2,
    9: 4,
    10: 4,
    11: 4,
    12: 4,
    15: 3,
    16: 2,
    17: 4,
    18: 4,
    19: 2,
    20: 2,
}
_BUILDER: Final = "Lorg/apache/beam/vendor/grpc/v1p60p1/io/grpc/netty/NettyServerBuilder;"


def _constants(code: bytes) -> tuple[dict[int, tuple[int, int]], int]:
    """Index -> (tag, offset of its content) of the constant pool, and where the pool ends (JVM specification, 4.4)."""
    count, offset, index = struct.unpack_from(">H", code, 8)[0], 10, 1
    found: dict[int, tuple[int, int]] = {}
    while index < count:
        tag = code[offset]
        found[index] = (tag, offset + 1)
        offset += 3 + struct.unpack_from(">H", code, offset + 1)[0] if tag == _UTF8 else 1 + _SIZES[tag]
        index += 2 if tag in (5, 6) else 1  # a long or double takes two places
    return found, offset


def rewrite(code: bytes) -> bytes:
    """`forPort(socket.getPort())` as `forAddress(socket)`.

    Raises
    ------
    ValueError: the class does not hold exactly one such call.
    """
    constants, end = _constants(code)

    def text(index: int) -> str:
        start = constants[index][1]
        return code[start + 2 : start + 2 + struct.unpack_from(">H", code, start)[0]].decode()

    def methods(name: str, descriptor: str) -> list[tuple[int, int]]:
        """(index of the method reference, offset of its name and type)."""
        found = []
        for index, (tag, offset) in constants.items():
            if tag == _METHOD_REF:
                signature = constants[struct.unpack_from(">HH", code, offset)[1]][1]
                if tuple(map(text, struct.unpack_from(">HH", code, signature))) == (name, descriptor):
                    found.append((index, signature))
        return found

    builders = methods("forPort", f"(I){_BUILDER}")
    calls = [
        struct.pack(">BHBH", 0xB6, port, 0xB8, builder)  # invokevirtual getPort, invokestatic forPort
        for port, _ in methods("getPort", "()I")
        for builder, _ in builders
    ]
    matching = [call for call in calls if code.count(call) == 1]
    if len(builders) != 1 or len(matching) != 1:
        raise ValueError("no single call of forPort(getPort())")
    count = struct.unpack_from(">H", code, 8)[0]
    added = b"".join(
        struct.pack(">BH", _UTF8, len(value)) + value.encode()
        for value in ("forAddress", f"(Ljava/net/SocketAddress;){_BUILDER}")
    )
    signature = builders[0][1]
    head = bytearray(code[:end])
    struct.pack_into(">H", head, 8, count + 2)
    struct.pack_into(">HH", head, signature, count, count + 1)
    nops = b"\0\0\0" + matching[0][3:]
    return bytes(head) + added + code[end:].replace(matching[0], nops)


def write_jar(flink_python: Path, target: Path) -> bool:
    """Put the rewritten class into `target`; False when this version of the class is not known and that is accepted.

    Raises
    ------
    CliError: the class is not known, and nobody said that open ports are fine.
    """
    with zipfile.ZipFile(flink_python) as archive:
        original = archive.read(CLASS_FILE)
    if hashlib.sha256(original).hexdigest() != _KNOWN_SHA256:
        if os.environ.get(OPEN_PORTS_VARIABLE) != "1":
            raise CliError(
                f"{flink_python.name} is of an unknown version: Python workers' ports would listen on all interfaces",
                EXIT_ENVIRONMENT,
                f"use the pinned apache-flink (scripts/bootstrap), or set {OPEN_PORTS_VARIABLE}=1 behind a firewall",
            )
        warn(f"{OPEN_PORTS_VARIABLE}=1: the ports of Python workers listen on all interfaces")
        return False
    with zipfile.ZipFile(target, "w") as jar:
        jar.writestr(zipfile.ZipInfo(CLASS_FILE), rewrite(original))
    return True
