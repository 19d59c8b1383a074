"""``manage.py warm_cache startup|scheduled``."""

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import import_string
from kombu.exceptions import OperationalError

from common.metrics.labels import WarmingStatus
from common.warming.scheduled import warm_on_schedule
from common.warming.startup import TASK as STARTUP_TASK
from common.warming.startup import warm_at_startup

STRATEGIES = {
    "startup": (warm_at_startup, STARTUP_TASK),
    "scheduled": (warm_on_schedule, "common.tasks.run_scheduled_warming"),
}


class Command(BaseCommand):
    """Warms the cache now."""

    help = "Warm the cache in this process, or hand it to the Celery worker, whose metrics then show it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Which strategy, and where."""
        parser.add_argument("strategy", choices=sorted(STRATEGIES))
        parser.add_argument("--queue", action="store_true", help="let the Celery worker do it")

    def handle(self, *args: object, **options: object) -> None:
        """Warm, and say what came of it; a failed run ends with status 1."""
        strategy = str(options["strategy"])
        run, task = STRATEGIES[strategy]
        if options["queue"]:
            _queue(task)
            self.stdout.write(f"{strategy} warming queued")
            return
        outcome = run()
        seconds = f"{outcome.duration_seconds:.2f} s"
        line = f"{strategy} warming: {outcome.status.value}, {outcome.items_count} items in {seconds}"
        if outcome.status is WarmingStatus.ERROR:
            raise CommandError(f"{line}: {outcome.reason}")
        self.stdout.write(f"{line} {outcome.reason}".rstrip())


def _queue(task: str) -> None:
    """Publish at once, and learn whether it worked: here somebody waits for the answer."""
    try:
        import_string(task).apply_async(retry=False)
    except OperationalError as error:
        raise CommandError(f"nothing queued, the broker does not answer: {error}") from error
