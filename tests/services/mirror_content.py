"""What the mirror says, in a form that can be compared."""

from collections import defaultdict

from django_polar.models import Customer, CustomerState
from django_polar.services.notifications import PARTS

# When it was seen, and how a row is told apart, is how the mirror works and not what it says.
WORKINGS = {"synced_at", "digest"}


def content(row):
    return {
        field.attname: getattr(row, field.attname)
        for field in row._meta.concrete_fields
        if field.attname not in WORKINGS
    }


def mirror_content():
    """Every customer and every part of a state, by id."""
    found = {("customer", row.pk): content(row) for row in Customer.objects.all()}
    for name, model in PARTS.items():
        found |= {(name, row.pk): content(row) for row in model._base_manager.all()}
    found["states"] = set(CustomerState.objects.values_list("pk", flat=True))
    return found


def mirror_against(truth):
    """The mirror and FakePolar's truth, both as external id, name and sets of ids per customer."""
    parts = {name: defaultdict(set) for name in PARTS}
    for name, model in PARTS.items():
        for owner, pk in model._base_manager.values_list("state_id", "pk"):
            parts[name][owner].add(str(pk))
    ours = {
        str(customer.pk): (
            customer.external_id,
            customer.name,
            *(parts[name][customer.pk] for name in PARTS),
        )
        for customer in Customer.objects.live()
    }
    theirs = {
        id_: (
            state["external_id"],
            state["name"],
            *({item["id"] for item in state[name]} for name in PARTS),
        )
        for id_, state in truth.items()
    }
    return ours, theirs
