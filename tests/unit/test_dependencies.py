"""pyproject.toml, environment.yml and requirements.lock speak of the same packages."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
#: What conda-forge calls a package of PyPI's.
CONDA_NAMES = {"redis-py": "redis", "matplotlib-base": "matplotlib"}
#: Not packages of PyPI's: the interpreter, its installer, servers; and what conda splits off.
CONDA_ONLY = {"python", "pip", "redis-server", "prometheus", "hiredis"}


def declared():
    """Package → requirement, over the base and all extras of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    return {canonicalize_name(r.name): r for r in map(Requirement, lines)}


def locked():
    """Package → version in requirements.lock."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    return {canonicalize_name(m[1]): Version(m[2]) for m in re.finditer(r"(?m)^([A-Za-z0-9._-]+)==([^ ;]+)", text)}


def test_lock_satisfies_every_declared_requirement():
    """A changed pyproject.toml needs ``make lock``."""
    versions = locked()
    for name, requirement in declared().items():
        assert name in versions, f"{name} is not in requirements.lock: make lock"
        assert requirement.specifier.contains(versions[name], prereleases=True), f"{name} {versions[name]}: make lock"


def test_lock_has_a_hash_for_every_package_and_no_address():
    """So that it installs the same files from any index."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    packages = re.split(r"(?m)^(?=[A-Za-z0-9])", text)[1:]
    assert len(packages) > 100
    assert all("--hash=sha256:" in package for package in packages)
    assert not re.search(r"https?://|--index|--find-links|--extra-index", text)


def test_conda_environment_agrees_with_pyproject():
    """The same packages with the same bounds, under conda-forge's names."""
    lines = (ROOT / "environment.yml").read_text(encoding="utf-8").splitlines()
    conda = {}
    for line in lines:
        match = re.fullmatch(r"  - ([A-Za-z0-9_.-]+)([<>=!~].*)?", line)
        if match and match[1] not in CONDA_ONLY | {"conda-forge"}:
            conda[canonicalize_name(CONDA_NAMES.get(match[1], match[1]))] = match[2] or ""
    expected = {name: str(requirement.specifier) for name, requirement in declared().items()}
    assert {name: sorted(bounds.split(",")) for name, bounds in conda.items()} == {
        name: sorted(bounds.split(",")) for name, bounds in expected.items()
    }


def test_every_dependency_has_its_reason():
    """A comment beside each one says why it is there."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    entries = re.findall(r'(?m)^    "([a-z][^"]*)",(.*)$', text.split("[project.scripts]")[0])
    assert len(entries) > 20
    missing = [
        name for name, comment in entries if not comment.strip().startswith("#") and not name.startswith("types-")
    ]
    assert missing == []
