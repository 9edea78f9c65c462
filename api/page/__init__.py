"""The web page: what is served of it, and where."""

from .paths import is_of_page
from .routes import router

__all__ = ["is_of_page", "router"]
