"""Every event reaches its endpoint, in order; what is not taken is tried again, then set aside, then replayed."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from execution_ledger.domain import InvalidInput, UnknownDeadLetter, UnknownWebhook
from execution_ledger.infrastructure import GroupWriter
from execution_ledger.infrastructure.event_store import utc_now
from execution_ledger.infrastructure.short_transactions import transact
from execution_ledger.infrastructure.tables import webhook_endpoints
from execution_ledger.infrastructure.webhooks import (
    Due,
    Endpoint,
    advance,
    bury,
    claim,
    fail,
    failed,
    find_due,
    release,
)
from execution_ledger.projections import Heads
from execution_ledger.projections.engine.feed import read_page
from execution_ledger.projections.webhooks import Deliverer, Guard, Retries, Sender, WebhookControl, deliverer
from support.receiver import OK, Answer, Delivery, Receiver, receiving
from support.writers import create, note, update

MakeDeliverer = Callable[..., Deliverer]
Do = Callable[..., Awaitable[Any]]


@pytest.fixture
def do(engine: AsyncEngine) -> Do:
    """Calls a function of the store in a transaction."""

    async def do(work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        return await transact(engine, lambda connection: work(connection, *arguments, **options))

    return do


async def write(writer: GroupWriter, number: int, ledger: str = "default") -> None:
    """So many events, in their order."""
    await writer.execute(create("a", ledger=ledger))
    for at in range(number - 1):
        await writer.execute(note("a", f"{at}", ledger=ledger))


async def until(look: Callable[[], Awaitable[Any]]) -> Any:
    """Look until there is something to be seen."""
    async with asyncio.timeout(60):
        while not (found := await look()):
            await asyncio.sleep(0.01)
    return found


def dead(control: WebhookControl, endpoint: Endpoint, number: int) -> Callable[[], Awaitable[list[Any]]]:
    """The dead letters, once there are so many."""

    async def look() -> list[Any]:
        letters = await control.dead_letters(endpoint.ledger, endpoint.endpoint_id)
        return letters if len(letters) == number else []

    return look


def reached(control: WebhookControl, endpoint: Endpoint, position: int) -> Callable[[], Awaitable[Endpoint | None]]:
    """The endpoint, once everything up to a position is done with."""

    async def look() -> Endpoint | None:
        found = await control.find(endpoint.ledger, endpoint.endpoint_id)
        return found if found.position >= position else None

    return look


async def test_events_come_in_order_signed_and_once(
    control: WebhookControl, make_deliverer: MakeDeliverer, writer: GroupWriter, receiver: Receiver
) -> None:
    await write(writer, 3)
    endpoint, secret = await control.add("default", receiver.url, description="for the others", created_by="ada")
    assert (endpoint.position, endpoint.lag, endpoint.enabled) == (3, 0, True), "from now on"
    outcomes: list[str] = []
    async with make_deliverer(tell=outcomes.append).running():
        for at in range(30):
            await writer.execute(note("a", f"more {at}"))
        await asyncio.to_thread(receiver.wait_for, 30)
        found = await until(reached(control, endpoint, 33))
    assert [each.position for each in receiver.deliveries] == list(range(4, 34))
    assert [each.verify(secret)["data"]["text"] for each in receiver.deliveries] == [f"more {at}" for at in range(30)]
    assert len({each.headers["webhook-id"] for each in receiver.deliveries}) == 30
    assert outcomes == ["delivered"] * 30
    assert (found.lag, found.failures, found.dead_letters, found.last_error) == (0, 0, 0, None)
    assert found.delivered_at is not None


async def test_all_that_was_ever_recorded_is_sent_where_it_is_asked_for(
    control: WebhookControl, make_deliverer: MakeDeliverer, writer: GroupWriter, receiver: Receiver
) -> None:
    await write(writer, 45)
    endpoint, _ = await control.add("default", receiver.url, after=0)
    assert (endpoint.position, endpoint.lag) == (0, 45)
    async with make_deliverer().running():
        await until(reached(control, endpoint, 45))
    assert [each.position for each in receiver.deliveries] == list(range(1, 46))


@pytest.mark.parametrize("types", [None, ["noted"]])
async def test_large_events_are_not_held_together(
    control: WebhookControl,
    make_deliverer: MakeDeliverer,
    writer: GroupWriter,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    types: list[str] | None,
) -> None:
    held: list[int] = []

    def read(*arguments: Any, **options: Any) -> Any:
        upto, events = read_page(*arguments, **options)
        held.append(len(events))
        return upto, events

    monkeypatch.setattr(deliverer, "read_page", read)
    monkeypatch.setattr(deliverer, "_SIZE", 2_500)
    await writer.execute(create("a"))
    for size in (1_000, 1_000, 1_000, 9_000, 9_000, 10, 10, 10):
        await writer.execute(note("a", "x" * size))
    endpoint, _ = await control.add("default", receiver.url, after=0, types=types)
    async with make_deliverer().running():
        await until(reached(control, endpoint, 9))
    assert [each.position for each in receiver.deliveries] == list(range(2 if types else 1, 10))
    assert [number for number in held if number] == [2 if types else 3, 1, 1, 1, 3]


async def test_an_endpoint_is_sent_the_types_that_it_asked_for_of_its_own_ledger(
    control: WebhookControl, make_deliverer: MakeDeliverer, writer: GroupWriter, receiver: Receiver
) -> None:
    endpoint, _ = await control.add("default", receiver.url, types=["completed", "execution.failed"])
    assert endpoint.types == ("execution.completed", "execution.failed")
    with receiving() as others:
        other, _ = await control.add("other", others.url)
        async with make_deliverer().running():
            await writer.execute(create("a"))
            await writer.execute(create("b", ledger="other"))
            await writer.execute(update("a", status="running"))
            await writer.execute(update("a", status="completed"))
            await writer.execute(note("a", "after"))
            await until(reached(control, endpoint, 4))
            await until(reached(control, other, 1))
    assert [each.event["type"] for each in receiver.deliveries] == ["org.executionledger.execution.completed"]
    assert [(each.event["ledger"], each.event["subject"]) for each in others.deliveries] == [("other", "b")]


async def test_what_was_not_taken_is_sent_again_under_the_same_id_until_it_is(
    control: WebhookControl, make_deliverer: MakeDeliverer, writer: GroupWriter, receiver: Receiver
) -> None:
    endpoint, secret = await control.add("default", receiver.url, after=0)
    answers = iter([Answer(500, body=b"not yet"), Answer(None), OK])
    receiver.answer = lambda _: next(answers, OK)
    outcomes: list[str] = []
    async with make_deliverer(tell=outcomes.append).running():
        await write(writer, 2)
        found = await until(reached(control, endpoint, 2))
    assert [each.position for each in receiver.deliveries] == [1, 1, 1, 2]
    assert len({each.headers["webhook-id"] for each in receiver.deliveries[:3]}) == 1
    assert all(each.verify(secret) for each in receiver.deliveries)
    assert outcomes == ["failed", "failed", "delivered", "delivered"]
    assert (found.failures, found.next_try_at, found.dead_letters) == (0, None, 0)
    assert found.last_error is not None, "the last failure stays to be seen"


async def test_while_it_is_tried_again_the_endpoint_tells_so(
    control: WebhookControl, make_deliverer: MakeDeliverer, writer: GroupWriter, receiver: Receiver
) -> None:
    endpoint, _ = await control.add("default", receiver.url, after=0)
    receiver.answer = lambda _: Answer(503, {"Retry-After": "600"}, b"busy")
    async with make_deliverer().running():
        await write(writer, 2)

        async def failing() -> Endpoint | None:
            found = await control.find("default", endpoint.endpoint_id)
            return found if found.failures else None

        found = await until(failing)
    assert (found.failures, found.lag, found.position) == (1, 2, 0)
    assert (found.last_status, found.last_error) == (503, "answered 503 Service Unavailable")
    assert found.last_failed_at is not None
    assert found.next_try_at is not None
    assert 590 < (found.next_try_at - found.last_failed_at).total_seconds() <= 600, "as long as it asked for"
    assert [each.position for each in receiver.deliveries] == [1]


async def test_after_the_last_try_an_event_is_a_dead_letter_and_the_next_one_goes_on(
    control: WebhookControl, make_deliverer: MakeDeliverer, writer: GroupWriter, receiver: Receiver
) -> None:
    endpoint, _ = await control.add("default", receiver.url, after=0)
    receiver.answer = lambda each: Answer(422, body=b"I do not like 2") if each.position == 2 else OK
    outcomes: list[str] = []
    async with make_deliverer(tell=outcomes.append).running():
        await write(writer, 4)
        found = await until(reached(control, endpoint, 4))
    assert [each.position for each in receiver.deliveries] == [1, 2, 2, 2, 3, 4]
    assert outcomes.count("dead_letter") == 1
    assert (found.dead_letters, found.failures, found.lag) == (1, 0, 0)
    (letter,) = await control.dead_letters("default", endpoint.endpoint_id)
    assert (letter.position, letter.type, letter.job_id, letter.tries) == (2, "execution.noted", "a", 3)
    assert (letter.status, letter.error) == (422, "answered 422 Unprocessable Entity")
    assert letter.response == "I do not like 2"


async def test_whoever_asks_at_the_last_try_to_be_left_alone_is(
    control: WebhookControl, make_deliverer: MakeDeliverer, writer: GroupWriter, receiver: Receiver
) -> None:
    endpoint, _ = await control.add("default", receiver.url, after=0)
    receiver.answer = lambda _: Answer(429, {"Retry-After": "600"})
    async with make_deliverer(retries=Retries(1, 0.01, 0.01)).running():
        await write(writer, 3)
        (letter,) = await until(dead(control, endpoint, 1))
        await asyncio.sleep(0.3)
    found = await control.find("default", endpoint.endpoint_id)
    assert [each.position for each in receiver.deliveries] == [1]
    assert (found.position, found.lag, found.failures) == (1, 2, 0)
    assert found.next_try_at is not None
    assert 590 < (found.next_try_at - letter.failed_at).total_seconds() <= 600


async def test_dead_letters_are_replayed_dropped_and_paged(
    control: WebhookControl, make_deliverer: MakeDeliverer, writer: GroupWriter, receiver: Receiver
) -> None:
    endpoint, secret = await control.add("default", receiver.url, after=0)
    name = endpoint.endpoint_id
    receiver.answer = lambda _: Answer(500)
    async with make_deliverer(retries=Retries(1, 0.01, 0.01)).running():
        await write(writer, 3)
        letters = await until(dead(control, endpoint, 3))
    assert [each.position for each in letters] == [1, 2, 3]
    assert [each.position for each in await control.dead_letters("default", name, after=1, limit=1)] == [2]

    receiver.answer = lambda _: Answer(400, body=b"still not")
    again = await control.replay("default", name, 1)
    assert (again.delivered, again.status) == (False, 400)
    (first, *_) = await control.dead_letters("default", name)
    assert (first.tries, first.status, first.response) == (2, 400, "still not")

    receiver.answer = lambda _: OK
    assert (await control.replay("default", name, 1)).delivered
    assert receiver.deliveries[-1].verify(secret)["position"] == "1"
    assert receiver.deliveries[-1].headers["webhook-id"] == receiver.deliveries[0].headers["webhook-id"]
    assert await control.drop("default", name, [2, 7]) == 1
    assert [each.position for each in await control.dead_letters("default", name)] == [3]
    for position in (1, 2, 7):
        with pytest.raises(UnknownDeadLetter):
            await control.replay("default", name, position)
    assert (await control.find("default", name)).dead_letters == 1


async def test_410_disables_an_endpoint_and_enabled_it_goes_on_with_the_same_event(
    control: WebhookControl, make_deliverer: MakeDeliverer, writer: GroupWriter, receiver: Receiver
) -> None:
    endpoint, _ = await control.add("default", receiver.url, after=0)
    receiver.answer = lambda each: Answer(410) if each.position == 2 else OK
    async with make_deliverer().running():
        await write(writer, 3)

        async def disabled() -> Endpoint | None:
            found = await control.find("default", endpoint.endpoint_id)
            return None if found.enabled else found

        found = await until(disabled)
        assert (found.disabled_reason, found.position, found.lag) == ("it answered 410 Gone", 1, 2)
        assert found.dead_letters == 0, "nothing is lost"
        await writer.execute(note("a", "meanwhile"))
        await asyncio.sleep(0.3)
        assert [each.position for each in receiver.deliveries] == [1, 2]
        receiver.answer = lambda _: OK
        found = await control.change("default", endpoint.endpoint_id, {"enabled": True})
        assert (found.enabled, found.disabled_reason) == (True, None)
        await until(reached(control, endpoint, 4))
    assert [each.position for each in receiver.deliveries] == [1, 2, 2, 3, 4]


async def test_whoever_switches_one_off_is_told(control: WebhookControl, receiver: Receiver) -> None:
    endpoint, _ = await control.add("default", receiver.url)
    found = await control.change("default", endpoint.endpoint_id, {"enabled": False}, actor="ada")
    assert found.disabled_reason == "switched off by ada"


async def test_the_line_can_be_wound_back_and_forward(
    control: WebhookControl, make_deliverer: MakeDeliverer, writer: GroupWriter, receiver: Receiver
) -> None:
    await write(writer, 10)
    endpoint, _ = await control.add("default", receiver.url, after=7)
    receiver.answer = lambda each: Answer(500) if each.position == 9 else OK
    async with make_deliverer().running():
        await until(reached(control, endpoint, 10))
        assert len(await control.dead_letters("default", endpoint.endpoint_id)) == 1
        receiver.answer = lambda _: OK
        found = await control.change("default", endpoint.endpoint_id, {"after": 4})
        assert (found.position, found.lag, found.dead_letters) == (4, 6, 0), "what died behind it comes again"
        await until(reached(control, endpoint, 10))
    assert [each.position for each in receiver.deliveries] == [8, 9, 9, 9, 10, 5, 6, 7, 8, 9, 10]
    found = await control.change("default", endpoint.endpoint_id, {"after": 0})
    assert (await control.change("default", endpoint.endpoint_id, {"after": 10})).lag == 0
    with pytest.raises(InvalidInput, match="11 is more than the ledger's 10 events"):
        await control.change("default", endpoint.endpoint_id, {"after": 11})


async def test_a_change_while_a_request_is_under_way_is_not_overwritten_by_it(
    control: WebhookControl, make_deliverer: MakeDeliverer, writer: GroupWriter, receiver: Receiver
) -> None:
    await write(writer, 5)
    endpoint, _ = await control.add("default", receiver.url, after=3)
    changed = threading.Event()

    def answer(delivery: Delivery) -> Answer:
        assert delivery.path != "/hooks" or changed.wait(60)
        return OK

    receiver.answer = answer
    async with make_deliverer().running():
        await asyncio.to_thread(receiver.wait_for, 1)
        moved = {"url": receiver.url.replace("hooks", "moved"), "after": 1}
        await control.change("default", endpoint.endpoint_id, moved)
        changed.set()
        await until(reached(control, endpoint, 5))
    assert [(each.path, each.position) for each in receiver.deliveries] == [
        ("/hooks", 4), ("/moved", 2), ("/moved", 3), ("/moved", 4), ("/moved", 5),
    ]  # fmt: skip


async def test_an_endpoint_that_is_removed_is_sent_nothing_more(
    control: WebhookControl, make_deliverer: MakeDeliverer, writer: GroupWriter, receiver: Receiver
) -> None:
    await write(writer, 5)
    endpoint, _ = await control.add("default", receiver.url, after=0)
    receiver.answer = lambda _: Answer(500, wait=0.2)
    async with make_deliverer(retries=Retries(1, 0.01, 0.01)).running():
        await asyncio.to_thread(receiver.wait_for, 2)
        await control.remove("default", endpoint.endpoint_id)
        before = len(receiver.deliveries)
        await asyncio.sleep(0.5)
        assert len(receiver.deliveries) <= before + 1, "the one under way"
    assert await control.list("default") == []
    with pytest.raises(UnknownWebhook):
        await control.dead_letters("default", endpoint.endpoint_id)


async def test_a_secret_is_replaced_with_and_without_an_overlap(
    control: WebhookControl, make_deliverer: MakeDeliverer, writer: GroupWriter, receiver: Receiver
) -> None:
    endpoint, first = await control.add("default", receiver.url, after=0)
    name = endpoint.endpoint_id
    async with make_deliverer().running():
        changed, second = await control.rotate("default", name, overlap=3600)
        assert changed.earlier_secret_until is not None
        await writer.execute(create("a"))
        await until(reached(control, endpoint, 1))
        assert receiver.deliveries[0].verify(first) == receiver.deliveries[0].verify(second)
        changed, third = await control.rotate("default", name)
        assert changed.earlier_secret_until is None
        await writer.execute(note("a", "n"))
        await until(reached(control, endpoint, 2))
    latest = receiver.deliveries[-1]
    assert latest.verify(third)
    assert len(latest.headers["webhook-signature"].split()) == 1


async def test_an_old_secret_is_told_while_it_counts_and_forgotten_with_the_next_turn(
    control: WebhookControl, do: Do, writer: GroupWriter, receiver: Receiver
) -> None:
    endpoint, old = await control.add("default", receiver.url, after=0)
    await write(writer, 1)
    await control.rotate("default", endpoint.endpoint_id, overlap=3_600)
    (due,) = await do(find_due, 10)
    turn = await do(claim, due, 60)
    assert old in turn.target.secrets
    await do(release, turn)
    over = webhook_endpoints.update().values(earlier_secret_until=utc_now() - timedelta(seconds=1))
    await do(lambda connection: connection.execute(over))
    assert (await control.find("default", endpoint.endpoint_id)).earlier_secret_until is None
    turn = await do(claim, due, 60)
    assert old not in turn.target.secrets
    kept = select(webhook_endpoints.c.earlier_secret, webhook_endpoints.c.earlier_secret_until)
    assert await do(lambda connection: tuple(connection.execute(kept).one())) == (None, None)


async def test_a_receiver_that_fails_at_random_gets_every_event_at_least_once_and_none_ahead_of_its_time(
    control: WebhookControl, make_deliverer: MakeDeliverer, writer: GroupWriter, receiver: Receiver, hasty: Sender
) -> None:
    chance = random.Random(7)
    choices = [OK, Answer(500), Answer(503, {"Retry-After": "0"}), Answer(None), Answer(302), Answer(200, wait=1.2)]
    weights = [12, 2, 2, 2, 1, 0.3]
    receiver.answer = lambda _: chance.choices(choices, weights)[0]
    endpoint, secret = await control.add("default", receiver.url, after=0)
    async with make_deliverer(sender=hasty, retries=Retries(1_000, 0.01, 0.02)).running():
        await write(writer, 60)
        found = await until(reached(control, endpoint, 60))
    assert found.dead_letters == 0
    accepted = [each.position for each in receiver.accepted]
    assert sorted(set(accepted)) == list(range(1, 61))
    receiver.check_order()
    assert all(each.verify(secret) for each in receiver.deliveries)


async def test_several_deliverers_share_the_endpoints_and_none_is_sent_anything_twice(
    control: WebhookControl, make_deliverer: MakeDeliverer, writer: GroupWriter
) -> None:
    with receiving() as one, receiving() as two:
        first, _ = await control.add("default", one.url, after=0)
        second, _ = await control.add("default", two.url, after=0)
        async with make_deliverer().running(), make_deliverer().running(), make_deliverer().running():
            await write(writer, 100)
            for endpoint in (first, second):
                await until(reached(control, endpoint, 100))
        for each in (one, two):
            assert [delivery.position for delivery in each.deliveries] == list(range(1, 101))


async def test_a_slow_endpoint_keeps_no_other_one_waiting(
    control: WebhookControl, make_deliverer: MakeDeliverer, writer: GroupWriter, receiver: Receiver, hasty: Sender
) -> None:
    with receiving() as slow:
        slow.answer = lambda _: Answer(200, wait=30)
        for _ in range(3):
            await control.add("default", slow.url, after=0)
        endpoint, _ = await control.add("default", receiver.url, after=0)
        async with make_deliverer(sender=hasty, turns=4, retries=Retries(9, 60.0, 60.0)).running():
            await write(writer, 20)
            await until(reached(control, endpoint, 20))
    assert len(receiver.deliveries) == 20


async def test_ledgers_with_many_endpoints_that_do_not_answer_keep_no_other_one_waiting(
    control: WebhookControl, make_deliverer: MakeDeliverer, writer: GroupWriter, receiver: Receiver
) -> None:
    await control.add("quiet", receiver.url, after=0)
    answered = threading.Event()
    with receiving() as slow:
        slow.answer = lambda _: (answered.wait(60), OK)[1]
        async with make_deliverer(turns=10).running():
            for ledger, upto in (("noisy", 5), ("louder", 8)):
                for _ in range(9):
                    await control.add(ledger, slow.url, after=0)
                await write(writer, 3, ledger)
                await asyncio.to_thread(slow.wait_for, upto)
            await write(writer, 3, "quiet")
            await asyncio.to_thread(receiver.wait_for, 3)
            assert [each.event["ledger"] for each in slow.deliveries] == ["noisy"] * 5 + ["louder"] * 3
            answered.set()


@pytest.mark.parametrize("bound", [{"_TURN": 5}, {"_LONG": 0.05}], ids=["events", "seconds"])
async def test_where_fewer_turns_are_allowed_each_endpoint_has_its_own_in_time(
    control: WebhookControl,
    make_deliverer: MakeDeliverer,
    writer: GroupWriter,
    monkeypatch: pytest.MonkeyPatch,
    bound: dict[str, float],
) -> None:
    for name, value in bound.items():
        monkeypatch.setattr(deliverer, name, value)
    await write(writer, 40)
    with receiving() as one, receiving() as two:
        order: list[str] = []
        for name, each in (("one", one), ("two", two)):
            each.answer = lambda _, name=name: (order.append(name), OK)[1]
            await control.add("default", each.url, after=0)
        async with make_deliverer(turns=1).running():
            await asyncio.to_thread(one.wait_for, 40)
            await asyncio.to_thread(two.wait_for, 40)
    assert "two" in order[:25], "the first is not done before the second begins"
    assert "one" in order[20:]


async def test_a_turn_is_one_processs_at_a_time_and_what_it_notes_too_late_changes_nothing(
    control: WebhookControl, do: Do, writer: GroupWriter, receiver: Receiver
) -> None:
    await write(writer, 3)
    endpoint, _ = await control.add("default", receiver.url, after=0)
    due = Due("default", endpoint.endpoint_id)
    assert await do(find_due, 10) == [due]
    turn = await do(claim, due, 60)
    assert turn.position == 0
    assert "whsec" not in repr(turn)
    assert await do(claim, due, 60) is None
    assert await do(find_due, 10) == []
    assert await do(advance, turn, 1, 60, delivered=True)
    assert await do(find_due, 10) == []
    assert await do(advance, turn, 1, -1, delivered=False)  # as if its time were over
    assert await do(find_due, 10) == [due], "whoever had it is gone"
    later = await do(claim, due, 60)
    assert later.position == 1, "what was noted is kept"
    assert not await do(advance, turn, 2, 60, delivered=True)
    await do(release, turn)
    assert await do(claim, due, 60) is None, "the one that came later still has it"
    assert await do(advance, later, 3, 60, delivered=False)
    await do(release, later)
    assert await do(find_due, 10) == []


async def test_whoever_looked_before_a_failure_does_not_try_sooner_than_it_was_asked_to(
    control: WebhookControl, do: Do, writer: GroupWriter, receiver: Receiver
) -> None:
    await write(writer, 1)
    await control.add("default", receiver.url, after=0)
    (mine,), (yours,) = await do(find_due, 10), await do(find_due, 10)
    turn = await do(claim, mine, 60)
    await do(fail, turn, failed("answered 503", 0.1, status=503, retry_after=600), 600)
    await do(release, turn)
    assert await do(claim, yours, 60) is None
    assert await do(find_due, 10) == []


async def test_each_note_prolongs_the_turn(
    control: WebhookControl, do: Do, writer: GroupWriter, receiver: Receiver
) -> None:
    await write(writer, 3)
    await control.add("default", receiver.url, after=0)
    (due,) = await do(find_due, 10)
    turn = await do(claim, due, -1)  # as if its time were over
    assert await do(advance, turn, 1, 60, delivered=True)
    assert await do(find_due, 10) == []
    assert await do(advance, turn, 1, -1, delivered=True)
    assert await do(bury, turn, 2, failed("answered 500", 0.1), 3, 60)
    assert await do(find_due, 10) == [], "an event that died"


async def test_of_each_ledger_one_is_due_before_a_second_one_of_any(
    control: WebhookControl, do: Do, writer: GroupWriter, receiver: Receiver
) -> None:
    noisy = [await control.add("noisy", receiver.url, after=0) for _ in range(5)]
    quiet, _ = await control.add("quiet", receiver.url, after=0)
    for ledger in ("noisy", "quiet"):
        await write(writer, 1, ledger)
    assert await do(find_due, 2) == [
        Due("noisy", noisy[0].endpoint.endpoint_id), Due("quiet", quiet.endpoint_id),
    ]  # fmt: skip
    assert len(await do(find_due, 10)) == 6


async def test_what_is_under_way_at_the_end_is_noted(
    control: WebhookControl, make_deliverer: MakeDeliverer, writer: GroupWriter, receiver: Receiver
) -> None:
    await write(writer, 3)
    endpoint, _ = await control.add("default", receiver.url, after=0)
    receiver.answer = lambda _: Answer(204, wait=0.3)
    async with make_deliverer().running():
        await asyncio.to_thread(receiver.wait_for, 1)
    found = await control.find("default", endpoint.endpoint_id)
    assert [each.position for each in receiver.deliveries] == [1]
    assert found.position == 1
    async with make_deliverer().running():  # the turn was given back: nobody has to wait until it runs out
        await until(reached(control, endpoint, 3))


async def test_an_address_that_is_refused_at_the_delivery_is_a_failure_that_is_told(
    control: WebhookControl, engine: AsyncEngine, heads: Heads, writer: GroupWriter, receiver: Receiver
) -> None:
    endpoint, _ = await control.add("default", receiver.url, after=0)
    strict = Deliverer(
        engine, heads, Sender(Guard(), timeout=1.0), source="urn:x:", retries=Retries(1, 0.01, 0.01), poll=0.05
    )
    async with strict.running():
        await write(writer, 1)
        (letter,) = await until(dead(control, endpoint, 1))
    assert letter.error == "the host '127.0.0.1' is not on the internet"
    assert receiver.connections == 0


async def test_wrong_input_is_refused_by_field_and_nothing_is_written(
    control: WebhookControl, writer: GroupWriter, receiver: Receiver
) -> None:
    await write(writer, 2)
    for field, options in {
        "url": {"url": "https://user:pw@127.0.0.1/"},
        "types": {"types": ["born"]},
        "after": {"after": 3},
        "description": {"description": "x" * 2_001},
    }.items():
        with pytest.raises(InvalidInput) as refused:
            await control.add("default", **({"url": receiver.url} | options))
        assert refused.value.field == field
    with pytest.raises(InvalidInput, match="types: is empty"):
        await control.add("default", receiver.url, types=[])
    with pytest.raises(InvalidInput, match="url: has 2,0"):
        await control.add("default", f"{receiver.url}/{'x' * 2_000}")
    assert await control.list() == []
    for number in range(100):
        await control.add("default", f"{receiver.url}/{number}")
    with pytest.raises(InvalidInput, match="has 100 webhooks already"):
        await control.add("default", receiver.url)
    (endpoint, *_) = await control.list()
    for overlap in (-1, 30 * 86_400 + 1, 1e300, float("inf")):
        with pytest.raises(InvalidInput, match="overlap: "):
            await control.rotate("default", endpoint.endpoint_id, overlap=overlap)
    assert (await control.rotate("default", endpoint.endpoint_id, overlap=30 * 86_400)).endpoint.earlier_secret_until
    assert len({each.endpoint_id for each in await control.list()}) == 100
    with pytest.raises(UnknownWebhook, match="no webhook 'nobody' in ledger 'red'"):
        await control.find("red", "nobody")


async def test_a_test_is_sent_at_once_and_its_answer_told(control: WebhookControl, receiver: Receiver) -> None:
    endpoint, secret = await control.add("default", receiver.url)
    attempt = await control.test("default", endpoint.endpoint_id)
    assert attempt.delivered
    event = receiver.deliveries[0].verify(secret)
    assert (event["type"], event["data"]) == ("org.executionledger.webhook.test", {})
    receiver.answer = lambda _: Answer(404, body=b"who?")
    attempt = await control.test("default", endpoint.endpoint_id)
    assert (attempt.delivered, attempt.status, attempt.response) == (False, 404, "who?")


async def test_an_event_that_cannot_be_sent_at_all_stops_nothing(
    control: WebhookControl,
    make_deliverer: MakeDeliverer,
    writer: GroupWriter,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = deliverer.event_message

    def fail(endpoint_id: str, event: Any, source: str) -> Any:
        if event.position == 2:
            raise ZeroDivisionError("by nothing")
        return made(endpoint_id, event, source)

    monkeypatch.setattr(deliverer, "event_message", fail)
    endpoint, _ = await control.add("default", receiver.url, after=0)
    async with make_deliverer().running():
        await write(writer, 3)
        (letter,) = await until(dead(control, endpoint, 1))
        await until(reached(control, endpoint, 3))
    assert letter.error == "ZeroDivisionError: by nothing"
    assert [each.position for each in receiver.deliveries] == [1, 3]
