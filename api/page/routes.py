"""The page's document and its files."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from .assets import load_assets
from .document import make_document
from .paths import ASSETS, VIEWS

router = APIRouter(include_in_schema=False)

_FOR_GOOD = "public, max-age=31536000, immutable"


async def get_page(request: Request) -> Response:
    """The document, which a browser asks for again each time: it names the files of today."""
    return page_response(request)


def page_response(request: Request, status: int = 200) -> Response:
    """The document; with status 404 it is the page that says that there is nothing here."""
    settings = request.app.state.settings
    offered = settings.auth and settings.oidc_client_id is not None
    document = make_document(settings.oidc_login_name if offered else None)
    headers = {
        "ETag": document.etag,
        "Cache-Control": "no-cache",
        "Content-Security-Policy": document.policy,
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    if status == 200 and request.headers.get("if-none-match") == document.etag:
        return Response(status_code=304, headers=headers)
    return Response(document.content, status, headers, "text/html; charset=utf-8")


for _path in VIEWS:
    router.add_api_route(_path, get_page, methods=["GET", "HEAD"], operation_id="get_page")


@router.api_route(f"{ASSETS}/{{digest}}/{{path:path}}", methods=["GET", "HEAD"], operation_id="get_page_file")
async def get_page_file(request: Request, digest: str, path: str) -> Response:
    """A file, as long as it is one of today's."""
    assets = load_assets()
    asset = assets.by_path.get(path) if digest == assets.digest else None
    if asset is None:
        raise HTTPException(404)
    headers = {"ETag": asset.etag, "Cache-Control": _FOR_GOOD}
    if request.headers.get("if-none-match") == asset.etag:
        return Response(status_code=304, headers=headers)
    return Response(asset.content, media_type=asset.media_type, headers=headers)
