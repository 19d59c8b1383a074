"""The user model."""

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """A learner, or a member of staff."""

    display_name = models.CharField(max_length=100, blank=True)
    bio = models.TextField(blank=True)

    class Meta(AbstractUser.Meta):
        ordering = ["id"]
