"""The cached answers about users."""

from accounts.selectors import user_get, user_list
from accounts.serializers import OwnUserSerializer, UserDetailSerializer, UserSummarySerializer
from common.cache.keys import CacheKey
from common.cache.resources import Payload, Resource
from common.pagination import page_of


def load_user_list(key: CacheKey) -> Payload | None:
    """One page of users."""
    return page_of(queryset=user_list(), query=dict(key.query), serializer=UserSummarySerializer)


def load_user(key: CacheKey) -> Payload | None:
    """One user; with more detail when the key belongs to the same user."""
    user = user_get(user_id=key.pk or 0)
    if user is None:
        return None
    serializer = OwnUserSerializer if key.user_id == user.pk else UserDetailSerializer
    return serializer(user).data


USER_LIST = Resource(view="UserListView", endpoint="user-list", load=load_user_list, warming_priority=5)
USER_DETAIL = Resource(view="UserDetailView", endpoint="user-detail", load=load_user, warming_priority=5)

RESOURCES = (USER_LIST, USER_DETAIL)
