"""Who may do what."""

from typing import TYPE_CHECKING

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

if TYPE_CHECKING:  # REST framework imports this module while it defines its views
    from rest_framework.views import APIView


class IsStaffOrReadOnly(BasePermission):
    """Everybody reads, staff writes."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        """Is this request allowed at all?"""
        return request.method in SAFE_METHODS or bool(request.user.is_authenticated and request.user.is_staff)
