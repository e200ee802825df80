"""The fake's webhooks: what is queued, how it is signed, tried again and given up."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from django_polar.exceptions import SignatureError
from django_polar.signatures import verify

from .receiver import listening

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"


class Receiver:
    """Answers like Django's test client, and remembers what was sent."""

    def __init__(self, *statuses):
        self.statuses = list(statuses)
        self.received = []

    def post(self, path, data=None, content_type="", *, headers=None):
        self.received.append((path, data, {"content-type": content_type} | headers))
        status = self.statuses.pop(0) if self.statuses else 202
        return type("Answer", (), {"status_code": status, "content": b"ok"})

    @property
    def ids(self):
        return [headers["webhook-id"] for _, _, headers in self.received]

    @property
    def bodies(self):
        return [body for _, body, _ in self.received]

    @property
    def types(self):
        return [json.loads(body)["type"] for body in self.bodies]


def queued(fake):
    types = [event.type for event in fake.deliveries]
    fake.deliveries.clear()
    return types


def test_every_change_queues_what_the_real_server_sends(fake):
    """In the recorded order; the state follows."""
    row = fake.add_customer()
    assert queued(fake) == ["customer.created", "customer.state_changed"]
    fake.update_customer(row, name="New")
    assert queued(fake) == ["customer.updated", "customer.state_changed"]
    subscription = fake.add_subscription(row)
    assert queued(fake) == [
        "subscription.created",
        "subscription.active",
        "subscription.updated",
        "customer.state_changed",
    ]
    grant = fake.add_grant(row)
    assert queued(fake) == ["benefit_grant.created", "customer.state_changed"]
    fake.revoke_grant(grant)
    assert queued(fake) == ["benefit_grant.revoked", "customer.state_changed"]
    fake.end_subscription(subscription)
    assert queued(fake) == [
        "subscription.updated",
        "subscription.canceled",
        "subscription.revoked",
        "customer.state_changed",
    ]
    fake.add_meter(row)
    assert queued(fake) == ["customer.state_changed"]


def test_a_deletion_ends_everything_and_shows_an_old_state_first(fake):
    """The first state after it may still list a subscription and grants."""
    row = fake.add_customer(external_id="x", name="N")
    fake.add_subscription(row)
    fake.add_grant(row)
    fake.deliveries.clear()

    fake.delete_customer(row)

    assert [event.type for event in fake.deliveries] == [
        "subscription.updated",
        "subscription.canceled",
        "customer.deleted",
        "subscription.revoked",
        "customer.state_changed",
        "benefit_grant.revoked",
        "customer.state_changed",
    ]
    payloads = [event.payload["data"] for event in fake.deliveries]
    assert (payloads[2]["external_id"], payloads[2]["name"]) == (None, "N")
    assert len(payloads[4]["granted_benefits"]) == len(payloads[4]["active_subscriptions"]) == 1
    assert payloads[6]["granted_benefits"] == payloads[6]["active_subscriptions"] == []


@pytest.mark.parametrize("scheme", ["legacy", "standard"])
def test_deliveries_are_signed_compact_json(fake, scheme):
    """With the headers that Polar sends, in either scheme."""
    fake.add_customer(name="Grüße 🚀")
    receiver = Receiver()

    deliveries = fake.deliver(receiver, secret=SECRET, scheme=scheme, path="/hook")

    address, body, headers = receiver.received[0]
    assert verify(body, headers, secrets=[SECRET], now=datetime.now(UTC)) == receiver.ids[0]
    with pytest.raises(SignatureError):
        verify(body, headers, secrets=["other"], now=datetime.now(UTC))
    assert (address, headers["content-type"]) == ("/hook", "application/json")
    assert '"name":"Grüße 🚀"' in body.decode()
    assert [item.succeeded for item in deliveries] == [True, True]
    assert fake.deliveries == []


def test_whatever_is_no_2xx_is_tried_again_with_the_same_id(fake):
    """Until it is one."""
    fake.add_customer()
    receiver = Receiver(500, 302, 404, 202)

    deliveries = fake.deliver(receiver, secret=SECRET)

    assert [item.status for item in deliveries] == [500, 302, 404, 202, 202]
    assert len(set(receiver.ids[:4])) == 1
    assert receiver.ids[4] != receiver.ids[0]


def test_after_ten_failed_events_nothing_is_sent_or_queued_any_more(fake):
    """The endpoint is disabled until somebody enables it."""
    endpoint = fake.add_webhook_endpoint("https://x.dev/", events=["customer.created"])
    for _ in range(12):
        fake.add_customer()

    deliveries = fake.deliver(Receiver(*[500] * 999), secret=SECRET)
    fake.add_customer()

    assert len(deliveries) == 100
    assert (fake.deliveries, endpoint["enabled"]) == ([], False)
    fake.webhooks.enable()
    fake.add_customer()
    assert queued(fake) == ["customer.created"]


def test_one_success_starts_the_count_anew(fake):
    """Nine failures, one success, nine failures: still enabled."""
    for _ in range(10):
        fake.add_customer()
    statuses = ([500] * 10) * 9 + [200] + ([500] * 10) * 9

    fake.deliver(Receiver(*statuses), secret=SECRET)

    assert fake.webhooks.recording


def test_deliveries_are_shuffled_repeated_and_lost_on_request(fake):
    """The same seed shuffles in the same way."""
    for _ in range(20):
        fake.add_customer()
    events = list(fake.deliveries)
    receivers = []
    for _ in range(2):
        fake.deliveries[:] = events
        receivers.append(Receiver())
        fake.deliver(receivers[-1], secret=SECRET, shuffle=3, repeat=1, lose=0.25)

    first, second = (receiver.ids for receiver in receivers)
    assert first == second
    assert 40 < len(first) == 2 * len(set(first)) < 80
    assert first != sorted(first, key=[event.id for event in events].index)


def test_an_endpoint_gets_only_what_it_asked_for(fake):
    """Without any endpoint everything is queued."""
    fake.add_webhook_endpoint("https://x.dev/", events=["customer.state_changed"])

    fake.add_customer()

    assert queued(fake) == ["customer.state_changed"]


def test_seeding_and_a_switched_off_queue_keep_no_history(fake):
    """Ten thousand customers are not twenty thousand events."""
    fake.seed_world(50)
    assert fake.deliveries == []
    fake.webhooks.recording = False
    fake.add_customer()

    assert fake.deliveries == []


def test_an_event_is_redelivered_through_the_api_under_its_id(fake, http):
    """And an unknown one is not found."""
    fake.add_customer()
    receiver = Receiver()
    fake.deliver(receiver, secret=SECRET)

    answered = http.post(f"/v1/webhooks/events/{receiver.ids[0]}/redeliver")
    fake.deliver(receiver, secret=SECRET)

    assert answered.status_code == 202
    assert receiver.ids[2] == receiver.ids[0]
    assert http.post(f"/v1/webhooks/events/{fake.new_id()}/redeliver").status_code == 404


def test_deliveries_are_listed_newest_first_and_filtered(fake, http):
    """With the payload as text, as it was sent."""
    fake.add_customer()
    fake.deliver(Receiver(500, 200), secret=SECRET)

    def listed(**parameters):
        return http.get("/v1/webhooks/deliveries", params=parameters).json()["items"]

    assert [item["http_code"] for item in listed()] == [202, 200, 500]
    (failed,) = listed(succeeded="false")
    assert json.loads(failed["webhook_event"]["payload"])["type"] == "customer.created"
    assert len(listed(event_type="customer.state_changed")) == 1
    assert listed(endpoint_id=fake.new_id()) == []


@pytest.mark.parametrize("url", ["http://x.dev/", "https://localhost/", "https://127.0.0.1/"])
def test_an_endpoint_is_public_and_https(fake, http, url):
    """Unless the fake is told to allow others."""
    body = {"url": url, "format": "raw", "events": ["customer.created"]}
    assert http.post("/v1/webhooks/endpoints", json=body).status_code == 422
    fake.allow_local_webhooks = True

    made = http.post("/v1/webhooks/endpoints", json=body).json()

    assert made["url"] == url
    assert http.get(f"/v1/webhooks/endpoints/{made['id']}").json() == made
    assert http.get("/v1/webhooks/endpoints").json()["items"] == [made]


def test_deliveries_reach_a_url(fake):
    """Its path and query included."""
    fake.add_customer()
    event = fake.deliveries[0]
    with listening() as (url, bodies):
        deliveries = fake.deliver(url, secret=SECRET)

    assert [item.status for item in deliveries] == [202, 202]
    assert bodies[0] == ("/hook?x=1", event.body)


@csrf_exempt
def receive(request):
    signed = request.headers.get("webhook-signature", "").startswith("v1,")
    return HttpResponse(status=202 if signed and json.loads(request.body) else 403)


urlpatterns = [path("polar/webhook/", receive)]


@pytest.mark.urls(__name__)
def test_deliveries_reach_a_django_view_through_the_test_client(fake):
    """At the path where the package's view usually is."""
    fake.add_customer()

    deliveries = fake.deliver(Client(enforce_csrf_checks=True), secret=SECRET)

    assert [item.status for item in deliveries] == [202, 202]


def test_nobody_listening_is_a_failure_without_a_status(fake):
    """Which is tried again like any other."""
    fake.add_customer()

    deliveries = fake.deliver("http://127.0.0.1:1/", secret=SECRET, attempts=2)

    assert [item.status for item in deliveries] == [None] * 4


def test_late_payloads_show_what_has_happened_since(fake):
    """A creation may arrive with the deletion in it."""
    row = fake.add_customer()
    fake.revoke_grant(fake.add_grant(row))
    fake.delete_customer(row)
    receiver = Receiver()

    fake.deliver(receiver, secret=SECRET, late=True)

    payloads = {
        kind: json.loads(body) for kind, body in zip(receiver.types, receiver.bodies, strict=True)
    }
    assert payloads["customer.created"]["data"]["deleted_at"] is not None
    assert payloads["benefit_grant.created"]["data"]["is_granted"] is False
