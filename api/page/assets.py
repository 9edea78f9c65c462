"""The files of the page: read once, told by a digest of all of them, so that a browser keeps them for good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is served, by how its name ends; licenses and lists beside it are not."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    content: bytes
    media_type: str
    etag: str


@dataclass(frozen=True, slots=True)
class Assets:
    """All files, by their path below the folder."""

    digest: str
    by_path: Mapping[str, Asset]


@cache
def load_assets() -> Assets:
    """Read the folder `static`."""
    found = dict(sorted(_walk(files(__name__.rpartition(".")[0]) / "static", "")))
    digest = sha256()
    for path, asset in found.items():
        digest.update(f"{path}\0{asset.etag}\0".encode())
    return Assets(digest.hexdigest()[:16], found)


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, Asset]]:
    found: list[tuple[str, Asset]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _walk(entry, f"{prefix}{entry.name}/")
        elif (kind := TYPES.get(entry.name[entry.name.rfind(".") :])) is not None:
            content = entry.read_bytes()
            found.append((prefix + entry.name, Asset(content, kind, f'"{sha256(content).hexdigest()[:16]}"')))
    return found
