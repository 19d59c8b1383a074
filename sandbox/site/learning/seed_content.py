"""Made-up content: the same for the same seed, on every machine."""

import datetime as dt
import random
from collections.abc import Iterator
from dataclasses import dataclass

from learning.models import Chapter, Course, Difficulty, Problem, Topic

# A fixed moment instead of now: the same seed must give the same rows tomorrow.
WRITTEN_AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
WORDS = (
    "about again answer begin between change circle compare consider count degree describe develop distance draw "
    "each equal example explain explore figure find first follow force form function given group growth idea "
    "language large law line look matter measure method model motion number observe order part pattern period "
    "plant point power practice prove question range rate reason relation result rule second sentence several show "
    "side simple solution solve space square state step story structure study system table theory think time unit "
    "value verb water weight why word world write year"
).split()
DROP_OUT = 1.5
SENTENCES_IN_DESCRIPTION, SENTENCES_IN_BODY, SENTENCES_IN_STATEMENT = 8, 24, 6


@dataclass(frozen=True)
class ContentSize:
    """How much content: ``courses``, ``chapters`` in each, ``problems`` in each of these."""

    courses: int
    chapters: int
    problems: int


def courses(*, size: ContentSize, rng: random.Random) -> Iterator[Course]:
    """Courses 1..n. Popularity falls with the id like 1/id, so that the first ones are the ones that matter."""
    topics = Topic.values
    for number in range(1, size.courses + 1):
        topic = topics[(number - 1) % len(topics)]
        yield Course(
            id=number,
            title=f"{Topic(topic).label} {number}: {title(rng)}",
            topic=topic,
            description=prose(rng, sentences=SENTENCES_IN_DESCRIPTION),
            enrolled_count=popularity(rank=number, rng=rng),
            updated_at=WRITTEN_AT,
        )


def chapters(*, size: ContentSize, rng: random.Random) -> Iterator[Chapter]:
    """Chapters 1..n, those of one course in a row."""
    for number in range(1, size.courses * size.chapters + 1):
        course_index, index = divmod(number - 1, size.chapters)
        yield Chapter(
            id=number,
            course_id=course_index + 1,
            position=index + 1,
            title=f"{index + 1}. {title(rng)}",
            body=prose(rng, sentences=SENTENCES_IN_BODY),
            updated_at=WRITTEN_AT,
        )


def problems(*, size: ContentSize, rng: random.Random) -> Iterator[Problem]:
    """Problems 1..n, those of one chapter in a row."""
    for number in range(1, size.courses * size.chapters * size.problems + 1):
        chapter_index, index = divmod(number - 1, size.problems)
        course_index, chapter_in_course = divmod(chapter_index, size.chapters)
        # Readers drop out: the first problem of a course is tried far more often than the last one.
        rank = (course_index + 1) * ((chapter_in_course + 1) * (index + 1)) ** DROP_OUT
        yield Problem(
            id=number,
            chapter_id=chapter_index + 1,
            position=index + 1,
            title=f"Problem {index + 1}: {title(rng)}",
            statement=prose(rng, sentences=SENTENCES_IN_STATEMENT),
            difficulty=rng.choice(Difficulty.values),
            attempt_count=popularity(rank=rank, rng=rng),
            updated_at=WRITTEN_AT,
        )


def popularity(*, rank: float, rng: random.Random) -> int:
    """A count that falls like 1/rank, with ±10 % noise."""
    return round(100_000 / rank * rng.uniform(0.9, 1.1))


def title(rng: random.Random) -> str:
    """Three words."""
    return " ".join(rng.choices(WORDS, k=3)).capitalize()


def prose(rng: random.Random, *, sentences: int) -> str:
    """``sentences`` sentences of twelve words."""
    return " ".join(f"{' '.join(rng.choices(WORDS, k=12)).capitalize()}." for _ in range(sentences))
