"""The typed codec of the ledger in the terms of the `eventsourcing` library."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from eventsourcing.persistence import Cipher, Compressor, Mapper, MapperDeserialisationError, StoredEvent, Transcoder

from ..domain import EXECUTION_CATALOG, Catalog, Context, InvalidInput
from ..domain.payloads import Erased
from .codec import make_event

_NULL = msgspec.Raw(b"null")


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the library carries as the `state` of an event, in JSON."""

    recorded_at: datetime
    schema_version: int
    data: msgspec.Raw
    """The payload, byte for byte as stored; null once it was erased: the event then has an `Erased` payload."""
    context: Context = Context()


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Envelope).decode


def encode_envelope(recorded_at: datetime, schema_version: int, data: str | bytes | None, context: Context) -> bytes:
    """The state of a stored event; `data` is the payload as stored, None where it was erased."""
    raw = _NULL if data is None else msgspec.Raw(data)
    return _encode(Envelope(recorded_at=recorded_at, schema_version=schema_version, data=raw, context=context))


class LedgerMapper(Mapper[UUID]):
    """The typed codec of the ledger in the library's terms."""

    def __init__(
        self,
        transcoder: Transcoder | None = None,
        compressor: Compressor | None = None,
        cipher: Cipher | None = None,
        *,
        catalog: Catalog = EXECUTION_CATALOG,
    ) -> None:
        # The library always passes a transcoder; what it would do is done by the codec.
        for option, value in (("compressor", compressor), ("cipher", cipher)):
            if value is not None:
                raise option_refused(option)
        self.catalog = catalog

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        """The event as the recorder would read it."""
        data = domain_event.data
        payload = None if isinstance(data, Erased) else msgspec.json.encode(data)
        return StoredEvent(
            originator_id=domain_event.originator_id,
            originator_version=domain_event.originator_version,
            topic=domain_event.TOPIC,
            state=encode_envelope(domain_event.timestamp, domain_event.class_version, payload, domain_event.context),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        """The domain event, upcast where its payload is old."""
        try:
            envelope = _decode(stored_event.state)
            return make_event(
                self.catalog,
                topic=stored_event.topic,
                schema_version=envelope.schema_version,
                originator_id=to_uuid(stored_event.originator_id),
                originator_version=stored_event.originator_version,
                timestamp=envelope.recorded_at,
                context=envelope.context,
                data=None if envelope.data == _NULL else bytes(envelope.data),
            )
        except msgspec.MsgspecError as error:
            where = f"version {stored_event.originator_version} of {stored_event.originator_id}"
            raise MapperDeserialisationError(f"{stored_event.topic}, {where}: {error}") from error


def to_uuid(value: UUID | str) -> UUID:
    """The library passes either."""
    return value if isinstance(value, UUID) else UUID(value)


def option_refused(option: str) -> InvalidInput:
    """The error for an option of the library that a ledger cannot honor."""
    return InvalidInput(
        field=option,
        problem="a ledger does not take it: payloads stay readable and are hashed as they are stored",
        remedy="Leave it out; where it is meant for a view in the same environment, put the projection's name before "
        "it, as in MYPROJECTION_CIPHER_TOPIC.",
    )
