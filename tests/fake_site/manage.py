"""``manage.py shell`` of the fake site: runs what stands on standard input, with the modules in ``code/``.

``FAKE_SITE`` names its JSON file (see ``place.py``); what stands there under ``behaviour`` makes it misbehave.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "code"))


def main() -> None:
    """Only ``shell``, as Django has it: with noise around the answer."""
    import state

    behaviour = state.read()["behaviour"]
    state.note_start()
    if behaviour.get("noise"):
        sys.stdout.write("12 objects imported automatically (use -v 2 for details).\n")
    if behaviour.get("broken"):
        sys.exit(f"ImproperlyConfigured: {behaviour['broken']}")
    exec(compile(sys.stdin.read(), "<stdin>", "exec"), {"__name__": "__console__"})
    if behaviour.get("noise"):
        sys.stdout.write("closing connections\n")


if __name__ == "__main__":
    main()
