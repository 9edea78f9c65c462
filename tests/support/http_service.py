"""The HTTP service as users meet it: over a real uvicorn. Every answer is compared with the OpenAPI document."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Queue
from typing import Any

import httpx
from pydantic import TypeAdapter

from execution_ledger.api.http import answers
from execution_ledger.api.http.app import create_app
from execution_ledger.api.http.problem_docs import ProblemDetails
from execution_ledger.api.http.problem_kinds import TYPE_PREFIX
from execution_ledger.api.http.server import Server
from execution_ledger.infrastructure import Settings

_INSIDE = re.compile(r"Traceback|SELECT|INSERT|execution_streams|sqlalchemy|psycopg|sqlite3", re.IGNORECASE)
_DOCUMENT: dict[str, Any] = create_app(Settings()).openapi()


@contextmanager
def running(settings: Settings, *, port: int = 0) -> Iterator[str]:
    """Serve in a thread, on a free port; gives the address once the service listens."""
    announced: Queue[Any] = Queue()
    server = Server(settings.model_copy(update={"port": port}), announced.put)

    def run() -> None:
        try:
            server.run()
        except BaseException as error:
            announced.put(error)

    thread = threading.Thread(target=run, name="uvicorn")
    thread.start()
    try:
        address = announced.get(timeout=30)
        if isinstance(address, BaseException):
            raise address
        yield address
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        assert not thread.is_alive()


def make_client(address: str, **options: Any) -> httpx.Client:
    """A client of the API below `address` that finds every answer out that is not as documented."""
    hooks = {"response": [check_answer]}
    # Without `verify` and `trust_env` no certificates are loaded, which takes longer than most tests.
    return httpx.Client(
        base_url=f"{address}/api/v1/", event_hooks=hooks, timeout=60, trust_env=False, verify=False, **options
    )


def check_answer(response: httpx.Response) -> None:
    """Compare an answer with the document."""
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        operation = find_operation(response.request)
        assert operation is not None
        assert "text/event-stream" in operation["responses"]["200"]["content"]
        return  # it may have no end
    response.read()
    if response.status_code >= 400:
        problem = ProblemDetails.model_validate_json(response.content)
        assert response.headers["content-type"] == "application/problem+json"
        assert problem.status == response.status_code
        assert problem.type.startswith(TYPE_PREFIX)
        assert not _INSIDE.search(response.text), response.text
    operation = find_operation(response.request)
    if operation is None:
        assert response.status_code in (401, 404, 405)
        return
    documented = operation["responses"].get(str(response.status_code))
    assert documented is not None, f"{response.status_code} is not documented for {operation['operationId']}"
    media_type = response.headers.get("content-type", "application/json")
    schema = documented.get("content", {}).get(media_type, {}).get("schema", {})
    name = schema.get("items", schema).get("$ref", "").rpartition("/")[2]
    if name and response.status_code < 400 and "preference-applied" not in response.headers:
        model = getattr(answers, name)
        TypeAdapter(list[model] if "items" in schema else model).validate_json(response.content)
        if response.headers.get("etag") is not None:
            assert documented["headers"].keys() <= {"ETag", "Location", "X-Position"}
        assert "+00:00" not in re.sub(r'"data":\{.*?\}', "", response.text)


def find_operation(request: httpx.Request) -> dict[str, Any] | None:
    """The documented operation that a request is for."""
    path = request.url.raw_path.decode().partition("?")[0]
    for template, operations in _DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            return operations.get(request.method.lower())
    return None


def operations() -> dict[str, tuple[str, str]]:
    """Operation id → method and path."""
    return {
        operation["operationId"]: (method.upper(), path)
        for path, methods in _DOCUMENT["paths"].items()
        for method, operation in methods.items()
    }
