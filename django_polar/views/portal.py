"""The way to Polar's customer portal."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, Final

from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache

from django_polar.exceptions import NotFoundError, PolarError, UnavailableError

from .return_url import UnsafeReturnUrlError, make_return_url

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

logger = logging.getLogger(__name__)

DEFAULT_RETRY_AFTER: Final = 30


class HttpResponseSeeOther(HttpResponseRedirect):
    """The answer to a POST is elsewhere: get it."""

    status_code = 303


@method_decorator(never_cache, name="dispatch")
class PortalView(LoginRequiredMixin, View):
    """POST sends the signed-in user on to the portal; GET asks first, with a button.

    A link somewhere else must not make a session, hence no redirect on GET. ``return_url`` may
    lead back to this site or to ``POLAR_RETURN_URL_HOSTS``.
    """

    template_name = "django_polar/portal.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        return_url = request.GET.get("return_url", "")
        try:
            make_return_url(request, return_url)
        except UnsafeReturnUrlError:
            return self._show(request, problem="return_url", status=400)
        return self._show(request, return_url=return_url)

    def post(self, request: HttpRequest) -> HttpResponse:
        # Here and not at the top: the URLs are loaded by every management command.
        from django_polar.services.portal import create_portal_session  # noqa: PLC0415

        try:
            return_url = make_return_url(request, request.POST.get("return_url"))
            session = create_portal_session(request.user, return_url=return_url)
        except UnsafeReturnUrlError:
            return self._show(request, problem="return_url", status=400)
        except NotFoundError:
            return self._show(request, problem="no_customer", status=404)
        except UnavailableError as error:
            response = self._show(request, problem="unavailable", status=503)
            response["Retry-After"] = str(_seconds(error))
            return response
        except PolarError as error:
            logger.error("No portal session for user %s: %s", request.user.pk, error)  # noqa: TRY400 - an error of ours says all in its message
            return self._show(request, problem="failed", status=502)
        response = HttpResponseSeeOther(session.customer_portal_url)
        # The address is a key to the customer's account.
        response["Referrer-Policy"] = "no-referrer"
        return response

    def _show(self, request: HttpRequest, *, status: int = 200, **context: Any) -> HttpResponse:
        return TemplateResponse(request, self.template_name, context, status=status)


def _seconds(error: UnavailableError) -> int:
    if error.retry_after is None:
        return DEFAULT_RETRY_AFTER
    return max(1, math.ceil(error.retry_after.total_seconds()))
