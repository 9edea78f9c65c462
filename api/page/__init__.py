"""The web page: what is served of it, and where."""

from .paths import is_of_page, is_view
from .routes import router

__all__ = ["is_of_page", "is_view", "router"]
