"""loky.backend."""

from .context import get_context

__all__ = ["get_context"]
