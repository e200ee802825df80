"""How values read on the admin's pages."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from django.contrib.admin.utils import quote
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.html import format_html, format_html_join
from django.utils.timesince import timesince

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from django.db.models import Model
    from django.utils.safestring import SafeString

    from django_polar.models import Customer, CustomerBalance

EMPTY: Final = "-"

# ISO 4217: how many digits of an amount come after the point, where it is not two.
_ZERO: Final = "bif clp djf gnf isk jpy kmf krw mga pyg rwf ugx uyi vnd vuv xaf xof xpf"
_THREE: Final = "bhd iqd jod kwd lyd omr tnd"
_DECIMALS: Final = dict.fromkeys(_ZERO.split(), 0) | dict.fromkeys(_THREE.split(), 3)
_MINUTE: Final = timedelta(minutes=1)


def amount_text(amount: int, currency: str) -> str:
    """``1500, "usd"`` is ``15.00 USD``."""
    decimals = _DECIMALS.get(currency.lower(), 2)
    value = Decimal(amount).scaleb(-decimals)
    text = number_format(value, decimal_pos=decimals, use_l10n=True, force_grouping=True)
    return f"{text} {currency.upper()}".strip()


def age(moment: datetime | None) -> str | SafeString:
    """``3 hours ago``, with the exact time at hand."""
    if moment is None:
        return EMPTY
    now = timezone.now()
    text = "just now" if now - moment < _MINUTE else f"{timesince(moment, now)} ago"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.isoformat(),
        date_format(timezone.localtime(moment), "DATETIME_FORMAT"),
        text,
    )


def balances_html(balances: Iterable[CustomerBalance], *, with_age: bool = False) -> Any:
    if not with_age:
        return ", ".join(amount_text(b.amount, b.currency) for b in balances) or EMPTY
    lines = format_html_join(
        "",
        "<div>{} <small>({})</small></div>",
        ((amount_text(b.amount, b.currency), age(b.as_of)) for b in balances),
    )
    return lines or EMPTY


def subscriptions_text(customer: Customer) -> str:
    """``active, trialing``, or nothing. Reads what ``with_state()`` has fetched."""
    state = getattr(customer, "state", None)
    return ", ".join(s.status for s in state.active_subscriptions.all()) if state else ""


def benefits_text(customer: Customer) -> str:
    """``custom, 2 x license_keys``, or nothing. Reads what ``with_state()`` has fetched."""
    state = getattr(customer, "state", None)
    counts: dict[str, int] = {}
    for grant in state.granted_benefits.all() if state else ():
        counts[grant.benefit_type] = counts.get(grant.benefit_type, 0) + 1
    return ", ".join(f"{n} x {kind}" if n > 1 else kind for kind, n in sorted(counts.items()))


def json_html(value: Any) -> str | SafeString:
    if not value:
        return EMPTY
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)
    # Long lines would make a phone scroll sideways.
    return format_html('<pre style="white-space: pre-wrap; margin: 0">{}</pre>', text)


def address_html(address: Mapping[str, Any] | None) -> str | SafeString:
    """As on an envelope, with whatever Polar sent in it."""
    if not address:
        return EMPTY
    town = " ".join(str(address[k]) for k in ("postal_code", "city") if address.get(k))
    first = [address.get("line1"), address.get("line2"), town]
    known = {"line1", "line2", "postal_code", "city"}
    rest = [value for key, value in address.items() if key not in known]
    lines = [line for line in (*first, *rest) if line]
    return format_html_join("", "<div>{}</div>", ((line,) for line in lines)) or EMPTY


def url_html(url: str | None, text: str | None = None) -> str | SafeString:
    """A link, if it leads to a web page and nowhere else."""
    if not url:
        return EMPTY
    if urlsplit(url).scheme not in ("http", "https"):
        return url
    return format_html('<a href="{}" rel="noopener noreferrer">{}</a>', url, text or url)


def link_to(obj: Model, admin_site: Any, text: object = None) -> str | SafeString:
    """To its admin page, if the project has one."""
    opts = obj._meta
    text = str(obj) if text is None else text
    try:
        url = reverse(
            f"{admin_site.name}:{opts.app_label}_{opts.model_name}_change", args=[quote(obj.pk)]
        )
    except NoReverseMatch:
        return str(text)
    return format_html('<a href="{}">{}</a>', url, text)


def dashboard_url(customer: Customer) -> str:
    """The customer in Polar's dashboard, of production or of the sandbox."""
    from django_polar.conf import settings  # noqa: PLC0415 - no part of start-up

    # /to/ leads to the organization that is open there, whose name we do not know.
    return f"{settings.dashboard_url}/to/dashboard/customers/{customer.pk}"


def code_list(values: Iterable[object]) -> str | SafeString:
    return format_html_join("", "<div>{}</div>", ((value,) for value in values)) or EMPTY
