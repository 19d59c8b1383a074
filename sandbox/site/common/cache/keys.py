"""What is a cached answer called?

``api:<View>[:<parent>=<id>][:<pk>][:<query string>][:user_id=<id>]``; the cache adds its prefix and version in front.
"""

from dataclasses import dataclass
from urllib.parse import urlencode

API = "api"
LEGACY = "legacy"


@dataclass(frozen=True)
class CacheKey:
    """One answer, named by what it depends on and nothing else.

    Parts come from checked values only, and the query is built from known parameters in one order: otherwise any
    stranger could fill the cache with copies of one answer.

    Attributes:
        view: class name of the view.
        parent: name and id of the object that a list belongs to.
        pk: id of the object.
        query: known parameters that differ from their defaults, sorted by name.
        user_id: only where the answer differs between users.
    """

    view: str
    parent: tuple[str, int] | None = None
    pk: int | None = None
    query: tuple[tuple[str, str], ...] = ()
    user_id: int | None = None

    def __str__(self) -> str:
        return self.name(namespace=API)

    def name(self, *, namespace: str) -> str:
        """The key as text, for the enhanced cache (``api``) or the plain one (``legacy``)."""
        parts = [namespace, self.view]
        if self.parent is not None:
            parts.append(f"{self.parent[0]}={self.parent[1]}")
        if self.pk is not None:
            parts.append(str(self.pk))
        if self.query:
            parts.append(urlencode(self.query))
        if self.user_id is not None:
            parts.append(f"user_id={self.user_id}")
        return ":".join(parts)

    @property
    def ids(self) -> tuple[int, ...]:
        """The ids that a caller chose."""
        chosen = (self.parent[1] if self.parent else None, self.pk)
        return tuple(value for value in chosen if value is not None)


def query_of(*, values: dict[str, object]) -> tuple[tuple[str, str], ...]:
    """The ``query`` of a key: ``values`` in one order, without those that are None."""
    return tuple(sorted((name, str(value)) for name, value in values.items() if value is not None))
