"""A small shop that sells through Polar, the way a project of yours would."""

from .celery import app as celery_app

__all__ = ["celery_app"]
