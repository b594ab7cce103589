"""A writer's Protobuf schema: its files, its messages, and what a message is called in Confluent's wire format."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from typing import Final

from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

from udfs.writer_schema import SchemaFormat, UnusableSchema, WriterSchema

MAX_INDEXES: Final = 16  # how deep messages are declared in one another


def protobuf_schema(file_set: bytes) -> WriterSchema:
    """Wrap a serialised FileDescriptorSet, as `protoc --include_imports --descriptor_set_out` writes it."""
    return WriterSchema(SchemaFormat.PROTOBUF, base64.b64encode(file_set).decode())


class ProtobufSchema:
    """The messages of the last file of a FileDescriptorSet, in a pool of their own.

    Parameters
    ----------
    text
        See `WriterSchema`.

    Raises
    ------
    UnusableSchema
        It is no such set, imports something that it does not hold, or declares no message.
    """

    def __init__(self, text: str) -> None:
        try:
            files = FileDescriptorSet.FromString(base64.b64decode(text, validate=True)).file
        except (binascii.Error, DecodeError, ValueError) as error:
            raise UnusableSchema(f"not a FileDescriptorSet: {error}") from None
        if not files or not files[-1].message_type:
            raise UnusableSchema("the Protobuf schema declares no message")
        self._pool = DescriptorPool()
        try:
            for file in files:
                self._pool.Add(file)
            self._pool.FindFileByName(files[-1].name)
        except (TypeError, KeyError) as error:
            raise UnusableSchema(f"Protobuf file {files[-1].name!r}: {error}") from None
        self._package, self._messages = files[-1].package, files[-1].message_type

    @property
    def names(self) -> list[str]:
        """Full names of all messages, nested ones after the one that they are in."""
        return list(_names(self._package, self._messages))

    def message(self, name: str) -> Descriptor:
        """Find a message by its full name; KeyError: there is none."""
        found: Descriptor = self._pool.FindMessageTypeByName(name)
        return found

    def message_at(self, indexes: Sequence[int]) -> Descriptor:
        """Find a message by its place: the index in the file, then the index in that message, and so on.

        Raises
        ------
        IndexError
            There is none.

        Source: Confluent Schema Registry documentation, "Wire format", "Protobuf".
        """
        messages, path = self._messages, [self._package] if self._package else []
        for index in indexes:
            message = messages[index]
            path.append(message.name)
            messages = message.nested_type
        return self.message(".".join(path))


def read_indexes(value: bytes, start: int) -> tuple[tuple[int, ...], int]:
    """Read the message indexes of Confluent's wire format.

    Parameters
    ----------
    value, start
        They begin at `start`: their count and then each as a zigzag varint; a count of 0 stands for `[0]`.

    Returns
    -------
        The indexes, and where the message begins.

    Raises
    ------
    ValueError
        The value ends too early, or they are negative or too many.
    """
    count, start = _varint(value, start)
    if count == 0:
        return (0,), start
    if not 0 < count <= MAX_INDEXES:
        raise ValueError(f"{count} message indexes")
    indexes = []
    for _ in range(count):
        index, start = _varint(value, start)
        if index < 0:
            raise ValueError(f"message index {index}")
        indexes.append(index)
    return tuple(indexes), start


def write_indexes(indexes: Sequence[int]) -> bytes:
    """Write message indexes as `read_indexes` reads them."""
    if tuple(indexes) == (0,):
        return b"\0"
    return b"".join(_zigzag(number) for number in (len(indexes), *indexes))


def _names(prefix: str, messages: Sequence[DescriptorProto]) -> Iterator[str]:
    for message in messages:
        name = f"{prefix}.{message.name}" if prefix else message.name
        if not message.options.map_entry:
            yield name
        yield from _names(name, message.nested_type)


def _varint(value: bytes, start: int) -> tuple[int, int]:
    number = 0
    for place, byte in enumerate(value[start : start + 5]):
        number |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), start + place + 1
    raise ValueError("the message indexes have no end")


def _zigzag(number: int) -> bytes:
    number <<= 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
