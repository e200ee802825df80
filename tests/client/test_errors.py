"""Whatever comes back instead of an answer becomes the error that says what to do about it."""

import logging
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from django_polar.client import PolarClient
from django_polar.exceptions import (
    AuthenticationError,
    ConfigurationError,
    EndpointNotFoundError,
    InvalidRequestError,
    NotFoundError,
    PayloadError,
    PermissionDeniedError,
    PolarError,
    RateLimitError,
    UnavailableError,
    UnexpectedResponseError,
)

from .server import CUSTOMER_ID, NO_ROUTE, NOT_FOUND, customer, ok

VERSION = {"polar-version": "2026-04"}


def get(polar, server, answer):
    server.always(answer)
    with pytest.raises(PolarError) as caught:
        polar.customers.get(CUSTOMER_ID)
    return caught.value


def test_an_unknown_customer_is_not_found(polar, server):
    error = get(polar, server, httpx.Response(404, json=NOT_FOUND, headers=VERSION))

    assert type(error) is NotFoundError
    assert error.status == 404


def test_a_missing_endpoint_says_nothing_about_the_customer(polar, server):
    error = get(polar, server, httpx.Response(404, json=NO_ROUTE, headers=VERSION))

    assert type(error) is EndpointNotFoundError
    assert "version" not in str(error)


def test_a_404_without_version_may_mean_an_unknown_version(polar, server):
    error = get(polar, server, httpx.Response(404, json=NO_ROUTE))

    assert type(error) is EndpointNotFoundError
    assert "API version 2026-04" in str(error)


@pytest.mark.parametrize("body", [b"<html>404</html>", b"[]", b"", b'{"error": 404}'])
def test_a_404_of_somebody_else_does_not_mean_that_the_customer_is_gone(polar, server, body):
    assert type(get(polar, server, httpx.Response(404, content=body))) is EndpointNotFoundError


def test_a_bad_token_has_to_be_replaced(polar, server):
    error = get(polar, server, httpx.Response(401, json={"error": "invalid_token"}))

    assert type(error) is AuthenticationError
    assert "invalid_token" in str(error)


def test_a_missing_scope_is_named(polar, server):
    error = get(
        polar,
        server,
        httpx.Response(
            403,
            json={"error": "insufficient_scope"},
            headers={
                "www-authenticate": 'Bearer realm="polar",'
                ' scope="customers:read customers:write", error="insufficient_scope"'
            },
        ),
    )

    assert type(error) is PermissionDeniedError
    assert error.scopes == ("customers:read", "customers:write")
    assert "customers:read" in str(error)


def test_another_403_names_no_scopes(polar, server):
    error = get(polar, server, httpx.Response(403, json={"error": "CustomerNotReady"}))

    assert type(error) is PermissionDeniedError
    assert error.scopes == ()
    assert "CustomerNotReady" in str(error)


def validation_error(kind, loc, msg="Field required", type="missing"):
    entry = {"type": type, "loc": loc, "msg": msg, "input": {"email": "ada@example.com"}}
    return httpx.Response(422, json={"error": kind, "detail": [entry]})


@pytest.mark.parametrize(
    ("kind", "loc"),
    [
        ("RequestValidationError", ["body", "individual", "email"]),
        ("PolarRequestValidationError", ["body", "email"]),
    ],
)
def test_both_shapes_of_422_tell_the_field_and_not_the_value(polar, server, kind, loc):
    error = get(polar, server, validation_error(kind, loc))

    assert type(error) is InvalidRequestError
    assert error.has("email", "required")
    assert error.errors[0].loc == tuple(loc)
    assert "email (missing)" in str(error)
    assert "ada@example.com" not in repr(error) + repr(error.errors)


@pytest.mark.parametrize(
    "detail", ["text", None, [1, "x"], [{"loc": None}], [{"loc": [None, {}], "type": 5}]]
)
def test_a_422_of_another_shape_is_still_a_refusal(polar, server, detail):
    error = get(polar, server, httpx.Response(422, json={"error": "Odd", "detail": detail}))

    assert type(error) is InvalidRequestError
    assert error.status == 422


@pytest.mark.parametrize("status", [400, 405, 409, 413, 415, 418])
def test_other_refusals_need_another_request(polar, server, status):
    error = get(polar, server, httpx.Response(status, text="no"))

    assert type(error) is InvalidRequestError
    assert error.status == status
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 304])
def test_redirects_are_not_followed(polar, server, status):
    """A redirected ``DELETE /external/trail%2F`` would delete another customer."""
    server.always(
        httpx.Response(status, headers={"location": "http://polar.test/v1/customers/external/x"})
    )

    with pytest.raises(UnexpectedResponseError) as caught:
        polar.customers.delete_external("trail")

    assert caught.value.status == status
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 408])
def test_a_failing_server_is_unavailable_whatever_its_page_says(polar, server, status):
    error = get(polar, server, httpx.Response(status, html="<h1>Bad Gateway</h1>"))

    assert type(error) is UnavailableError
    assert error.status == status
    assert not error.maybe_applied


def test_too_many_requests_says_how_long_to_wait(polar, server):
    error = get(polar, server, httpx.Response(429, headers={"retry-after": "60"}))

    assert type(error) is RateLimitError
    assert error.retry_after == timedelta(seconds=60)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", timedelta(0)),
        ("-5", timedelta(0)),
        ("1.5", timedelta(seconds=1.5)),
        ("99999999999999", timedelta(days=1)),
        ("inf", timedelta(days=1)),
        ("nan", None),
        ("soon", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("", None),
        (format_datetime(datetime(2001, 1, 1, tzinfo=UTC), usegmt=True), timedelta(0)),
        ("Mon, 01 Jan 2001 00:00:00", timedelta(0)),
    ],
)
def test_retry_after_is_read_whatever_it_is(polar, server, value, expected):
    error = get(polar, server, httpx.Response(429, headers={"retry-after": value}))

    assert error.retry_after == expected


def test_retry_after_may_be_a_date(polar, server):
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)

    error = get(polar, server, httpx.Response(429, headers={"retry-after": soon}))

    assert timedelta(seconds=80) < error.retry_after <= timedelta(seconds=90)


@pytest.mark.parametrize("body", [b"<html>welcome</html>", b"{", b"", b"\xff\xfe"])
def test_an_answer_that_is_no_json_is_none_of_polars(polar, server, body):
    error = get(polar, server, httpx.Response(200, content=body))

    assert type(error) is UnexpectedResponseError
    assert not error.maybe_applied


def test_an_answer_that_lacks_a_field_names_it(polar, server):
    data = customer()
    del data["created_at"]

    error = get(polar, server, ok(data))

    assert type(error) is PayloadError
    assert "created_at: missing" in str(error)


@pytest.mark.parametrize("body", [b"<html>", b'{"id": 1}'])
def test_a_write_with_an_unreadable_answer_may_have_happened(polar, server, body):
    server.always(httpx.Response(201, content=body))

    with pytest.raises(UnexpectedResponseError) as caught:
        polar.customers.create(email="ada@example.com")

    assert caught.value.maybe_applied


def test_a_deletion_has_to_be_confirmed_with_204(polar, server):
    """A login page of some proxy comes with 200."""
    server.always(httpx.Response(200, html="<h1>Please log in</h1>"))

    with pytest.raises(UnexpectedResponseError) as caught:
        polar.customers.delete(CUSTOMER_ID)

    assert caught.value.maybe_applied


def test_broken_compression_is_none_of_polars(polar, server):
    def broken(request):
        return httpx.Response(
            200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"not gzip")
        )

    assert type(get(polar, server, broken)) is UnexpectedResponseError


SECRETS = ("polar_oat_secret", "polar_cst_secret", "ada@example.com", "Lovelace")


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404, json=NOT_FOUND),
        httpx.Response(401, json={"error": "Lovelace ada@example.com"}),
        httpx.Response(422, text="polar_oat_secret ada@example.com Lovelace"),
        validation_error("Lovelace!", ["body", "ada@example.com"], type="ada@example.com"),
        httpx.Response(500, text="ada@example.com"),
        httpx.Response(200, json={"email": "ada@example.com", "id": "Lovelace"}),
        httpx.Response(200, content=b"ada@example.com"),
        httpx.ReadTimeout("timed out"),
    ],
)
def test_nothing_personal_or_secret_is_logged_or_put_into_an_error(polar, server, caplog, answer):
    caplog.set_level(logging.DEBUG)
    server.always(answer)

    calls = [
        lambda: polar.customers.list(email="ada@example.com", query="Lovelace"),
        lambda: polar.customers.create(email="ada@example.com", name="Lovelace"),
        lambda: polar.customers.get_external("ada@example.com"),
        lambda: polar.customer_portal.customers.get("polar_cst_secret"),
    ]
    said = ""
    for call in calls:
        with pytest.raises(PolarError) as caught:
            call()
        said += str(caught.value) + repr(caught.value)

    said += caplog.text + repr(polar)
    assert not [secret for secret in SECRETS if secret in said]


@pytest.mark.parametrize("token", ["", " ", "polar oat", "polar_oat_x\n", "polar_oat_é", "a\x00b"])
def test_a_token_that_no_header_can_carry_is_a_configuration_error(token):
    with pytest.raises(ConfigurationError) as caught:
        PolarClient(token)

    assert not token.strip() or token.strip() not in str(caught.value)


def test_a_session_token_that_no_header_can_carry_is_refused_unseen(polar, server):
    with pytest.raises(ConfigurationError) as caught:
        polar.wallets.list("polar_cst_secret\r\nx: y")

    assert server.requests == []
    trace = "".join(traceback.format_exception(caught.value))
    assert "polar_cst_secret" not in trace.replace('polar.wallets.list("polar_cst_secret', "")


@pytest.mark.parametrize(
    "url", ["api.polar.sh", "ftp://polar.sh", "http://", "http://a:b@polar.sh"]
)
def test_a_base_url_that_is_none_is_a_configuration_error(url):
    with pytest.raises(ConfigurationError):
        PolarClient("polar_oat_secret", base_url=url)


def test_an_api_version_that_no_header_can_carry_is_a_configuration_error():
    with pytest.raises(ConfigurationError):
        PolarClient("polar_oat_secret", api_version="2026\n04")
