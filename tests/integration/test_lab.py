"""JupyterLab on working copies: quiet, on loopback, and never on the notebooks themselves."""

import os
import re
import signal
import subprocess
import time
import urllib.request

from workplace_fixtures import ROOT, RUNBOOKS


def test_lab_serves_a_working_copy_on_loopback_with_a_token(workplace):
    """The tracked notebook is not what JupyterLab opens."""
    allow_root = ["--allow-root"] if os.geteuid() == 0 else []
    log = workplace.folder / "lab.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [RUNBOOKS, "lab", "--", "--no-browser", "--port=0", *allow_root],
            cwd=workplace.folder,
            env=workplace.variables,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        address = None
        deadline = time.monotonic() + 40
        while address is None and time.monotonic() < deadline:
            address = re.search(r"http://127\.0\.0\.1:(\d+)/\S*\?token=(\w+)", log.read_text(encoding="utf-8"))
            time.sleep(0.1)
        assert address, log.read_text(encoding="utf-8")
        url = f"http://127.0.0.1:{address[1]}/api/contents/incident/triage.ipynb?content=0&token={address[2]}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.status == 200
        (copy,) = workplace.folder.glob("runs/lab/*/incident/triage.ipynb")
        assert copy.read_bytes() == (ROOT / "notebooks/incident/triage.ipynb").read_bytes()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
