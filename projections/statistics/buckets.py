"""The buckets of the sketches: lengths of time, in microseconds, cut off to about two and a half decimal digits.

The key of a bucket is `1000 * exponent + lead`: it holds what is from `lead * 10**exponent` up to the next lead, and
keys order as lengths do. Integers alone make it, so that Python, PostgreSQL and SQLite agree on every bucket.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Integer, Text, case, cast, func

RELATIVE_ERROR = 0.01
"""How far an estimate may be from the true length, at most, as a part of it. What is below 100 µs is exact."""

LONGEST = 10**15 - 1
"""The longest length that is measured, in microseconds (31 years); what claims to be longer, or negative, is none."""

_FINENESS = ((100, 1), (200, 2), (400, 4))
"""Leads below each bound are multiples of what stands beside it."""
_COARSEST = 8
"""And those above. Each is at most 2 % of its lead, so that the middle is within 1 % of both ends."""
_DIGITS = 3
_POWERS = str(10 ** (len(str(LONGEST)) - _DIGITS))


class Bucket(NamedTuple):
    """The whole microseconds from `low` to `high`, both in it."""

    low: int
    high: int

    @property
    def estimate(self) -> float:
        """What stands for every length in it, in microseconds: as far from one end as from the other, relatively."""
        return 2 * self.low * self.high / (self.low + self.high) if self.high else 0.0


def bucket_key(length: int) -> int:
    """The key of the bucket that a length is in."""
    exponent = max(len(str(length)) - _DIGITS, 0)
    lead = length // 10**exponent
    return 1000 * exponent + lead - lead % _fineness(lead)


def bucket(key: int) -> Bucket:
    """The bucket with a key."""
    exponent, lead = divmod(key, 1000)
    return Bucket(lead * 10**exponent, (lead + _fineness(lead)) * 10**exponent - 1)


def _fineness(lead: int) -> int:
    return next((fineness for bound, fineness in _FINENESS if lead < bound), _COARSEST)


def digits_of(length: ColumnElement[int]) -> ColumnElement[int]:
    """How many decimal digits of a length are cut off."""
    digits = func.length(cast(length, Text), type_=Integer)
    return cast(case((digits > _DIGITS, digits - _DIGITS), else_=0), Integer)


def lead_of(length: ColumnElement[int], exponent: ColumnElement[int]) -> ColumnElement[int]:
    """The digits that are left."""
    # A power of ten without a function for powers, which not every SQLite has.
    return length // cast(func.substr(_POWERS, 1, cast(exponent + 1, Integer)), BigInteger)


def key_of(exponent: ColumnElement[int], lead: ColumnElement[int]) -> ColumnElement[int]:
    """The key, as `bucket_key` has it."""
    fineness = case(*((lead < bound, fineness) for bound, fineness in _FINENESS), else_=_COARSEST)
    return exponent * 1000 + lead - lead % fineness
