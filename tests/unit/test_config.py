"""Configuration: every mistake names the file, the key and what is expected, and no secret is ever shown."""

from pathlib import Path

import pytest

from runbooks_lib import config
from runbooks_lib.errors import ConfigurationError, UsageError

MINIMAL = """
[environments.site]
redis_url = "redis://:${PW}@127.0.0.1:6379/1"
prometheus_url = "http://127.0.0.1:9090"
site_url = "http://127.0.0.1:8000"
"""
SECRET = "hunter2-and-more"


def write(folder: Path, text: str) -> Path:
    path = folder / "runbooks.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_load_the_repositorys_own_file_names_three_environments():
    """The shipped file is valid, and the examples in it resolve once their variables are set."""
    loaded = config.load(Path(__file__).parents[2] / "runbooks.toml", {})

    assert loaded.environment_names == ("sandbox", "staging", "production")
    names = (
        "STAGING_REDIS_PASSWORD",
        "STAGING_DATABASE_PASSWORD",
        "PRODUCTION_REDIS_PASSWORD",
        "PRODUCTION_DATABASE_PASSWORD",
    )
    resolved = config.load(loaded.path, dict.fromkeys(names, SECRET))
    assert resolved.environment("production").protected
    assert resolved.environment("staging").redis_url == f"redis://:{SECRET}@cache.staging.example.com:6379/1"


def test_environment_resolves_variables_and_keeps_them_out_of_its_repr(tmp_path):
    """A traceback shows reprs, so a repr must not hold a URL with a password."""
    environment = config.load(write(tmp_path, MINIMAL), {"PW": SECRET}).environment("site")

    assert environment.redis_url == f"redis://:{SECRET}@127.0.0.1:6379/1"
    assert environment.secrets == (SECRET,)
    assert SECRET not in repr(environment) + str(environment)
    assert environment.time_scale == 1.0
    assert not environment.protected


def test_environment_without_its_variable_names_key_and_variable(tmp_path):
    """The message says what to export."""
    with pytest.raises(ConfigurationError, match=r"\[environments.site\]: redis_url needs the variable PW") as raised:
        config.load(write(tmp_path, MINIMAL), {}).environment("site")
    assert raised.value.exit_code == 2


def test_missing_variable_of_one_environment_does_not_stop_another(tmp_path):
    """Practising in the sandbox must not need production's password."""
    text = MINIMAL + MINIMAL.replace("environments.site", "environments.other").replace("${PW}", "x")
    assert config.load(write(tmp_path, text), {}).environment("other").name == "other"


def test_variables_file_is_a_second_source_and_the_process_environment_wins(tmp_path):
    """A file gives ports; a variable set by hand overrides it."""
    (tmp_path / "v.env").write_text("PW='from file'\n# comment\nexport OTHER=1\n", encoding="utf-8")
    path = write(tmp_path, MINIMAL + 'variables_file = "v.env"\n')

    assert "from file" in config.load(path, {}).environment("site").redis_url
    assert "by hand" in config.load(path, {"PW": "by hand"}).environment("site").redis_url


def test_missing_variables_file_of_the_sandbox_says_how_to_start_it():
    """The most likely reason for a missing file is a sandbox that is not up."""
    loaded = config.load(Path(__file__).parents[2] / "runbooks.toml", {"SANDBOX_HOME": "/nonexistent/.sandbox"})
    with pytest.raises(ConfigurationError, match="make sandbox"):
        loaded.environment("sandbox")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ('colour = "red"', "colour"),
        ("time_scale = 0", "time_scale"),
        ('time_scale = "fast"', "time_scale"),
        ("protected = 1", "protected"),
        ('manage = "python manage.py"', "manage"),
        ('manage = ["python", "-c", "x"]', "manage must end in manage.py"),
        ('database_url = "/var/db.sqlite3"', "database_url"),
        ('name = "other"', "name"),
        ("secrets = []", "secrets"),
    ],
)
def test_environment_with_a_wrong_key_names_it(tmp_path, extra, message):
    """An unknown key, a wrong type and an impossible value are told apart by name."""
    with pytest.raises(ConfigurationError, match=message) as raised:
        config.load(write(tmp_path, f"{MINIMAL}{extra}\n"), {"PW": SECRET}).environment("site")
    assert "environments.site" in str(raised.value)
    assert SECRET not in str(raised.value)


def test_environment_with_a_url_of_the_wrong_kind_names_the_schemes_and_hides_the_value(tmp_path):
    """The value may hold a password, so only what is expected is shown."""
    text = MINIMAL.replace("redis://:", "postgres://:")
    with pytest.raises(ConfigurationError, match="redis_url must begin with one of redis://") as raised:
        config.load(write(tmp_path, text), {"PW": SECRET}).environment("site")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no environment"),
        ("[environments]\n", "no environment"),
        ("not toml", "is not TOML"),
        ("[enviroments.x]\n", "unknown table"),
        ("environments = 3\n", "must be a table"),
        ("[environments]\nx = 3\n[contacts]\na = 4\n", "contacts"),
    ],
)
def test_load_a_malformed_file_names_the_file_and_the_trouble(tmp_path, text, message):
    """Nothing, nonsense and typing mistakes at the top level."""
    with pytest.raises(ConfigurationError, match=message) as raised:
        config.load(write(tmp_path, text), {})
    assert "runbooks.toml" in str(raised.value)


def test_load_without_a_file_says_where_to_begin(tmp_path, monkeypatch):
    """An empty folder."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="does not exist"):
        config.load(variables={})


def test_load_a_binary_file_is_an_error_and_not_a_traceback(tmp_path):
    """Not UTF-8."""
    path = tmp_path / "runbooks.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        config.load(path, {})


def test_environment_unknown_lists_those_that_exist(tmp_path):
    """A usage error: the caller typed a name."""
    with pytest.raises(UsageError, match="choose one of: site"):
        config.load(write(tmp_path, MINIMAL), {"PW": "x"}).environment("prod")


def test_ledger_defaults_to_a_file_beside_the_configuration(tmp_path):
    """And a configured one is resolved with its variables."""
    assert config.load(write(tmp_path, MINIMAL), {}).ledger_url == f"sqlite:///{tmp_path}/runs/ledger.sqlite3"
    text = MINIMAL + '[ledger]\nurl = "postgresql+psycopg://r:${L}@h/x"\n'
    assert config.load(write(tmp_path, text), {"L": "pw"}).ledger_url == "postgresql+psycopg://r:pw@h/x"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("prometheus_url", "http://127.0.0.1:abc"),
        ("site_url", "http://[bad"),
        ("site_url", "https://"),
        ("prometheus_url", "http://127.0.0.1:99999"),
        ("prometheus_url", f"http://u:{SECRET}/x@127.0.0.1:9090"),
        ("redis_url", f"redis://:{SECRET}#1@127.0.0.1:6379/1"),
        ("metrics_urls", "http://127.0.0.1:abc/metrics"),
        ("metrics_urls", "worker:9000/metrics"),
    ],
)
def test_environment_with_a_malformed_url_names_the_key_and_what_is_expected(tmp_path, key, value):
    """Before anything is asked, and without the value, which may hold a password."""
    kept = "\n".join(line for line in MINIMAL.splitlines() if not line.startswith(key))
    given = f'["{value}"]' if key == "metrics_urls" else f'"{value}"'
    with pytest.raises(ConfigurationError, match=key) as raised:
        config.load(write(tmp_path, f"{kept}\n{key} = {given}\n"), {"PW": "x"}).environment("site")
    assert raised.value.exit_code == 2
    assert "://" in str(raised.value)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("REDIS_PASSWORD", "12345678", True),
        ("DBPASS", "20260101", True),
        ("API_KEY", "/aB3dEf", True),
        ("SITE_TOKEN", "/x", True),
        ("CLIENT_SECRET", "0000", True),
        ("CREDENTIALS", "42424242", True),
        ("SANDBOX_REDIS_PORT", "6379", False),
        ("SANDBOX_DATABASE", "/tmp/db.sqlite3", False),
        ("COMPASS_PORT", "5432", False),
        ("REDIS_PASSWORD_FILE", "/run/secrets/redis", False),
        ("SOMETHING", "not-a-number", True),
        ("REDIS_PASSWORD", "", False),
    ],
)
def test_variable_is_a_secret_by_its_name_or_look(tmp_path, name, value, secret):
    """An all-digit password is one; a port and a path are not."""
    text = MINIMAL.replace("${PW}", "x") + f'key_prefix = "${{{name}}}"\n'
    assert (value in config.load(write(tmp_path, text), {name: value}).environment("site").secrets) is secret


def test_variable_before_the_at_of_a_url_is_a_secret_whatever_its_name(tmp_path):
    """A password of digits under a name that says nothing."""
    text = MINIMAL.replace("${PW}", "${CODE}").replace("6379", "${NUMBER}")
    loaded = config.load(write(tmp_path, text), {"CODE": "4711", "NUMBER": "6379"})
    assert loaded.environment("site").secrets == ("4711",)


@pytest.mark.parametrize(
    ("text", "seconds"), [("", 3600), ('expires = "90s"', 90), ('expires = "8h"', 28_800), ('expires = "2d"', 172_800)]
)
def test_approvals_expire_after_an_hour_or_as_configured(tmp_path, text, seconds):
    """Durations as everywhere."""
    loaded = config.load(write(tmp_path, f"{MINIMAL}[approvals]\n{text}\n"), {})

    assert loaded.approval_seconds == seconds
    assert loaded.allowed_signers is None


def test_approvals_allowed_signers_lie_beside_the_file(tmp_path):
    """A relative path does not depend on where the command is started."""
    loaded = config.load(write(tmp_path, f'{MINIMAL}[approvals]\nallowed_signers = "keys/allowed_signers"\n'), {})

    assert loaded.allowed_signers == tmp_path / "keys" / "allowed_signers"


@pytest.mark.parametrize(
    "text", ['expires = "soon"', 'expires = "0h"', "expires = 5", 'expire = "1h"', "allowed_signers = 1"]
)
def test_approvals_that_mean_nothing_are_refused(tmp_path, text):
    """An unknown key as well: a typo must not switch signatures off."""
    loaded = config.load(write(tmp_path, f"{MINIMAL}[approvals]\n{text}\n"), {})

    with pytest.raises(ConfigurationError, match=r"\[approvals\]"):
        _ = (loaded.approval_seconds, loaded.allowed_signers)


def test_load_of_a_folder_names_the_file_in_it(tmp_path):
    """``--config DIR`` is a common slip."""
    with pytest.raises(ConfigurationError, match="is a folder") as raised:
        config.load(tmp_path, {})
    assert raised.value.hint == f"give the file in it: {tmp_path / 'runbooks.toml'}"


GUARDED = """
[environments.guarded]
redis_url = "redis://operator:${OTHER_PW}@127.0.0.1/1"
prometheus_url = "http://127.0.0.1:9090"
site_url = "http://another-name:8000"
protected = true
"""


@pytest.mark.parametrize(
    ("guarded", "protected"),
    [
        (GUARDED, True),
        (GUARDED.replace("127.0.0.1/1", "127.0.0.1/2"), False),
        (GUARDED.replace("protected = true", ""), False),
        (GUARDED.replace("OTHER_PW", "NOT_SET"), False),
    ],
    ids=["the same", "another database", "not protected", "cannot be resolved"],
)
def test_environment_that_leads_to_a_protected_one_is_protected_as_well(tmp_path, guarded, protected):
    """A second name of a site is no way around its approvals; one whose variables are missing stops nobody."""
    loaded = config.load(write(tmp_path, MINIMAL + guarded), {"PW": SECRET, "OTHER_PW": "another"})

    assert loaded.environment("site").protected is protected


def test_environment_that_runs_the_code_of_a_protected_one_is_protected_as_well(tmp_path):
    """Flags are set through it, wherever its Redis is said to be."""
    manage = 'manage = ["ssh", "web1", "manage.py"]\n'
    text = MINIMAL + manage + GUARDED.replace("127.0.0.1/1", "elsewhere/1") + manage
    loaded = config.load(write(tmp_path, text), {"PW": SECRET, "OTHER_PW": "another"})

    assert loaded.environment("site").protected
