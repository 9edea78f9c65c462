"""Buckets and sketches: the stated error, and the same buckets on every database."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Engine, column, literal, select, union_all

from execution_ledger.projections.statistics import RELATIVE_ERROR
from execution_ledger.projections.statistics.buckets import LONGEST, bucket, bucket_key, digits_of, key_of, lead_of
from execution_ledger.projections.statistics.sketch import summarize
from support.percentiles import assert_summarizes

# Of all sizes: a uniform choice would give hardly any that is short.
lengths = st.integers(0, 15).flatmap(lambda digits: st.integers(0, min(10**digits, LONGEST)))
EDGES = sorted(
    {
        each
        for power in range(16)
        for lead in (1, 2, 4, 8)
        for off in (-1, 0, 1)
        if 0 <= (each := lead * 10**power + off) <= LONGEST
    }
)


@given(lengths)
def test_a_bucket_holds_its_lengths_and_stands_for_each_within_the_error(length: int) -> None:
    found = bucket(bucket_key(length))
    assert found.low <= length <= found.high
    assert abs(found.estimate - length) <= RELATIVE_ERROR * length
    assert bucket_key(found.low) == bucket_key(found.high) == bucket_key(length)
    assert found.high == LONGEST or bucket_key(found.high + 1) > bucket_key(length)


@pytest.mark.parametrize("length", [0, 1, 99])
def test_what_is_very_short_is_exact(length: int) -> None:
    assert bucket(bucket_key(length)) == (length, length)


@given(lengths, lengths)
def test_keys_order_as_lengths_do(one: int, other: int) -> None:
    assert one >= other or bucket_key(one) <= bucket_key(other)


def test_there_are_few_buckets_however_many_runs() -> None:
    second_to_day = {bucket_key(seconds * 10**6) for seconds in range(1, 86_400)}
    assert len(second_to_day) < 5 * 175


def test_databases_put_lengths_in_the_same_buckets(sync_engine: Engine) -> None:
    given_lengths = union_all(*(select(literal(each, BigInteger).label("length")) for each in EDGES)).subquery()
    length = given_lengths.c.length
    cut = select(length, digits_of(length).label("exponent")).subquery()
    led = select(cut, lead_of(cut.c.length, cut.c.exponent).label("lead")).subquery()
    with sync_engine.connect() as connection:
        rows = connection.execute(select(led.c.length, key_of(led.c.exponent, led.c.lead).label("key"), column("lead")))
        assert {row.length: row.key for row in rows} == {each: bucket_key(each) for each in EDGES}


@given(st.lists(lengths, max_size=300))
def test_every_percentile_is_within_the_error(measured: list[int]) -> None:
    assert_summarizes(summarize(Counter(map(bucket_key, measured))), measured)


@given(st.lists(st.lists(lengths, max_size=20), max_size=5))
def test_the_sum_of_the_sketches_of_parts_is_that_of_the_whole(parts: list[list[int]]) -> None:
    merged: Counter[int] = Counter()
    for part in parts:
        merged += Counter(map(bucket_key, part))
    whole = [length for part in parts for length in part]
    assert merged == Counter(map(bucket_key, whole))
    assert_summarizes(summarize(merged), whole)
