"""The API of courses, chapters and problems, and the invalidation of what changed."""

from common.tests.base import SiteTestCase, make_course, make_user, redis_keys
from common.warming.switches import WarmingLimits
from learning.models import Topic
from learning.warming_plan import startup_keys


class ReadTests(SiteTestCase):
    """Shapes and addresses."""

    def test_lists_are_paged_and_filtered(self) -> None:
        """Twenty on a page, most popular first, by topic if asked."""
        for number in range(22):
            make_course(topic=Topic.HISTORY if number % 2 else Topic.ALGEBRA)
        first, second = (self.client.get(f"/api/courses/?page={page}").json() for page in (1, 2))
        history = self.client.get("/api/courses/?topic=history").json()

        self.assertEqual((first["count"], first["pages"], len(first["results"])), (22, 2, 20))
        self.assertEqual((second["page"], len(second["results"])), (2, 2))
        self.assertEqual({course["topic"] for course in history["results"]}, {"history"})
        self.assertEqual(self.client.get("/api/courses/?page=3").status_code, 404)

    def test_parameters_that_make_no_sense_are_refused(self) -> None:
        """They must not become keys."""
        for query in (
            "page=0",
            "page=-1",
            "page=x",
            "page=1e3",
            "page=9999999",
            "page=²",
            "topic=*",
            "topic=",
        ):
            self.assertEqual(self.client.get(f"/api/courses/?{query}").status_code, 400, query)
        self.assertEqual(redis_keys("django:1:api:*"), set())

    def test_details_and_children(self) -> None:
        """Each address answers, and a child list of nothing is 404."""
        course = make_course(chapters=2, problems=3)
        chapter = course.chapters.first()
        problem = chapter.problems.first()
        expected = {
            f"/api/courses/{course.id}/": ("chapter_count", 2),
            f"/api/courses/{course.id}/chapters/": ("count", 2),
            f"/api/courses/{course.id}/recommendations/": ("count", 0),
            f"/api/chapters/{chapter.id}/": ("problem_count", 3),
            f"/api/chapters/{chapter.id}/problems/": ("count", 3),
            f"/api/problems/{problem.id}/": ("chapter_id", chapter.id),
        }
        for url, (field, value) in expected.items():
            self.assertEqual(self.client.get(url).json()[field], value, url)
        for url in (
            "courses/999999/chapters/",
            "courses/999999/recommendations/",
            "chapters/999999/problems/",
        ):
            self.assertEqual(self.client.get(f"/api/{url}").status_code, 404)

    def test_recommendations_are_other_courses_of_the_topic(self) -> None:
        """At most five."""
        course = make_course()
        others = {make_course().id for _ in range(7)}
        make_course(topic=Topic.HISTORY)

        found = self.client.get(f"/api/courses/{course.id}/recommendations/").json()["results"]

        self.assertEqual(len(found), 5)
        self.assertLessEqual({other["id"] for other in found}, others)


class ChangeTests(SiteTestCase):
    """Who may change what, and what every reader sees afterwards."""

    def setUp(self) -> None:
        super().setUp()
        self.course = make_course(chapters=2, problems=2)
        self.other = make_course()
        _, self.staff = make_user(name="staff", is_staff=True)

    def _patch(self, url: str, changes: dict[str, object], headers: dict[str, str] | None = None) -> int:
        with self.captureOnCommitCallbacks(execute=True):
            return self.client.patch(
                url, changes, content_type="application/json", headers=headers or self.staff
            ).status_code

    def test_change_needs_staff(self) -> None:
        """Strangers and learners are refused."""
        _, learner = make_user()
        url = f"/api/courses/{self.course.id}/"

        self.assertEqual(self._patch(url, {"title": "x"}, headers={"Authorization": "Token wrong"}), 401)
        self.assertEqual(self._patch(url, {"title": "x"}, headers=learner), 403)
        self.assertEqual(self._patch(url, {"topic": "nothing"}), 400)
        self.assertEqual(self._patch("/api/courses/999999/", {"title": "x"}), 404)

    def test_change_of_a_course_shows_in_every_answer_at_once(self) -> None:
        """Its page, the lists, the filtered lists, the recommendations; other answers stay cached."""
        urls = [
            f"/api/courses/{self.course.id}/",
            "/api/courses/",
            "/api/courses/?topic=algebra",
            f"/api/courses/{self.other.id}/recommendations/",
        ]
        kept = [f"/api/courses/{self.course.id}/chapters/", f"/api/courses/{self.other.id}/"]
        for url in urls + kept:
            self.client.get(url)

        self.assertEqual(self._patch(urls[0], {"title": "Sets and maps"}), 200)

        for url in urls:
            response = self.client.get(url)
            self.assertEqual(response["X-Cache"], "MISS", url)
            self.assertIn("Sets and maps", response.content.decode())
        self.assertEqual({self.client.get(url)["X-Cache"] for url in kept}, {"HIT"})

    def test_change_of_the_topic_moves_the_course(self) -> None:
        """Both topics' lists are made anew."""
        for url in ("/api/courses/?topic=algebra", "/api/courses/?topic=history"):
            self.client.get(url)

        self._patch(f"/api/courses/{self.course.id}/", {"topic": "history"})

        self.assertEqual(self.client.get("/api/courses/?topic=algebra").json()["count"], 1)
        self.assertEqual(self.client.get("/api/courses/?topic=history").json()["count"], 1)

    def test_change_of_chapter_and_problem_shows_in_page_and_list(self) -> None:
        """Each in its own two answers."""
        chapter = self.course.chapters.first()
        problem = chapter.problems.first()
        for url, own_list in (
            (f"/api/chapters/{chapter.id}/", f"/api/courses/{self.course.id}/chapters/"),
            (f"/api/problems/{problem.id}/", f"/api/chapters/{chapter.id}/problems/"),
        ):
            self.client.get(url)
            self.client.get(own_list)
            self.assertEqual(self._patch(url, {"title": "Renamed"}), 200)
            self.assertEqual(self.client.get(url).json()["title"], "Renamed")
            self.assertIn("Renamed", self.client.get(own_list).content.decode())

    def test_change_that_is_rolled_back_deletes_nothing(self) -> None:
        """Only what was committed is wrong in the cache."""
        url = f"/api/courses/{self.course.id}/"
        self.client.get(url)

        self.client.patch(url, {"title": "Never"}, content_type="application/json", headers=self.staff)

        self.assertEqual(self.client.get(url)["X-Cache"], "HIT")


class PlanTests(SiteTestCase):
    """What startup warming loads is what views ask for."""

    def test_plan_keys_are_the_keys_of_the_views(self) -> None:
        """A key that no reader asks for would be warmed in vain."""
        course = make_course(chapters=1, problems=1)
        chapter = course.chapters.first()
        for url in (
            f"courses/{course.id}/",
            "courses/",
            f"courses/{course.id}/chapters/",
            f"chapters/{chapter.id}/",
            f"problems/{chapter.problems.first().id}/",
        ):
            self.client.get(f"/api/{url}")

        planned = {f"django:1:{key}" for key in startup_keys(limits=WarmingLimits(9, 9, 9))}

        self.assertEqual(planned, redis_keys("django:1:api:*"))
