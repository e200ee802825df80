"""The OpenAPI schema, through drf-spectacular where that is installed; without it, nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from rest_framework import serializers

try:
    from drf_spectacular import types, utils
except ImportError:
    types = utils = None

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")
S = TypeVar("S", bound=type[serializers.Serializer[Any]])


def extend_schema(**kwargs: Any) -> Callable[[F], F]:
    """drf-spectacular's decorator, with types of its own."""
    if utils is None:
        return lambda view: view
    decorate: Callable[[F], F] = utils.extend_schema(tags=["polar"], **kwargs)
    return decorate


def describe(shape: Any, description: str) -> Any:
    """A shape of answers, and what it means."""
    return None if utils is None else utils.OpenApiResponse(shape, description)


def component(serializer_class: S) -> S:
    """A name in the project's schema that tells whose it is: ``PolarMe``, ``PolarBalance``."""
    if utils is not None:
        name = f"Polar{serializer_class.__name__.removesuffix('Serializer')}"
        utils.extend_schema_serializer(component_name=name)(serializer_class)
    return serializer_class


@component
class ErrorSerializer(serializers.Serializer[Any]):
    """What went wrong. Errors of fields come by the field's name instead."""

    detail = serializers.CharField(read_only=True)


ANY_OBJECT: Final = None if types is None else types.OpenApiTypes.OBJECT
BINARY: Final = None if types is None else types.OpenApiTypes.BINARY

ERRORS: Final[dict[Any, Any]] = {
    401: describe(ErrorSerializer, "Nobody is signed in."),
    403: describe(ErrorSerializer, "Not signed in, or not allowed."),
    404: describe(ErrorSerializer, "There is no such customer."),
    429: describe(ErrorSerializer, "Asked too often; see Retry-After."),
}

REMOTE_ERRORS: Final[dict[Any, Any]] = {
    400: describe(ANY_OBJECT, "Lists of texts by the names of fields."),
    **ERRORS,
    409: describe(ErrorSerializer, "Polar does not allow this now."),
    502: describe(ErrorSerializer, "Polar did not do what was asked."),
    503: describe(ErrorSerializer, "Polar cannot be reached; see Retry-After."),
}
