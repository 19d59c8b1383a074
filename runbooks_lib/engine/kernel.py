"""The kernel of one run as an operating system process: started early, interrupted, killed, and known to be dead.

Only the standard library is used, so that the kernel is on its way before papermill is imported (both take about as
long). The kernel is always this Python: installed kernel specifications may be missing, or belong to another one.
It binds its own ports and says so in the connection file, so no port can be taken away between choosing and binding.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

#: The working directory is off the import path while ipykernel loads (a file ``json.py`` there must not matter), and
#: IPython puts it back, as it does for JupyterLab. The folder of this library comes last on the path: it counts where
#: the library is neither in the working directory nor installed. An environment variable would do the same to every
#: process that a notebook starts, such as the site's manage.py.
_LAUNCHER = """
import sys
sys.path.append(sys.argv.pop(1))
if sys.path[0] == "":
    del sys.path[0]
from ipykernel.kernelapp import launch_new_instance
launch_new_instance()
"""

_PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
_LOG_TAIL_CHARACTERS = 600


class KernelProcess:
    """A running kernel. ``close`` it, or it lives until this process ends.

    Args:
        cwd: its working directory, the folder of ``runbooks.toml``.
        variables: added to this process's environment.

    Raises:
        OSError: it could not be started.
    """

    def __init__(self, cwd: Path, variables: Mapping[str, str] | None = None) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="runbooks-kernel-"))
        self._connection_file = self._folder / "kernel.json"
        self._log_file = self._folder / "kernel.log"
        #: Killed and waited for: from now on its number may belong to somebody else.
        self._gone = False
        library = Path(__file__).resolve().parents[2]
        command = [sys.executable, "-c", _LAUNCHER, str(library), "-f", str(self._connection_file)]
        command += ["--IPKernelApp.log_level=40", "--HistoryManager.hist_file=:memory:"]
        environment = {**os.environ, **(variables or {}), "JPY_PARENT_PID": str(os.getpid())}
        environment.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
        try:
            with self._log_file.open("wb") as log:
                # A session of its own: Ctrl-C in the terminal reaches us alone, and we decide what the kernel gets.
                self._process = subprocess.Popen(  # noqa: S603
                    command,
                    cwd=cwd,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    @property
    def pid(self) -> int:
        """Its process number, and that of its process group."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """The process has not ended."""
        return self._process.poll() is None

    def connection(self) -> dict[str, Any] | None:
        """How to reach it; None while it is still starting."""
        try:
            found = json.loads(self._connection_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return {**found, "key": found["key"].encode()} if all(found.get(port) for port in _PORTS) else None

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the running cell, and send SIGINT to the processes that it started."""
        if self.is_alive:
            self._signal(signal.SIGINT)

    def kill(self, *, within_seconds: float = 5.0) -> bool:
        """End it and its process group with SIGKILL, and wait until it is gone.

        Returns:
            Whether it is gone; it is not when the system cannot end it (hanging in a device or on a network disk).
        """
        if self._gone:
            return True
        self._signal(signal.SIGKILL)
        try:
            self._process.wait(timeout=within_seconds)
        except subprocess.TimeoutExpired:
            return False
        self._gone = True
        return True

    def close(self) -> bool:
        """``kill``, and remove its files."""
        gone = self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
        return gone

    def death(self) -> str:
        """Why did it end? One line, with the last words that it wrote."""
        code = self._process.poll()
        if code is None:
            return "the kernel is alive"
        if code < 0:
            known = {number.value: number.name for number in signal.Signals}
            why = f"the kernel was killed by {known.get(-code, f'signal {-code}')}"
            why += " (often: the system ran out of memory)" if -code == signal.SIGKILL else ""
        else:
            why = f"the kernel ended by itself with exit code {code}"
        with suppress(OSError):
            words = self._log_file.read_text(encoding="utf-8", errors="replace").strip()[-_LOG_TAIL_CHARACTERS:]
            why += f"; its last words: {' | '.join(words.splitlines())}" if words else ""
        return why

    def _signal(self, number: signal.Signals) -> None:
        # The group outlives the kernel when a process that it started does.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)
