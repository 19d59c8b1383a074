"""Configuration: where values come from, and what is refused."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.test import SimpleTestCase

from config.env import Environment, parse_database_url


class EnvironmentTests(SimpleTestCase):
    """Variables and the file."""

    def _settings(self, code: str, **variables: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SITE_")}
        return subprocess.run(
            [sys.executable, "-c", f"from config import settings as s; print({code})"],
            cwd=settings.BASE_DIR,
            env={**clean, **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    def test_environment_variables_win_over_the_file(self) -> None:
        """And the file over the defaults."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "site.env"
            file.write_text("SITE_SECRET_KEY=x\nSITE_VERSION=file\nSITE_REDIS_URL=redis://file:1/1\n")
            result = self._settings(
                "s.SITE_VERSION, s.CACHES['default']['LOCATION']",
                SITE_ENV_FILE=str(file),
                SITE_VERSION="process",
            )
        self.assertEqual(result.stdout.strip(), "process redis://file:1/1")

    def test_environment_without_a_secret_key_is_refused_unless_debugging(self) -> None:
        """No site in production runs with a key that everybody knows."""
        self.assertIn("SITE_SECRET_KEY is not set", self._settings("1").stderr)
        self.assertEqual(self._settings("len(s.SECRET_KEY) > 40", SITE_DEBUG="1").stdout.strip(), "True")

    def test_environment_file_that_is_missing_is_named(self) -> None:
        """A typo in a path must not start a site with defaults."""
        self.assertIn("SITE_ENV_FILE=/no/such", self._settings("1", SITE_ENV_FILE="/no/such").stderr)

    def test_values_of_a_wrong_form_are_refused(self) -> None:
        """With the name and the value."""
        environment = Environment(values={"A": "x", "B": "yes"})
        with self.assertRaisesMessage(ImproperlyConfigured, "A='x'"):
            environment.number("A", default=1)
        with self.assertRaisesMessage(ImproperlyConfigured, "B='yes'"):
            environment.switch("B")

    def test_database_urls(self) -> None:
        """Absolute SQLite paths, PostgreSQL with escapes; anything else is refused."""
        self.assertEqual(parse_database_url("sqlite:////tmp/a%20b.db")["NAME"], "/tmp/a b.db")
        parsed = parse_database_url("postgresql://me:p%40ss@db:5433/site")
        self.assertEqual(
            (parsed["USER"], parsed["PASSWORD"], parsed["HOST"], parsed["PORT"], parsed["NAME"]),
            ("me", "p@ss", "db", "5433", "site"),
        )
        for url in ("mysql://x/y", "sqlite://", "postgresql://host"):
            with self.assertRaises(ImproperlyConfigured):
                parse_database_url(url)
