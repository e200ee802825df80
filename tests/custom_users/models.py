"""A project's own users, with everything that hangs on users in real projects."""

from __future__ import annotations

from uuid import uuid4

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models

PRIMARY_KEYS = {
    "uuid": lambda: models.UUIDField(primary_key=True, default=uuid4),
    "text": lambda: models.CharField(primary_key=True, max_length=150),
}


class Company(models.Model):
    name = models.CharField(max_length=100)

    def __str__(self):
        return self.name


class Account(AbstractBaseUser):
    """The user model. No first name, no last name, no username."""

    key = PRIMARY_KEYS[settings.CUSTOM_USERS_KEY]()
    email = models.EmailField()
    company = models.ForeignKey(Company, null=True, on_delete=models.CASCADE)

    USERNAME_FIELD = "key"
    objects = BaseUserManager()

    def __str__(self):
        return str(self.key)


class Member(Account):
    """A proxy: its signals have another sender."""

    class Meta:
        proxy = True


class Employee(Account):
    """A table of its own on top of the users'."""

    desk = models.CharField(max_length=10)


class Profile(models.Model):
    """Goes with the user, and faster than it."""

    account = models.OneToOneField(Account, on_delete=models.CASCADE)
    polar_reference = models.CharField(max_length=100)

    def __str__(self):
        return self.polar_reference


def reference_of(user):
    return user.profile.polar_reference
