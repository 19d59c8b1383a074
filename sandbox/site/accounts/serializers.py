"""How users look from outside."""

from rest_framework import serializers

from accounts.models import User


class UserSummarySerializer(serializers.ModelSerializer):
    """What everybody sees in lists."""

    class Meta:
        model = User
        fields = ["id", "username", "display_name"]


class UserDetailSerializer(serializers.ModelSerializer):
    """What everybody sees of one user."""

    class Meta:
        model = User
        fields = ["id", "username", "display_name", "bio", "date_joined"]


class OwnUserSerializer(serializers.ModelSerializer):
    """What users see of themselves."""

    class Meta:
        model = User
        fields = [*UserDetailSerializer.Meta.fields, "email", "is_staff"]
