"""Celery, with the beat schedule that the documentation recommends.

``celery --app project worker --beat``; nothing here needs a broker until you run that.
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

app = Celery("project")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
