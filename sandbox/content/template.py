"""The site's database: migrated and seeded once, then copied for every `up`.

The template's name is a hash of the site's code and of the seed's parameters: when either changes, it is made anew.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from sandbox.layout import SITE
from sandbox.settings import Catalogue

KEPT_TEMPLATES = 3


def template_key(catalogue: Catalogue, site: Path = SITE) -> str:
    """Return a hash of everything that the template is made from: the site's code, tests aside, and the sizes."""
    digest = hashlib.sha256(json.dumps(vars(catalogue), sort_keys=True).encode())
    for path in sorted(site.rglob("*.py")):
        if "tests" not in path.relative_to(site).parts:
            digest.update(f"{path.relative_to(site)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def template_of(cache: Path, catalogue: Catalogue) -> Path:
    """Return where the template is or will be; its catalogue of ids lies beside it with the suffix ``.json``."""
    return cache / f"site-{template_key(catalogue)}.sqlite3"


def answers_of(template: Path) -> Path:
    """Return where the site's answers from a template's content are kept, for filling the cache."""
    return template.with_suffix(".answers.json")


def is_complete(template: Path) -> bool:
    """Whether both files of a template are there."""
    return template.exists() and template.with_suffix(".json").exists()


def prune_templates(cache: Path) -> None:
    """Remove all but the latest templates."""
    templates = sorted(cache.glob("site-*.sqlite3"), key=lambda path: path.stat().st_mtime, reverse=True)
    for template in templates[KEPT_TEMPLATES:]:
        template.unlink(missing_ok=True)
        template.with_suffix(".json").unlink(missing_ok=True)
        answers_of(template).unlink(missing_ok=True)


def copy_template(template: Path, *, database: Path, catalogue: Path) -> None:
    """Copy a template into a sandbox."""
    shutil.copyfile(template, database)
    shutil.copyfile(template.with_suffix(".json"), catalogue)
