"""The overview on the app's page in the admin."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django import template
from django.contrib.auth.models import AnonymousUser
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.timesince import timesince

from django_polar.models import LinkConflict, SyncRun
from django_polar.services.overview import Overview, get_overview

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import Model
    from django.template import Context

register = template.Library()

Line = dict[str, Any]


@register.inclusion_tag("admin/django_polar/overview.html", takes_context=True)
def polar_overview(context: Context) -> dict[str, Any]:
    """Last sync, what is due, what needs a person; of each only what the user may look at."""
    request = context.get("request")
    user = getattr(request, "user", AnonymousUser())
    overview = get_overview()
    site = getattr(request, "current_app", None) or "admin"
    lines: list[Line] = []
    if user.has_perm("django_polar.view_syncrun"):
        lines.append({"url": _list_url(SyncRun, site), **_last_sync(overview)})
    for queue in overview.queues:
        opts = queue.model._meta
        if user.has_perm(f"django_polar.view_{opts.model_name}"):
            lines.append(
                {
                    "title": capfirst(str(opts.verbose_name_plural)),
                    "url": _list_url(queue.model, site, attention=queue.needs_attention > 0),
                    "text": _queue_text(queue.due, queue.waiting, queue.needs_attention),
                    "alarm": queue.needs_attention > 0,
                }
            )
    if user.has_perm("django_polar.view_linkconflict"):
        conflicts = overview.conflicts
        lines.append(
            {
                "title": "Link conflicts",
                "url": f"{_list_url(LinkConflict, site)}?resolved=no",
                "text": _need_a_person(conflicts) if conflicts else "none",
                "alarm": conflicts > 0,
            }
        )
    return {"lines": lines}


@register.filter
def as_polar_writes(value: Any) -> str:
    """To the last digit and in one order, so that equal values look equal and no others do."""
    if value is None:
        return "-"
    if isinstance(value, str | UUID):
        return str(value)
    return json.dumps(value, default=str, ensure_ascii=False, sort_keys=True).strip('"')


def _last_sync(overview: Overview) -> Line:
    run = overview.last_run
    if run is None:
        text = "never: manage.py polar_sync_customers"
    else:
        outcome = run.get_outcome_display()
        if run.outcome == SyncRun.Outcome.RUNNING and run.is_silent(timezone.now()):
            outcome = "killed"
        text = f"{_ago(run.started_at)}, {outcome}"
        if run.outcome != SyncRun.Outcome.COMPLETE and overview.last_complete_at:
            text += f"; last complete {_ago(overview.last_complete_at)}"
    fine = (SyncRun.Outcome.COMPLETE, SyncRun.Outcome.RUNNING)
    alarm = run is None or run.outcome not in fine
    return {"title": "Last sync", "text": text, "alarm": alarm}


def _queue_text(due: int, waiting: int, needs_attention: int) -> str:
    parts = [_need_a_person(needs_attention)] if needs_attention else []
    parts += [f"{due:,} due"] if due else []
    parts += [f"{waiting:,} waiting"] if waiting else []
    return ", ".join(parts) or "nothing to do"


def _list_url(model: type[Model], site: str, *, attention: bool = False) -> str:
    try:
        name = f"{site}:django_polar_{model._meta.model_name}_changelist"
        url = reverse(name)
    except NoReverseMatch:
        return ""
    return f"{url}?status=attention" if attention else url


def _need_a_person(count: int) -> str:
    return "1 needs a person" if count == 1 else f"{count:,} need a person"


def _ago(moment: datetime) -> str:
    now = timezone.now()
    return "just now" if now - moment < timedelta(minutes=1) else f"{timesince(moment, now)} ago"
