"""The JSON file that is the fake site's database, and a few words of the Redis protocol."""

import fcntl
import json
import os
import socket
from pathlib import Path

PATH = Path(os.environ["FAKE_SITE"])


def read():
    """Everything."""
    return json.loads(PATH.read_text(encoding="utf-8"))


def change(work):
    """Read, let ``work`` change it, write; one process at a time."""
    with (PATH.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = read()
        result = work(found)
        # Replaced in one step: others read without the lock.
        fresh = PATH.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(found), encoding="utf-8")
        fresh.replace(PATH)
    return result


def note_start():
    """Count how often the site was started."""
    with (PATH.parent / "starts").open("a") as starts:
        starts.write("x")


def redis(*words):
    """One command to the Redis whose port stands in the file."""
    sent = [str(word).encode() for word in words]
    with socket.create_connection(("127.0.0.1", read()["redis_port"]), timeout=5) as connection:
        stream = connection.makefile("rwb")
        for command in ([b"SELECT", b"1"], sent):
            stream.write(b"*%d\r\n" % len(command) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in command))
        stream.flush()
        stream.readline()
        head = stream.readline().rstrip()
        return stream.read(int(head[1:]))[: int(head[1:])] if head[:1] == b"$" and head != b"$-1" else None
