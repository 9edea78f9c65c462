"""Answers that are structs of the query side, for the OpenAPI document: pydantic models made from them."""

from __future__ import annotations

import types
import typing
from functools import cache, reduce
from operator import or_
from typing import Any, Union

import msgspec
from pydantic import BaseModel, ConfigDict, Field, create_model


class Answer(BaseModel):
    """Base of all answers. Times are UTC, as ISO 8601 with Z."""

    model_config = ConfigDict(extra="forbid")


def answer_model(name: str, text: str, /, **kinds: Any) -> type[Answer]:
    """A model with these fields, in whose types structs stand for their models. Every field is in each answer."""
    fields = {each: (_converted(kind), Field()) for each, kind in kinds.items()}
    made = create_model(name, __base__=Answer, **typing.cast(Any, fields))
    made.__doc__ = text
    return made


@cache
def struct_model(struct: type[msgspec.Struct], name: str | None = None) -> type[Answer]:
    """The model of a struct."""
    hints = typing.get_type_hints(struct)
    kinds = {each: hints[each] for each in struct.__struct_fields__}
    return answer_model(name or struct.__name__, (struct.__doc__ or "").strip(), **kinds)


def _converted(kind: Any) -> Any:
    """A type with the models in place of the structs in it."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return struct_model(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is None or origin is typing.Literal:
        return kind
    if origin in (types.UnionType, Union):
        return reduce(or_, map(_converted, arguments))
    converted = tuple(each if each is Ellipsis else _converted(each) for each in arguments)
    return origin[converted]
