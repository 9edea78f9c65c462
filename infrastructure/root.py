"""The Merkle root of a ledger, computed from its leaves, off the write path."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, select

from ..domain import EventMissing, InvalidInput, Tree
from ..domain.values import check_int
from .tables import execution_events, ledgers

_PAGE = 10_000


class Root(NamedTuple):
    """What a ledger of `size` events hashes to (RFC 9162)."""

    ledger: str
    size: int
    root: bytes


def read_size(connection: Connection, ledger: str) -> int:
    """How many events the ledger has; 0 where there is none yet."""
    return connection.execute(select(ledgers.c.size).where(ledgers.c.ledger_id == ledger)).scalar() or 0


def compute_root(connection: Connection, ledger: str, size: int | None = None) -> Root:
    """The root at `size` (the present size, if left out). Reads by position, page by page, in constant memory."""
    present = read_size(connection, ledger)
    size = present if size is None else check_int(size, "size", 0)
    if size > present:
        raise InvalidInput(
            field="size",
            problem=f"{size} is more than the ledger's {present} events",
            remedy="Ask for a size it has had.",
        )
    tree = Tree()
    while tree.size < size:
        add_leaves(connection, ledger, tree, size)
    return Root(ledger, size, tree.root)


def add_leaves(connection: Connection, ledger: str, tree: Tree, size: int) -> None:
    """Add the next page of leaves to a tree that is to have `size` of them."""
    event, before = execution_events.c, tree.size
    page = (
        select(event.position, event.leaf_hash)
        .where(event.ledger_id == ledger, event.position > before, event.position <= size)
        .order_by(event.position)
        .limit(_PAGE)
    )
    for position, leaf in connection.execute(page):
        if position != tree.size + 1:
            break
        tree.append(leaf)
    if tree.size == before:
        raise EventMissing(ledger=ledger, position=before + 1, size=size)
