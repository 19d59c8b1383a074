"""The shape of the house: imports go down only, nothing heavy at import, one helper writes HTML."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "runbooks_lib"

#: Lowest first. A module may import from its own layer's folder and from lower layers.
LAYERS = {
    **dict.fromkeys(
        (
            "__init__",
            "model",
            "checklist",
            "facts",
            "errors",
            "config",
            "policy",
            "rollout_policy",
            "units",
            "redaction",
            "redis_urls",
            "target",
            "startup",
            "variables",
        ),
        0,
    ),
    **dict.fromkeys(("sources", "judgement", "records"), 1),
    "actions": 2,
    **dict.fromkeys(
        (
            "parameters",
            "parameter_types",
            "catalog",
            "engine",
            "execution",
            "runbook",
            "running",
            "lab",
            "recording",
            "view",
            "triage",
            "recovery",
            "operations",
            "presentation",
            "changes",
            "change_verdict",
            "unconfirmed",
        ),
        3,
    ),
    **dict.fromkeys(("notebook", "cli", "commands", "__main__"), 4),
}
#: Folders of one layer that do not know each other.
STRANGERS = {"sources", "judgement", "records"}


def modules():
    """(module file, the layer name it belongs to)."""
    for path in sorted(LIBRARY.rglob("*.py")):
        relative = path.relative_to(LIBRARY)
        yield path, relative.parts[0].removesuffix(".py")


def imports_of(path):
    """Names below ``runbooks_lib`` that a module imports, and whether it imports the sandbox."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names]
                if node.module == "runbooks_lib"
                else [node.module]
            )
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from names


def test_architecture_every_module_has_a_layer():
    """A new module is placed on purpose."""
    assert {name for _, name in modules()} <= LAYERS.keys()


@pytest.mark.parametrize(("path", "owner"), list(modules()), ids=lambda value: getattr(value, "stem", value))
def test_architecture_imports_go_down_only(path, owner):
    """By the numbers of the layers; the folders of layer 1 do not know each other."""
    for name in imports_of(path):
        assert not name.startswith(("sandbox", "tests")), f"{path.name} imports {name}"
        if not name.startswith("runbooks_lib."):
            continue
        target = name.split(".")[1]
        if target == "__version__" or target == owner:
            continue
        assert LAYERS[target] <= LAYERS[owner], f"{owner} (layer {LAYERS[owner]}) imports {target} ({LAYERS[target]})"
        assert not ({owner, target} <= STRANGERS), f"{owner} imports {target}: folders of one layer"


def test_architecture_judgement_touches_no_network_file_or_clock():
    """So that every judgement can be tested on recorded facts and replayed later."""
    forbidden = {
        "socket",
        "requests",
        "redis",
        "sqlalchemy",
        "subprocess",
        "os",
        "pathlib",
        "time",
        "threading",
        "urllib",
    }
    for path in (LIBRARY / "judgement").rglob("*.py"):
        used = {name.split(".")[0] for name in imports_of(path)}
        assert not used & forbidden, path.name
        assert "units.now(" not in path.read_text(encoding="utf-8"), path.name


def test_architecture_importing_the_library_loads_nothing_heavy():
    """pandas and matplotlib cost half a second; they come when the first figure needs them."""
    heavy = ("pandas", "matplotlib", "redis", "sqlalchemy", "requests", "papermill", "IPython", "django", "msgspec")
    code = f"import sys, runbooks_lib; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_architecture_the_command_line_loads_no_notebook_machinery():
    """``runbooks triage`` answers in about half a second; papermill and matplotlib would cost a second more."""
    heavy = ("pandas", "matplotlib", "papermill", "nbclient", "nbformat", "IPython", "jsonschema")
    code = f"import sys, runbooks_lib.cli, runbooks_lib.triage; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_architecture_html_is_written_in_one_place():
    """``IPython.display.HTML``, ``Markdown`` and ``DataFrame.style`` are not used anywhere."""
    for path, _ in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                assert name not in {"HTML", "Markdown", "Javascript"}, f"{path.name}:{node.lineno}"
            assert not (isinstance(node, ast.Attribute) and node.attr == "style"), f"{path.name}"


@pytest.mark.parametrize("word", ["KEYS", "MONITOR", "FLUSHDB", "FLUSHALL"])
def test_architecture_no_source_sends_a_command_that_blocks_or_deletes(word):
    """Reads stay reads, and nothing walks the whole keyspace in one command."""
    for path in (LIBRARY / "sources").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                literals = [
                    a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, (str, bytes))
                ]
                first = {v.decode() if isinstance(v, bytes) else v for v in literals[:2]}
                assert word not in first, f"{path.name}:{node.lineno} sends {word}"


#: What changes a Redis: data, its settings, its files, or what runs in it.
WRITING_COMMANDS = frozenset(
    "APPEND BGREWRITEAOF BGSAVE COPY DECR DECRBY DEL EVAL EVALSHA EXPIRE EXPIREAT FCALL FLUSHALL FLUSHDB GETDEL GETEX "
    "GETSET HDEL HINCRBY HMSET HSET HSETNX INCR INCRBY LPOP LPUSH LREM LTRIM MIGRATE MOVE MSET PERSIST PEXPIRE PEXPIREAT "
    "PSETEX RENAME RENAMENX REPLICAOF RESTORE RPOP RPUSH SADD SET SETEX SETNX SHUTDOWN SLAVEOF SPOP SREM SWAPDB UNLINK ZADD "
    "ZREM".split()
)


def literals_of_calls(path):
    """(line, text) of every string or bytes that is an argument of a call, also inside a tuple or a list."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or any(getattr(a, "value", None) == "DRYRUN" for a in node.args):
            # ``ACL DRYRUN user CONFIG SET …`` asks whether it would be allowed, and changes nothing.
            continue
        for argument in node.args:
            for item in getattr(argument, "elts", [argument]):
                value = getattr(item, "value", None)
                if isinstance(value, bytes | str):
                    yield node.lineno, value.decode("latin-1") if isinstance(value, bytes) else value


def test_architecture_writing_commands_are_named_in_actions_only():
    """So that one folder is to be read to know all that can be written."""
    named = {
        f"{path.relative_to(LIBRARY)}:{line} {text}"
        for path, owner in modules()
        if owner != "actions"
        for line, text in literals_of_calls(path)
        if text in WRITING_COMMANDS
    }
    assert named == set()


def test_architecture_only_apply_makes_a_writable_site():
    """A plan, a guard or a notebook cannot get hold of one."""
    makers = {
        str(path.relative_to(LIBRARY))
        for path, _ in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "WritableSite"
    }
    assert makers == {"actions/apply.py"}
