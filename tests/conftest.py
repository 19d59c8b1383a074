"""What all tests share: the folders that tests import from, and the fixtures in ``*_fixtures.py``."""

import sys
from pathlib import Path

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

pytest_plugins = sorted(path.stem for path in TESTS.glob("*_fixtures.py"))
