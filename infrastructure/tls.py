"""What servers are verified with."""

from __future__ import annotations

import os
import ssl
from functools import cache

import httpx


def verifying() -> ssl.SSLContext:
    """The certificates that are trusted: read once in a process, since that takes as long as several requests.

    They are read anew where the environment names other files, not where a file has changed. Raises `OSError` where one
    cannot be read.
    """
    return _read(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache
def _read(*_: str | None) -> ssl.SSLContext:
    return httpx.create_ssl_context()
