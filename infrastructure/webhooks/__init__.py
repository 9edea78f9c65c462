"""Webhooks in the database: the endpoints, whose turn it is, and the events that could not be delivered."""

from .attempt import Attempt, broken, failed
from .dead_letters import DeadLetter, drop_dead_letters, find_dead_letter, list_dead_letters, note_replay
from .endpoints import (
    Endpoint,
    NewEndpoint,
    add_endpoint,
    change_endpoint,
    find_endpoint,
    list_endpoints,
    read_target,
    remove_endpoint,
    rotate_secret,
)
from .signing import Target, make_secret, sign
from .turns import Due, Turn, advance, bury, claim, disable, fail, find_due, release

__all__ = [
    "Attempt",
    "DeadLetter",
    "Due",
    "Endpoint",
    "NewEndpoint",
    "Target",
    "Turn",
    "add_endpoint",
    "advance",
    "broken",
    "bury",
    "change_endpoint",
    "claim",
    "disable",
    "drop_dead_letters",
    "fail",
    "failed",
    "find_dead_letter",
    "find_due",
    "find_endpoint",
    "list_dead_letters",
    "list_endpoints",
    "make_secret",
    "note_replay",
    "read_target",
    "release",
    "remove_endpoint",
    "rotate_secret",
    "sign",
]
