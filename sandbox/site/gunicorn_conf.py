"""How gunicorn runs the site. Command line options win over what is set here."""

from gunicorn.workers.base import Worker

from common.metrics.exposition import forget_process, wipe_multiprocess_directory
from config.env import read_environment

_env = read_environment()

bind = _env.text("SITE_WEB_BIND", default="127.0.0.1:8000")
workers = int(_env.number("SITE_WEB_WORKERS", default=2))
worker_class = "gthread"
threads = 4
timeout = 30
# Its default place is shared by every gunicorn of one user, so two sites would fight over it.
control_socket_disable = True


def on_starting(server: object) -> None:
    """Before any worker exists: remove the metric files of an earlier run."""
    wipe_multiprocess_directory()


def post_worker_init(worker: object) -> None:
    """In each worker, when it is ready to serve."""
    from common.lifecycle import web_worker_started

    web_worker_started()


def worker_exit(server: object, worker: object) -> None:
    """In each worker, when it ends in order: write what is still queued."""
    from common.lifecycle import process_stopping

    process_stopping()


def child_exit(server: object, worker: Worker) -> None:
    """In the master, when a worker is gone, in order or not."""
    forget_process(pid=worker.pid)
