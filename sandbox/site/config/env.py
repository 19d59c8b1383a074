"""Where does a setting come from? The process environment first, then the file named by ``SITE_ENV_FILE``."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

SQLITE_OPTIONS = {
    # WAL lets readers go on while one process writes; five seconds is how long a writer waits for another one.
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=5000;",
    # A transaction that starts with a read and then writes would fail at once instead of waiting.
    "transaction_mode": "IMMEDIATE",
    "timeout": 5,
}


class Environment:
    """Read-only view of the variables of this process, with typed readers.

    Raises:
        ImproperlyConfigured: a required variable is missing, or a value has the wrong form.
    """

    def __init__(self, *, values: dict[str, str]) -> None:
        self._values = values

    def text(self, name: str, *, default: str) -> str:
        """The value of ``name``; ``default`` when it is absent or empty."""
        return self._values.get(name) or default

    def required(self, name: str, *, hint: str) -> str:
        """The value of ``name``, which has no default."""
        value = self._values.get(name)
        if not value:
            raise ImproperlyConfigured(f"{name} is not set. {hint}")
        return value

    def number(self, name: str, *, default: float) -> float:
        """The value of ``name`` as a number."""
        raw = self._values.get(name) or str(default)
        try:
            return float(raw)
        except ValueError as error:
            raise ImproperlyConfigured(f"{name}={raw!r} is not a number.") from error

    def switch(self, name: str) -> bool:
        """Is ``name`` set to 1? Only 0 and 1 are accepted; absent is 0."""
        raw = self._values.get(name) or "0"
        if raw not in {"0", "1"}:
            raise ImproperlyConfigured(f"{name}={raw!r} must be 0 or 1.")
        return raw == "1"

    def names(self, name: str, *, default: str) -> list[str]:
        """The comma-separated value of ``name`` as a list."""
        return [part.strip() for part in self.text(name, default=default).split(",") if part.strip()]


def read_environment() -> Environment:
    """Merge the dotenv-style file with the process environment; the latter wins.

    Raises:
        ImproperlyConfigured: ``SITE_ENV_FILE`` names a file that does not exist.
    """
    file_name = os.environ.get("SITE_ENV_FILE")
    if not file_name:
        return Environment(values=dict(os.environ))
    if not Path(file_name).is_file():
        raise ImproperlyConfigured(f"SITE_ENV_FILE={file_name}: there is no such file.")
    return Environment(values={**parse_lines(Path(file_name).read_text(encoding="utf-8")), **os.environ})


def parse_lines(text: str) -> dict[str, str]:
    """``NAME=value`` lines; blank lines and comments are skipped, one pair of quotes around a value is removed."""
    values = {}
    for line in text.splitlines():
        name, separator, value = line.strip().removeprefix("export ").partition("=")
        if separator and not name.startswith("#"):
            value = value.strip()
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            values[name.strip()] = value[1:-1] if quoted else value
    return values


def parse_database_url(url: str) -> dict[str, object]:
    """Turn ``sqlite:////absolute/path`` or ``postgresql://user:password@host:port/name`` into ``DATABASES`` terms.

    ``sqlite:///`` is followed by the path, so an absolute path gives four slashes.

    Raises:
        ImproperlyConfigured: any other scheme, or no database name.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite" and len(parts.path) > 1:
        path = unquote(parts.path)
        name = path[1:] if path.startswith("//") else path
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "OPTIONS": SQLITE_OPTIONS}
    if parts.scheme in {"postgresql", "postgres"} and len(parts.path) > 1:
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path[1:]),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": parts.hostname or "",
            "PORT": str(parts.port or ""),
            # A database that does not answer must not hold a worker for minutes.
            "OPTIONS": {"connect_timeout": 3},
        }
    raise ImproperlyConfigured(
        f"SITE_DATABASE_URL has scheme {parts.scheme!r}: expected sqlite:////path or postgresql://host/name."
    )
