"""Reads of user data."""

from django.db.models import QuerySet

from accounts.models import User


def user_list() -> QuerySet[User]:
    """Active users in the order of their ids."""
    return User.objects.filter(is_active=True).order_by("id")


def user_get(*, user_id: int) -> User | None:
    """One active user."""
    return user_list().filter(id=user_id).first()
