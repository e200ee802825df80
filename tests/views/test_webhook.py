"""The webhook door: what is let in, what is refused, and how little it does."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test import AsyncClient, Client
from django.urls import resolve

from django_polar.models import WebhookEvent
from django_polar.signatures import sign

SECRET = "polar_whs_made_up_for_tests"
URL = "/polar/webhook/"
BODY = json.dumps(
    {"type": "order.created", "timestamp": "2026-11-20T10:00:00Z", "data": {"id": "x"}},
    separators=(",", ":"),
).encode()

pytestmark = pytest.mark.django_db


def signed(body=BODY, *, secret=SECRET, scheme="legacy", at=None, event_id="event-1"):
    at = at or datetime.now(UTC)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": sign(
            body, message_id=event_id, timestamp=at, secret=secret, scheme=scheme
        ),
    }


def post(body=BODY, *, url=URL, headers=None, client=None):
    return (client or Client(enforce_csrf_checks=True)).post(
        url, body, content_type="application/json", headers=headers or signed(body)
    )


@pytest.mark.parametrize("url", ["/polar/webhook/", "/polar/webhook"])
def test_a_signed_delivery_is_stored_and_acknowledged(url):
    """With and without the slash, because Polar follows no redirect."""
    assert post(url=url).status_code == 202

    event = WebhookEvent.objects.get()
    assert (event.pk, event.type, bytes(event.body)) == ("event-1", "order.created", BODY)
    assert event.timestamp == datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert event.status == "waiting"


@pytest.mark.django_db(transaction=True)
def test_accepting_a_delivery_costs_one_insert(django_assert_num_queries):
    """Polar waits for the answer."""
    headers = signed()
    with django_assert_num_queries(1):
        assert post(headers=headers).status_code == 202


def test_a_repeated_delivery_finds_the_stored_one():
    """Its signature is new, its id is not."""
    post()
    later = datetime.now(UTC) + timedelta(seconds=15)

    assert post(headers=signed(at=later)).status_code == 202
    assert WebhookEvent.objects.count() == 1


def test_a_repeated_delivery_is_a_new_chance_for_an_event_that_needs_a_person():
    """The merchant pressed "resend"."""
    post()
    WebhookEvent.objects.get().mark_failed("no more attempts")

    assert post().status_code == 202
    assert WebhookEvent.objects.due().count() == 1


def test_a_repeated_delivery_does_not_make_an_applied_event_due():
    """It was applied, and that is enough."""
    post()
    WebhookEvent.objects.get().mark_done()

    assert post().status_code == 202
    assert WebhookEvent.objects.due().count() == 0


def test_both_key_schemes_and_every_secret_of_a_rotation_are_accepted(settings):
    """A secret that starts with whsec_ may be meant either way."""
    settings.POLAR_WEBHOOK_SECRET = ["whsec_b2xkIHNlY3JldCBvZiBvdXJz", SECRET]
    headers = [
        signed(event_id="old"),
        signed(secret="whsec_b2xkIHNlY3JldCBvZiBvdXJz", event_id="legacy"),
        signed(secret="whsec_b2xkIHNlY3JldCBvZiBvdXJz", scheme="standard", event_id="standard"),
    ]

    assert [post(headers=header).status_code for header in headers] == [202, 202, 202]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (BODY, lambda: signed(secret="another secret")),
        (BODY[:-1], signed),
        (BODY.replace(b"order", b"ordef"), signed),
        (BODY, lambda: signed(at=datetime.now(UTC) - timedelta(minutes=6))),
        (BODY, lambda: signed(at=datetime.now(UTC) + timedelta(minutes=6))),
        (BODY, lambda: signed() | {"webhook-id": "event-2"}),
        (BODY, lambda: signed() | {"webhook-signature": ""}),
        (BODY, lambda: signed() | {"webhook-signature": "v1,Grüße"}),
        (BODY, lambda: signed() | {"webhook-timestamp": "yesterday"}),
        (BODY, lambda: {"x-nothing": "here"}),
        (b"", signed),
    ],
    ids=[
        "wrong secret",
        "truncated",
        "forged",
        "replayed",
        "from the future",
        "another id",
        "no signature",
        "unicode signature",
        "no timestamp",
        "no headers",
        "empty",
    ],
)
def test_what_polar_did_not_sign_is_refused_and_not_stored(body, headers):
    """403, and no trace in the database."""
    assert post(body, headers=headers()).status_code == 403
    assert not WebhookEvent.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{",
        b"\xff\xfe",
        b'{"type":"x","data":{}}',
        b'{"type":"x","timestamp":"2026-11-20T10:00:00","data":{}}',
        b'{"type":"x","timestamp":"0001-01-01T00:00:00+14:00","data":{}}',
        b'{"type":1,"timestamp":"2026-11-20T10:00:00Z","data":{}}',
        b'{"type":"x\\u0000","timestamp":"2026-11-20T10:00:00Z","data":{}}',
        b'{"type":"x\\ud800","timestamp":"2026-11-20T10:00:00Z","data":{}}',
        b'{"type":"' + b"x" * 300 + b'","timestamp":"2026-11-20T10:00:00Z","data":{}}',
    ],
)
def test_a_signed_body_that_is_no_webhook_is_refused_and_not_stored(body):
    """400: Polar's mistake, or a secret that somebody else uses too."""
    assert post(body).status_code == 400
    assert not WebhookEvent.objects.exists()


def test_an_id_that_fits_no_column_is_refused():
    """400 rather than an error of the database."""
    assert post(headers=signed(event_id="x" * 256)).status_code == 400


def test_bodies_of_20_mb_are_refused_before_they_are_read():
    """Whoever has no secret must not be able to fill the memory."""
    body = b"x" * 20_000_000

    assert post(body, headers=signed()).status_code == 413
    assert not WebhookEvent.objects.exists()


def test_the_limit_holds_without_a_content_length(settings, rf):
    """A header is a claim, and chunked bodies have none."""
    settings.POLAR_WEBHOOK_MAX_BODY_BYTES = len(BODY) - 1
    view = resolve(URL).func
    request = rf.post(URL, BODY, content_type="application/json", headers=signed())
    request.headers = {k: v for k, v in request.headers.items() if k != "Content-Length"}

    assert view(request).status_code == 413


def test_a_body_of_just_the_limit_is_taken(settings):
    """Also beyond Django's own limit, which is for forms."""
    settings.POLAR_WEBHOOK_MAX_BODY_BYTES = len(BODY)
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10

    assert post().status_code == 202


def test_unicode_in_the_body_is_taken_as_it_is():
    """The signature is about bytes."""
    body = (
        '{"type":"order.created","timestamp":"2026-11-20T10:00:00Z","data":{"n":"Grüße 🚀"}}'
    ).encode()

    assert post(body).status_code == 202
    assert bytes(WebhookEvent.objects.get().body) == body


def test_only_post_is_answered():
    """405, and the browser of a curious merchant sees no error page of ours."""
    assert Client().get(URL).status_code == 405


def test_nobody_has_to_be_logged_in(settings):
    """Also where the whole site wants a login."""
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]

    assert post().status_code == 202


@pytest.mark.django_db(transaction=True)
def test_the_request_is_no_transaction(settings, django_assert_num_queries):
    """Where ATOMIC_REQUESTS is on, too: a lost connection after the insert keeps the event."""
    headers = signed()
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        with django_assert_num_queries(1):
            assert post(headers=headers).status_code == 202
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False


def test_without_a_secret_nothing_is_taken(settings):
    """Not 2xx, so that Polar delivers again when there is one."""
    settings.POLAR_WEBHOOK_SECRET = None

    assert post(headers=signed()).status_code == 503


@pytest.mark.django_db(transaction=True)
def test_it_works_under_asgi():
    """In a project whose other views are async."""

    async def deliver():
        return await AsyncClient().post(
            URL, BODY, content_type="application/json", headers=signed()
        )

    assert async_to_sync(deliver)().status_code == 202
    assert WebhookEvent.objects.count() == 1


def test_refusals_are_logged_without_what_was_sent(caplog):
    """Neither the body nor the signature."""
    headers = signed(secret="another secret")
    with caplog.at_level("INFO"):
        post(headers=headers)

    assert "no signature fits" in caplog.text
    assert headers["webhook-signature"] not in caplog.text
    assert "order.created" not in caplog.text
