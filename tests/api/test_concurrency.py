"""Many writers at once over HTTP: every acknowledged write is one event, and nothing else is there."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from support.http_service import make_client

WRITERS = 32
EACH = 4


def test_every_acknowledged_write_of_32_writers_is_one_event(client: httpx.Client, service: Any) -> None:
    for name in ("shared", "contested"):
        client.post("executions", json={"job_id": name})

    def write(writer: int) -> list[tuple[str, int, int]]:
        """Path, status and version of each answer."""
        with make_client(service.address, headers={"X-Ledger": service.ledger, "X-Actor": f"w{writer}"}) as own:
            sent = [("executions", own.post("executions", json={"job_id": f"own-{writer}"}))]
            for at in range(EACH):
                path = "shared" if at % 2 else f"own-{writer}"
                key = {"Idempotency-Key": f"{writer}-{at}"}
                for _ in range(1 + at % 3):  # sent again now and then, as after a lost answer
                    answer = own.post(f"executions/{path}/notes", json={"text": f"{at}"}, headers=key)
                sent.append((path, answer))
            sent.append(("contested", own.post("executions/contested/complete", json={"result": writer})))
            sent.append(("contested", own.post("executions/contested/cancel")))
            return [(path, answer.status_code, answer.json().get("version", 0)) for path, answer in sent]

    with ThreadPoolExecutor(WRITERS) as pool:
        answers = [answer for answers in pool.map(write, range(WRITERS)) for answer in answers]

    assert not [answer for answer in answers if answer[1] >= 500]
    assert {status for path, status, _ in answers if path != "contested"} == {200, 201}
    assert {status for path, status, _ in answers if path == "contested"} <= {200, 409}
    ledger = client.get("ledger").json()
    assert ledger["size"] == 2 + WRITERS + WRITERS * EACH + 1
    assert ledger["executions"] == 2 + WRITERS
    positions, after = [], 0
    types: Counter[str] = Counter()
    while after is not None:
        page = client.get("events", params={"order": "oldest", "limit": 100, "after": after}).json()
        positions += [event["position"] for event in page["events"]]
        types.update(event["type"] for event in page["events"])
        after = page["next_after"]
    assert positions == list(range(1, ledger["size"] + 1))
    assert types["execution.noted"] == WRITERS * EACH
    assert types["execution.completed"] + types["execution.cancelled"] == 1
    assert client.get("executions/shared").json()["version"] == 1 + WRITERS * EACH // 2


def test_of_writers_that_name_the_same_version_one_wins(client: httpx.Client, service: Any) -> None:
    client.post("executions", json={"job_id": "j"})

    def write(writer: int) -> int:
        headers = {"X-Ledger": service.ledger, "If-Match": '"1"'}
        with make_client(service.address, headers=headers) as own:
            return own.patch("executions/j", json={"message": str(writer)}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(write, range(8))) == [200] + [412] * 7
    assert client.get("executions/j").json()["version"] == 2


def test_of_writers_that_send_one_key_at_once_all_get_the_same_answer(client: httpx.Client, service: Any) -> None:
    def write(_: int) -> str:
        headers = {"X-Ledger": service.ledger, "Idempotency-Key": "only"}
        with make_client(service.address, headers=headers) as own:
            answer = own.post("executions", json={"message": "x"})
            assert answer.status_code == 201, answer.text
            return answer.json()["job_id"]

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(write, range(8)))) == 1
    assert client.get("ledger").json()["size"] == 1
