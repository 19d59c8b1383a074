"""Views of users."""

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.resources import USER_DETAIL, USER_LIST
from common.cache.keys import CacheKey
from common.cache.views import CachedAPIView
from common.callers import caller_of
from common.pagination import page_query


class UserListView(CachedAPIView):
    """``GET /api/users/``"""

    resource = USER_LIST

    def get(self, request: Request) -> Response:
        """One page of users; parameter ``page``."""
        return self.answer(request, CacheKey(view="UserListView", query=page_query(request)))


class UserDetailView(CachedAPIView):
    """``GET /api/users/<id>/``"""

    resource = USER_DETAIL

    def get(self, request: Request, user_id: int) -> Response:
        """One user. Only users' own pages are personal; all others share one key."""
        own_id = user_id if caller_of(request).user_id == user_id else None
        return self.answer(request, CacheKey(view="UserDetailView", pk=user_id, user_id=own_id))
