"""django-oauth-toolkit as a site of its own, with its forms: a script that `support.provider` runs as a process.

Its one argument is JSON: the port, the issuer, a folder to keep everything in, the clients, and people by their groups.
"""
# ruff: noqa: E402 - Django's models can be imported only when it has its settings

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import django
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.conf import settings

GIVEN: dict[str, Any] = json.loads(sys.argv[1])
FOLDER = Path(GIVEN["folder"])
KEY = FOLDER / "key.pem"
FORM = "<form method=post>{% csrf_token %}{{ form.as_p }}<button>Log in</button></form>"

is_new = not KEY.exists()
if is_new:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    KEY.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

settings.configure(
    SECRET_KEY="of no site in use",
    ALLOWED_HOSTS=["localhost"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.staticfiles",
        "oauth2_provider",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / "provider.db"}},
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # quick
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "loaders": [
                    ("django.template.loaders.locmem.Loader", {"registration/login.html": FORM}),
                    "django.template.loaders.app_directories.Loader",
                ]
            },
        }
    ],
    USE_TZ=True,
    STATIC_URL="static/",
    LOGIN_URL="login",
    OAUTH2_PROVIDER={
        "OIDC_ENABLED": True,
        "OIDC_ISS_ENDPOINT": GIVEN["issuer"],
        "OIDC_RSA_PRIVATE_KEY": KEY.read_text(),
        "OAUTH2_VALIDATOR_CLASS": f"{__name__}.Claims",
        "SCOPES": {"openid": "Know who you are"},
        # As RFC 9700 says: S256 and no other challenge, and `iss` in answers.
        "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
        "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
        "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT": True,
        "COMPLIANT_BCP_RFC9700_PASSWORD_GRANT": True,
    },
)
django.setup()

from django.contrib.auth.models import Group, User
from django.contrib.auth.views import LoginView
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.management import call_command
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from django.urls import include, path
from oauth2_provider.models import Application
from oauth2_provider.oauth2_validators import OAuth2Validator


class Claims(OAuth2Validator):
    """Tells of people what the ledger asks for, by their groups, as identity providers of companies are set up."""

    oidc_claim_scope = None

    def get_additional_claims(self, request: Any) -> dict[str, Any]:
        groups = list(request.user.groups.values_list("name", flat=True))
        return {"preferred_username": request.user.username, "ledger": "default", "ledger_scopes": groups}


urlpatterns = [
    path("login", LoginView.as_view(), name="login"),
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
]


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def fill() -> None:
    call_command("migrate", verbosity=0)
    for name, groups in GIVEN["people"].items():
        person = User.objects.create_user(name, password=GIVEN["password"])
        person.groups.set([Group.objects.get_or_create(name=group)[0] for group in groups])
    for client, secret in GIVEN["clients"].items():
        Application.objects.create(
            name=client,
            client_id=client,
            client_type="public" if secret is None else "confidential",
            client_secret=secret or "",
            authorization_grant_type="authorization-code",
            redirect_uris=GIVEN["redirect_uri"],
            algorithm="RS256",
        )


if is_new:
    fill()
server = ThreadedWSGIServer(("127.0.0.1", GIVEN["port"]), Quiet)
server.daemon_threads = True
server.set_app(StaticFilesHandler(get_wsgi_application()))
threading.Thread(target=server.serve_forever, daemon=True).start()
print("listens", flush=True)
sys.stdin.read()  # until whoever started it is gone
