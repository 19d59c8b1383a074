"""``manage.py seed_platform``."""

from time import perf_counter

from django.core.management.base import BaseCommand, CommandParser

from learning.seed_content import ContentSize
from learning.seeding import is_empty, remove_everything, seed


class Command(BaseCommand):
    """Fills an empty database with courses, chapters, problems, users and flags."""

    help = "Seed the platform: users with well-known tokens, so only for a site that strangers cannot reach."

    def add_arguments(self, parser: CommandParser) -> None:
        """How much of what."""
        parser.add_argument("--courses", type=int, default=200)
        parser.add_argument("--chapters", type=int, default=10, help="in each course")
        parser.add_argument("--problems", type=int, default=10, help="in each chapter")
        parser.add_argument("--users", type=int, default=500)
        parser.add_argument("--seed", type=int, default=1, help="the same number gives the same content")
        parser.add_argument("--replace", action="store_true", help="delete what is there first")

    def handle(self, *args: object, **options: int) -> None:
        """Seed, and say what there is now; a database that is not empty is left as it is."""
        started = perf_counter()
        if options["replace"]:
            remove_everything()
        if not is_empty():
            self.stdout.write("there is content already, nothing changed (--replace deletes it first)")
            return
        size = ContentSize(options["courses"], options["chapters"], options["problems"])
        counts = seed(size=size, user_count=options["users"], seed_number=options["seed"])
        summary = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        self.stdout.write(f"{summary} in {perf_counter() - started:.1f} s")
