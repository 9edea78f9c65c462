"""The OpenAPI document, with what FastAPI leaves out: the model of problems, and links from answers to what is next."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from .problem_docs import ProblemDetails

_EXECUTION = {"execution_id": "$request.path.execution_id"}


def complete_document(app: FastAPI) -> None:
    """Have the app tell the whole document."""
    make_document = app.openapi

    def openapi() -> dict[str, Any]:
        document = make_document()
        schemas = document["components"]["schemas"]
        if "ProblemDetails" not in schemas:  # FastAPI only looks for models of plain JSON answers
            schemas["ProblemDetails"] = ProblemDetails.model_json_schema()
            _add_links(document["paths"])
            for methods in document["paths"].values():
                for operation in methods.values():
                    for parameter in operation.get("parameters", ()):
                        _drop_null(parameter["schema"])
        return document

    app.openapi = openapi


def _drop_null(schema: dict[str, Any]) -> None:
    """No parameter can be null: it is left out."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        schema.update(kinds[0])
    elif kinds:
        schema["anyOf"] = kinds


def _add_links(paths: dict[str, Any]) -> None:
    """Say which answers give the parameters of which operations."""
    created = _links(paths, "create_execution", "201")
    for path, methods in paths.items():
        if "{step_id}" not in path and "/lease" not in path and "{execution_id}" in path:
            for operation in methods.values():
                created[operation["operationId"]] = _link(operation, execution_id="$response.body#/execution_id")
    lease = "/api/v1/executions/{execution_id}/lease"
    created["take_lease"] = _link(paths[lease]["post"], execution_id="$response.body#/execution_id")
    taken = _links(paths, "take_lease", "200")
    for method in ("put", "delete"):
        operation = paths[lease][method]
        taken[operation["operationId"]] = _link(
            operation, **_EXECUTION, **{"header.X-Lease-Token": "$response.body#/token"}
        )
    made = _links(paths, "create_webhook", "201")
    for path, methods in paths.items():
        for operation in methods.values() if "{endpoint_id}" in path else ():
            made[operation["operationId"]] = _link(operation, endpoint_id="$response.body#/webhook/endpoint_id")
    started = _links(paths, "start_step", "200")
    finish = paths["/api/v1/executions/{execution_id}/steps/{step_id}/finish"]["post"]
    started["finish_step"] = _link(finish, **_EXECUTION, step_id="$request.body#/step_id")


def _links(paths: dict[str, Any], operation_id: str, status: str) -> dict[str, Any]:
    operation = next(
        operation
        for methods in paths.values()
        for operation in methods.values()
        if operation["operationId"] == operation_id
    )
    return operation["responses"][status].setdefault("links", {})


def _link(operation: dict[str, Any], **parameters: str) -> dict[str, Any]:
    return {"operationId": operation["operationId"], "description": operation["summary"], "parameters": parameters}
