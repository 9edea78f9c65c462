"""How large things may be."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import PayloadTooLarge

KEY_LENGTH = 255
"""Characters of a job id, step id, command id, actor and other names."""

REASON_LENGTH = 2_000
"""Characters of a reason."""

TEXT_LENGTH = 1_000_000_000
"""Characters of texts that only the limit on the whole payload bounds: errors, messages, notes."""

LEDGER_LENGTH = 63
"""Characters of a ledger's name."""
RESERVED = "\x1f"
"""Begins the names under which rows stand that are built beside those of a ledger."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that an operator may set."""

    payload_bytes: int = 8 * 1024 * 1024
    """Largest payload of one event, in bytes of UTF-8 JSON."""

    def check_payload(self, event_type: str, data: bytes) -> None:
        """Refuse a payload that is too large."""
        if len(data) > self.payload_bytes:
            raise PayloadTooLarge(
                field=event_type,
                problem=f"its payload has {len(data):,} bytes, at most {self.payload_bytes:,} are kept",
                remedy="Store the large value elsewhere and record a link, or raise Limits.payload_bytes "
                "(EXECUTION_LEDGER_MAX_PAYLOAD_BYTES for the service and the command line).",
            )
