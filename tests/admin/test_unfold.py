"""The pages in a project that uses django-unfold."""

from __future__ import annotations

import os
import subprocess
import sys

PATHS = """
import django
django.setup()
from django.conf import settings
from django.core.management import call_command
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone
from uuid import uuid4
from django_polar.models import Customer, CustomerDeletion, CustomerState, SyncRun
settings.ALLOWED_HOSTS = ["*"]
call_command("migrate", verbosity=0)
call_command("check")
browser = Client()
browser.force_login(get_user_model().objects.create_superuser("admin"))
now = timezone.now()
customer = Customer.objects.create(
    id=uuid4(), organization_id=uuid4(), name="Ada", created_at=now, synced_at=now
)
CustomerState.objects.create(customer=customer)
deletion = CustomerDeletion.objects.create(external_id="1")
run = SyncRun.objects.create()
app = "/admin/django_polar/"
customers = f"{app}customer/"
pages = {
    app: "How the mirror is doing",
    customers: "Ada",
    f"{customers}{customer.pk}/change/": "Fetch balance",
    f"{app}customerdeletion/": "Retry now",
    f"{app}customerdeletion/{deletion.pk}/change/": "attempts",
    f"{app}webhookevent/": "webhook",
    f"{app}linkconflict/": "conflict",
    f"{app}syncrun/{run.pk}/change/": "running",
}
for path, shown in pages.items():
    response = browser.get(path)
    assert response.status_code == 200, (path, response.status_code)
    page = response.content.decode()
    assert "unfold" in page, path
    assert shown.lower() in page.lower(), (path, shown)
page = browser.post(f"{customers}{customer.pk}/act/delete/").content.decode()
assert "This cannot be undone." in page
assert "unfold" in page
print("rendered")
"""


def test_the_pages_render_with_unfold():
    """In a process of its own: what is installed cannot be changed in this one."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings_unfold"}
    result = subprocess.run(
        [sys.executable, "-c", PATHS],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith("rendered")
