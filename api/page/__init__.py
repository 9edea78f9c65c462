"""The web page: what is served of it, and where."""

from .paths import is_for_page, is_of_page, is_view
from .routes import page_response, router

__all__ = ["is_for_page", "is_of_page", "is_view", "page_response", "router"]
