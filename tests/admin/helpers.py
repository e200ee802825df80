from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django_polar.models import Customer
from django_polar.payloads import CustomerStatePayload, decode
from django_polar.services.mirror import apply_states, utc_now

if TYPE_CHECKING:
    from django_polar.testing import FakePolar

LIST = "/admin/django_polar/customer/"


def mirror_all(polar: FakePolar) -> None:
    """The mirror as a sync would have left it; no requests are made."""
    states = [json.dumps(state).encode() for state in polar.truth().values()]
    payloads = [decode(state, CustomerStatePayload) for state in states]
    apply_states(payloads, observed_at=utc_now())


def pk_of(customer: Customer | dict[str, Any]) -> str:
    return str(customer.pk) if isinstance(customer, Customer) else customer["id"]


def page_of(customer: Customer | dict[str, Any]) -> str:
    return f"{LIST}{pk_of(customer)}/change/"


def act(browser: Any, customer: Customer | dict[str, Any], verb: str, **data: Any) -> Any:
    return browser.post(f"{LIST}{pk_of(customer)}/act/{verb}/", data, follow=True)


def choose(browser: Any, action: str, customers: Any, *, path: str = LIST, **data: Any) -> Any:
    """Tick these in the list and run the action."""
    ticked = [str(getattr(c, "pk", None) or c["id"]) for c in customers]
    return browser.post(path, {"action": action, "_selected_action": ticked, **data}, follow=True)


def messages_of(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def rows_of(response: Any) -> list[Any]:
    return list(response.context["cl"].result_list)


def body_of(response: Any) -> str:
    return b"".join(response.streaming_content).decode()
