"""Which variables of the environment hold secrets, by their names."""

import pytest

from analysis.storage.redact import HIDDEN, redact

SECRET = (
    "HF_TOKEN", "PGPASSWORD", "MYSQL_PWD", "SSHPASS", "REDISCLI_AUTH", "DB_PASS", "RESTIC_PASSWORD",
    "BORG_PASSPHRASE", "AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY", "APIKEY", "SECRETKEY",
    "GITHUB_PAT", "GITHUBTOKEN", "CLIENT_SECRET", "CLIENTSECRET", "HTTP_AUTHORIZATION", "AWS_CREDS",
    "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_KEY", "DATABASE_DSN", "npm_config__auth",
    "SESSION_COOKIE", "TOKEN_OF_MINE", "SENTRY_AUTH_TOKEN",
)  # fmt: skip
OPEN = (
    "PWD", "OLDPWD", "SSH_AUTH_SOCK", "SSH_ASKPASS", "GIT_ASKPASS", "PGPASSFILE", "HF_TOKEN_PATH",
    "TOKENIZERS_PARALLELISM", "MAX_TOKENS", "RAY_AUTH_MODE", "XAUTHORITY", "KEYBOARD", "COMPASS",
    "DBUS_SESSION_BUS_ADDRESS", "SECRET_KEY_FILE", "HOME", "PATH",
)  # fmt: skip


@pytest.mark.parametrize("name", [*SECRET, *OPEN])
def test_a_variable_is_secret_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "/somewhere/planted")
    told = "/somewhere/planted" if name in OPEN else HIDDEN
    assert redact("it said /somewhere/planted twice") == f"it said {told} twice"
