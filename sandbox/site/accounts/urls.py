"""Addresses of users, below ``/api/``."""

from django.urls import path

from accounts.views import UserDetailView, UserListView

urlpatterns = [
    path("users/", UserListView.as_view(), name="user-list"),
    path("users/<int:user_id>/", UserDetailView.as_view(), name="user-detail"),
]
