"""Answers that are structs of the query side, for the OpenAPI document: pydantic models made from them."""

from __future__ import annotations

import types
import typing
from functools import cache
from typing import Any, Union

import msgspec
from pydantic import BaseModel, ConfigDict, Field, create_model


class Answer(BaseModel):
    """Base of all answers. Times are UTC, as ISO 8601 with Z."""

    model_config = ConfigDict(extra="forbid")


@cache
def struct_model(struct: type[msgspec.Struct], name: str | None = None) -> type[Answer]:
    """The model of a struct: every field is there in each answer."""
    hints = typing.get_type_hints(struct)
    fields = {each: (_converted(hints[each]), Field()) for each in struct.__struct_fields__}
    made = create_model(name or struct.__name__, __base__=Answer, **typing.cast(Any, fields))
    made.__doc__ = (struct.__doc__ or "").strip()
    return made


def _converted(kind: Any) -> Any:
    """A type with the models in place of the structs in it."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return struct_model(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is None or origin is typing.Literal:
        return kind
    if origin in (types.UnionType, Union):
        return Union[tuple(map(_converted, arguments))]  # noqa: UP007
    converted = tuple(each if each is Ellipsis else _converted(each) for each in arguments)
    return origin[converted]
