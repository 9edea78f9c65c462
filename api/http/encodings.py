"""Bodies that come compressed, as some clients of OpenLineage send them."""

from __future__ import annotations

import zlib

from .problem_kinds import MALFORMED_JSON, UNKNOWN_ENCODING
from .problems import Problem

_GZIP = 16 + zlib.MAX_WBITS


class Plain:
    """A body that is sent as it is."""

    def unpack(self, chunk: bytes, most: int) -> bytes:
        """What a chunk holds: at most so many bytes, where it holds more than it has."""
        return chunk

    def end(self) -> None:
        """Refuse a body that ends too early, or goes on after its end."""


class Gzip(Plain):
    """A body that is one member of gzip (RFC 1952)."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(_GZIP)
        self._seen = False

    def unpack(self, chunk: bytes, most: int) -> bytes:
        """As above; what exceeds `most` is never unpacked."""
        self._seen = self._seen or bool(chunk)
        try:
            return self._inflater.decompress(chunk, most)
        except zlib.error as error:
            raise _broken(str(error)) from error

    def end(self) -> None:
        """As above; nothing at all is no body."""
        if self._seen and (not self._inflater.eof or self._inflater.unused_data):
            raise _broken("it is cut short" if not self._inflater.eof else "something follows its end")


def decoder(encoding: str) -> Plain:
    """What reads a body of this `Content-Encoding`."""
    match encoding.strip().lower():
        case "" | "identity":
            return Plain()
        case "gzip" | "x-gzip":
            return Gzip()
        case _:
            raise Problem(UNKNOWN_ENCODING, field="Content-Encoding")


def _broken(problem: str) -> Problem:
    return Problem(MALFORMED_JSON, f"The body cannot be unpacked: {problem}.", field="body")
