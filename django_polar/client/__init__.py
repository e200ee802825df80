"""Polar's HTTP API. Knows nothing of the database, and works without Django."""

from .budget import Budget, RequestBudget
from .factory import override_transport, polar_client
from .polar import PolarClient

__all__ = ["Budget", "PolarClient", "RequestBudget", "override_transport", "polar_client"]
