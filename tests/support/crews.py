"""A second kind of entity on the same store: crews, with a table, events and a repository of their own.

It also carries the real case of an event whose payload changed its shape: `crew.scheduled` had an `hour` in version 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from msgspec import UNSET, UnsetType
from sqlalchemy import BigInteger, Text, UniqueConstraint, Uuid
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from execution_ledger.domain import (
    Catalog,
    Command,
    Context,
    Delete,
    DuplicateKey,
    InvalidInput,
    LedgerAggregate,
    Payload,
    Update,
)
from execution_ledger.domain.payloads import Nothing
from execution_ledger.domain.values import check_json, check_text
from execution_ledger.infrastructure import BaseRepository, Entity
from execution_ledger.infrastructure.types import JsonText, UTCDateTime


class CrewDetails(Payload, frozen=True, omit_defaults=True, kw_only=True):
    """What is known of a crew."""

    code: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    at: str | UnsetType = UNSET
    members: list[Any] | UnsetType | None = UNSET

    def changes(self) -> dict[str, Any]:
        return {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not UNSET}


class CrewName(Payload, frozen=True):
    name: str

    def changes(self) -> dict[str, Any]:
        return {"name": self.name}


class CrewSchedule(Payload, frozen=True):
    """Version 2. Version 1 had `hour`, a number."""

    at: str

    def changes(self) -> dict[str, Any]:
        return {"at": self.at}


class DuplicateCrew(DuplicateKey):
    """Crew {key!r} exists in ledger {ledger!r}{note}. Choose another code."""


class Crew(LedgerAggregate):
    """People and agents that work together."""

    TOPIC = "crew"
    duplicate_error = DuplicateCrew
    key_field = "code"

    class Event(LedgerAggregate.Event):
        pass

    class Created(Event, LedgerAggregate.Created):
        TOPIC = "crew.created"
        payload: ClassVar = CrewDetails

    class Renamed(Event):
        TOPIC = "crew.renamed"
        payload: ClassVar = CrewName

    class Scheduled(Event):
        TOPIC = "crew.scheduled"
        payload: ClassVar = CrewSchedule
        class_version: ClassVar = 2

        @staticmethod
        def upcast_v1_v2(data: dict[str, Any]) -> None:
            data["at"] = f"{data.pop('hour'):02d}:00"

    class Deleted(Event):
        TOPIC = "crew.deleted"
        payload: ClassVar = Nothing
        removes: ClassVar = True

    @classmethod
    def parse(cls, data: Mapping[str, Any], *, creating: bool) -> CrewDetails:
        if unknown := sorted(data.keys() - set(CrewDetails.__struct_fields__)):
            raise InvalidInput(field=unknown[0], problem="is not a field of a crew", remedy="Leave it out.")
        texts = data.keys() - {"members"}
        fields: dict[str, Any] = {name: check_text(data[name], name, 255, min_length=1) for name in texts}
        if "members" in data:
            fields["members"] = check_json(data["members"], "members")
        return CrewDetails(**fields)

    @classmethod
    def complete(cls, details: CrewDetails, context: Context, now: datetime) -> CrewDetails:
        if details.code is UNSET or details.name is UNSET:
            raise InvalidInput(field="code", problem="or name is missing", remedy="Send both.")
        return details

    def handle(self, command: Command, context: Context, now: datetime) -> None:
        match command:
            case Update():
                if isinstance(name := command.changes.name, str):
                    self.record(self.Renamed, CrewName(name), context, now)
                if isinstance(at := command.changes.at, str):
                    self.record(self.Scheduled, CrewSchedule(at), context, now)
            case Delete():
                self.record(self.Deleted, Nothing(), context, now)
            case _:
                raise TypeError(f"a crew knows no command {type(command).__name__}")


class CrewBase(DeclarativeBase):
    """Not the base of the ledger's own tables."""


class CrewRow(CrewBase):
    """The projected row of a crew."""

    __tablename__ = "crews"
    __table_args__ = (UniqueConstraint("ledger_id", "code"),)

    ledger_id: Mapped[str] = mapped_column(Text, primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    execution_id: Mapped[UUID] = mapped_column(Uuid())
    version: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime)
    code: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    at: Mapped[str | None] = mapped_column(Text)
    members: Mapped[Any | None] = mapped_column(JsonText)


CREW_CATALOG = Catalog(Crew)
CREWS = Entity(Crew, CREW_CATALOG, CrewRow)


class CrewRepository(BaseRepository[CrewRow]):
    """`get`, `get_all`, `create`, `update`, `delete` for crews, and nothing else to write."""

    entity = CREWS
    default_ledger = "crews"
