"""In which of a hundred buckets is somebody? The same answer in every process, on every machine, for ever."""

import hashlib


def bucket_of(*, feature: str, subject: str) -> int:
    """The bucket 0..99 of ``subject`` for ``feature``.

    A percentage p admits the buckets below p, so whoever is in at 10 % is in at 25 %. The feature is part of the
    hash, so that it is not always the same users who try things first. Python's ``hash()`` would not do: it is
    salted anew in each process.
    """
    digest = hashlib.sha256(f"{feature}:{subject}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 100
