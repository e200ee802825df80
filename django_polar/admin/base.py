"""What every page of ours is: for looking, with actions that have permissions of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth import get_permission_codename

if TYPE_CHECKING:
    from django.db.models import Model
    from django.http import HttpRequest

    # Generic in the stubs alone.
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
    StackedInline = admin.StackedInline[Any, Any]
else:
    ModelAdmin = admin.ModelAdmin
    TabularInline = admin.TabularInline
    StackedInline = admin.StackedInline


class ReadOnlyAdmin(ModelAdmin):
    """Nothing is added, changed or deleted by hand: the rows follow Polar and our own work."""

    list_per_page = 50
    # Counting the whole table again for "(… total)" costs as much as the page itself.
    show_full_result_count = False
    # The counts beside the filters are one aggregate over the whole table each.
    show_facets = admin.ShowFacets.NEVER

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Not from our pages. Elsewhere rows may go with what they hang on, such as a user:
        the admin asks us before it deletes that.
        """
        match = request.resolver_match
        own = f"{self.opts.app_label}_{self.opts.model_name}_"
        return match is not None and not (match.url_name or "").startswith(own)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        # Django lets whoever may change look as well.
        return self.may(request, "view") or self.may(request, "change")

    def get_model_perms(self, request: HttpRequest) -> dict[str, bool]:
        """What the index offers: the pages are there for whoever may look, and for nobody else."""
        nothing = dict.fromkeys(("add", "change", "delete"), False)
        return {**nothing, "view": self.has_view_permission(request)}

    def may(self, request: HttpRequest, verb: str) -> bool:
        """Whether the user has this permission on the model, whatever the pages allow."""
        codename = get_permission_codename(verb, self.opts)
        return request.user.has_perm(f"{self.opts.app_label}.{codename}")

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        """Every field: a form to fill in is never shown."""
        names = [str(name) for name in self.readonly_fields]
        for _, options in self.get_fieldsets(request, obj):
            for entry in options["fields"]:
                names += [entry] if isinstance(entry, str) else entry
        return list(dict.fromkeys(names))
