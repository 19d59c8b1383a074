"""JupyterLab on working copies of the notebooks, on this machine only.

JupyterLab saves into the file that it opens, so it is never given ``notebooks/`` itself: each session gets copies below
``runs/lab/``, from where the kernel still finds ``runbooks.toml`` above it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from runbooks_lib import catalog, units
from runbooks_lib.config import Configuration
from runbooks_lib.errors import UsageError

_NEWS = "@jupyterlab/apputils-extension:announcements"
#: Starts JupyterLab without the second that one useless import costs (see ``startup``).
_LAUNCH = (
    "from runbooks_lib.startup import skip_slow_imports; skip_slow_imports(); import jupyterlab.labapp as l; l.main()"
)


def working_copies(configuration: Configuration) -> Path:
    """Copy all notebooks into a new folder below ``runs/lab/``; returns that folder.

    Raises:
        UsageError: there is no notebook to copy.
    """
    source = configuration.root / catalog.FOLDER_NAME
    if not catalog.entries(configuration.root):
        raise UsageError(f"{source} holds no notebook", hint="work in a clone of the repository")
    folder = configuration.runs_folder / "lab" / f"{units.now():%Y%m%d-%H%M%S}-{os.getpid()}"
    ignored = shutil.ignore_patterns(".*")
    shutil.copytree(source, folder, ignore=ignored)
    return folder


def arguments(folder: Path, further: Sequence[str] = ()) -> list[str]:
    """The command that serves the copies: loopback, a random token, no news, no extension store.

    Args:
        folder: what is shown.
        further: options for Jupyter itself, such as ``--no-browser`` or ``--port=8890``.
    """
    return [
        sys.executable,
        "-c",
        _LAUNCH,
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={folder}",
        "--LabApp.default_url=/lab/tree/incident/triage.ipynb",
        "--LabApp.extension_manager=readonly",
        *further,
    ]


def quiet_settings(folder: Path) -> Path:
    """A Jupyter configuration folder that keeps JupyterLab from asking each new user about news; returns it.

    There is no command-line option for it: extensions are switched off in ``page_config.json`` only.
    """
    settings = folder / ".jupyter"
    page = settings / "labconfig" / "page_config.json"
    page.parent.mkdir(parents=True)
    page.write_text(json.dumps({"disabledExtensions": {_NEWS: True}}), encoding="utf-8")
    return settings


def open_lab(configuration: Configuration, further: Sequence[str] = ()) -> int:
    """Replace this process by JupyterLab; never returns.

    Raises:
        UsageError: there is no notebook to copy.
    """
    folder = working_copies(configuration)
    command = arguments(folder, further)
    paths = [str(quiet_settings(folder)), os.environ.get("JUPYTER_CONFIG_PATH", "")]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(path for path in paths if path)
    os.environ["RUNBOOKS_CONFIG"] = str(configuration.path.resolve())
    os.execv(command[0], command)  # noqa: S606 - our own interpreter, no shell
