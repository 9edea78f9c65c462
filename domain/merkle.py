"""The Merkle tree of RFC 9162 (section 2.1) over leaf hashes, computed as they stream by."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()
"""The root of a ledger without events."""


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256 of 0x01 ‖ left ‖ right."""
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """A growing tree that keeps only its O(log n) complete subtrees."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Add the next leaf hash: every trailing 1 bit of the size is a subtree of the same height to merge with."""
        size = self.size
        while size & 1:
            leaf = node_hash(self._peaks.pop(), leaf)
            size >>= 1
        self._peaks.append(leaf)
        self.size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add leaf hashes in order."""
        for leaf in leaves:
            self.append(leaf)

    @property
    def root(self) -> bytes:
        """The root of what was added so far."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root
