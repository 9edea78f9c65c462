"""The HTML document, the same for every view, and what a browser may do with it."""

from __future__ import annotations

import json
from base64 import b64encode
from functools import cache
from hashlib import sha256
from html import escape
from typing import NamedTuple

from .assets import load_assets
from .paths import ASSETS

_MODULES = {
    "preact": "vendor/preact.js",
    "preact/hooks": "vendor/preact-hooks.js",
    "@preact/signals-core": "vendor/signals-core.js",
    "@preact/signals": "vendor/signals.js",
    "htm": "vendor/htm.js",
    "uplot": "vendor/uplot.js",
}
"""The names by which vendored modules import each other, so that their files stay as they were published."""

_LATER = ("vendor/uplot.js", "js/early.js")
"""Not fetched ahead: charts are of one view, and the last one is in the document itself."""

_DOCUMENT = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Execution Ledger</title>
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
<meta name="color-scheme" content="light dark">
{sign_in}<script src="{base}/js/early.js"></script>
<link rel="icon" href="{base}/icon.svg" type="image/svg+xml">
{styles}
<script type="importmap">{modules}</script>
{preloads}
<script type="module" src="{base}/js/main.js"></script>
</head>
<body>
<div id="app"></div>
<noscript><p>This page needs JavaScript. The same is told by <code>execution-ledger history</code>
and by the <a href="/api/v1/openapi.json">HTTP API</a>.</p></noscript>
</body>
</html>
"""


class Document(NamedTuple):
    """What is sent."""

    content: bytes
    policy: str
    etag: str


@cache
def make_document(sign_in: str | None = None) -> Document:
    """The document, with the policy that lets it run its own files and nothing else.

    `sign_in` names what people can sign in with, where they can: a meta element tells it to whoever is not known yet.
    """
    assets = load_assets()
    base = f"{ASSETS}/{assets.digest}"
    modules = json.dumps({"imports": {name: f"{base}/{path}" for name, path in _MODULES.items()}})
    ahead = [path for path in assets.by_path if path.endswith((".js", ".css")) and path not in _LATER]
    content = _DOCUMENT.format(
        base=base,
        modules=modules,
        sign_in="" if sign_in is None else f'<meta name="sign-in" content="{escape(sign_in)}">\n',
        styles="\n".join(f'<link rel="stylesheet" href="{base}/{path}">' for path in ahead if path.endswith(".css")),
        preloads="\n".join(
            f'<link rel="modulepreload" href="{base}/{path}">' for path in ahead if path.endswith(".js")
        ),
    ).encode()
    return Document(content, _policy(modules), f'"{sha256(content).hexdigest()[:16]}"')


def _policy(modules: str) -> str:
    """The one script inside the document is the map of modules, which no file can hold: it is told by its digest."""
    digest = b64encode(sha256(modules.encode()).digest()).decode()
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'sha256-{digest}'",
            "style-src 'self'",
            "connect-src 'self'",
            "img-src 'self' data:",
            "font-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
