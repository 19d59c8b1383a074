"""Users: what is personal, and what authentication costs."""

from django.test import override_settings
from rest_framework.authtoken.models import Token

from common.tests.base import SiteTestCase, make_user, redis_keys


class UserTests(SiteTestCase):
    """The user pages."""

    def test_user_page_is_personal_for_its_owner_only(self) -> None:
        """One key for all others, so that keys do not multiply by readers."""
        ada, headers = make_user()
        _, other = make_user(name="bob")
        url = f"/api/users/{ada.id}/"

        own, foreign, anonymous = (
            self.client.get(url, headers=headers),
            self.client.get(url, headers=other),
            self.client.get(url),
        )

        self.assertEqual(own.json()["email"], "ada@example.com")
        self.assertNotIn("email", foreign.json())
        self.assertEqual(anonymous["X-Cache"], "HIT")
        self.assertTrue(own["Cache-Control"].startswith("private"))
        self.assertTrue(anonymous["Cache-Control"].startswith("public"))
        name = f"django:1:api:UserDetailView:{ada.id}"
        self.assertEqual(redis_keys("django:1:api:*"), {name, f"{name}:user_id={ada.id}"})

    def test_user_list_shows_active_users(self) -> None:
        """Without their addresses."""
        make_user()
        hidden, _ = make_user(name="bob")
        hidden.is_active = False
        hidden.save()

        results = self.client.get("/api/users/").json()["results"]

        self.assertEqual([set(user) for user in results], [{"id", "username", "display_name"}])


class AuthenticationTests(SiteTestCase):
    """Tokens."""

    def test_token_is_looked_up_once_in_five_seconds(self) -> None:
        """A hit of a signed-in reader costs no query either."""
        _, headers = make_user()
        self.client.get("/api/users/", headers=headers)

        with self.assertNumQueries(0):
            self.assertEqual(self.client.get("/api/users/", headers=headers)["X-Cache"], "HIT")

    def test_token_that_is_unknown_or_of_an_inactive_user_is_refused(self) -> None:
        """With 401, which says how to sign in."""
        user, headers = make_user()
        user.is_active = False
        user.save()
        for header in (headers, {"Authorization": "Token nonsense"}):
            response = self.client.get("/api/users/", headers=header)
            self.assertEqual((response.status_code, response["WWW-Authenticate"]), (401, "Token"))

    @override_settings(TOKEN_CACHE_SECONDS=0)
    def test_token_that_was_revoked_ends_with_the_cache_time(self) -> None:
        """The price of not asking each time is bounded."""
        _, headers = make_user()
        self.client.get("/api/users/", headers=headers)
        Token.objects.all().delete()

        self.assertEqual(self.client.get("/api/users/", headers=headers).status_code, 401)
