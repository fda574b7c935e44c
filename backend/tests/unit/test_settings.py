"""Where settings come from, and what is said about them."""

from decimal import Decimal
from pathlib import Path

import pytest

from shadowgraph.core.settings import (
    PREFIX,
    IncompatibleParts,
    InvalidSetting,
    Settings,
    UnsafeSecret,
    is_loopback_host,
    load_settings,
    require_parts_fit,
    require_safe_secret,
    variable_of,
)

REPOSITORY = Path(__file__).parents[3]


def write_config(home: Path, text: str) -> dict[str, str]:
    """The environment of a user with this config.toml."""
    folder = home / ".config" / "shadowgraph"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(text)
    return {"HOME": str(home)}


def test_without_any_source_every_value_is_a_default(tmp_path: Path) -> None:
    loaded = load_settings({}, home=tmp_path)

    assert set(loaded.sources.values()) == {"default"}
    assert loaded.warnings == ()
    assert loaded.settings.effective_database_url == f"sqlite:///{tmp_path}/storage/shadowgraph.db"


def test_each_stronger_source_wins_and_is_named(tmp_path: Path) -> None:
    environment = write_config(
        tmp_path, "port = 1\nlease_seconds = 1\nqueue_prefix = 'config'\nhost = '127.0.0.9'\nredis_prefix = 'config'\n"
    )
    (tmp_path / "backend").mkdir()
    (tmp_path / "backend" / ".env").write_text("PORT=2\nLEASE_SECONDS=2\nQUEUE_PREFIX=backend\nHOST=127.0.0.2\n")
    (tmp_path / ".env").write_text("PORT=3\nLEASE_SECONDS=3\nQUEUE_PREFIX=file\n")

    loaded = load_settings({**environment, "PORT": "4", "LEASE_SECONDS": "4"}, home=tmp_path, port=5)

    settings, sources = loaded.settings, loaded.sources
    assert (settings.port, sources["port"]) == (5, "flag")
    assert (settings.lease_seconds, sources["lease_seconds"]) == (4.0, "env")
    assert (settings.queue_prefix, sources["queue_prefix"]) == ("file", ".env")
    assert (settings.host, sources["host"]) == ("127.0.0.2", "backend/.env")
    assert (settings.redis_prefix, sources["redis_prefix"]) == ("config", "config.toml")


def test_the_name_with_our_prefix_wins_over_the_plain_one(tmp_path: Path) -> None:
    loaded = load_settings({"PORT": "1", f"{PREFIX}PORT": "2"}, home=tmp_path)

    assert loaded.settings.port == 2


def test_an_empty_value_counts_as_absent(tmp_path: Path) -> None:
    loaded = load_settings({"PORT": "", "GROQ_API_KEY": ""}, home=tmp_path)

    assert loaded.settings.port == 8000
    assert loaded.sources["groq_api_key"] == "default"


def test_a_url_of_somebody_else_in_the_shell_is_not_ours(tmp_path: Path) -> None:
    assert load_settings({"URL": "http://example.test"}, home=tmp_path).settings.url == ""
    assert load_settings({f"{PREFIX}URL": "http://sg.test"}, home=tmp_path).settings.url == "http://sg.test"


def test_a_misspelt_name_is_warned_about_wherever_it_stands(tmp_path: Path) -> None:
    environment = write_config(tmp_path, "prot = 1\n")
    (tmp_path / ".env").write_text("SHADOWGRAPH_PROT=2\nUNRELATED=1\n")

    warnings = load_settings({**environment, "SHADOWGRAPH_PRT": "3"}, home=tmp_path).warnings

    assert warnings == (
        "PROT (in config.toml) is not a setting that Shadowgraph knows",
        "SHADOWGRAPH_PROT (in .env) is not a setting that Shadowgraph knows",
        "SHADOWGRAPH_PRT (in env) is not a setting that Shadowgraph knows",
    )


def test_a_profile_lies_over_the_files_own_values(tmp_path: Path) -> None:
    environment = write_config(tmp_path, "url = 'http://a.test'\nport = 1\n[profiles.prod]\nurl = 'http://b.test'\n")

    by_flag = load_settings(environment, home=tmp_path, profile="prod")
    by_variable = load_settings({**environment, "SHADOWGRAPH_PROFILE": "prod"}, home=tmp_path)
    without = load_settings(environment, home=tmp_path)

    assert (by_flag.settings.url, by_flag.settings.port) == ("http://b.test", 1)
    assert by_variable.settings == by_flag.settings
    assert by_variable.warnings == ()
    assert without.settings.url == "http://a.test"


def test_an_unknown_profile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="no profile 'prod'"):
        load_settings({"HOME": str(tmp_path)}, home=tmp_path, profile="prod")


def test_a_config_file_that_is_no_toml_is_refused_by_its_name(tmp_path: Path) -> None:
    environment = write_config(tmp_path, "port: 8000")

    with pytest.raises(InvalidSetting, match=r"config\.toml cannot be read"):
        load_settings(environment, home=tmp_path)


def test_a_wrong_value_is_refused_with_the_variables_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="PORT is 'eight'") as raised:
        load_settings({"PORT": "eight"}, home=tmp_path)

    assert raised.value.facts == {"setting": "PORT"}


@pytest.mark.parametrize("level", ["debug", "Debug", "DEBUG"])
def test_log_level_is_read_in_any_case(level: str, tmp_path: Path) -> None:
    assert load_settings({"LOG_LEVEL": level}, home=tmp_path).settings.log_level == "DEBUG"


def test_a_retired_groq_model_is_mapped_with_a_warning(tmp_path: Path) -> None:
    loaded = load_settings({"GROQ_MODEL": "mixtral-8x7b-32768"}, home=tmp_path)

    assert loaded.settings.groq_model == "openai/gpt-oss-120b"
    assert loaded.sources["groq_model"] == "env"
    assert loaded.warnings == (
        "GROQ_MODEL=mixtral-8x7b-32768 was retired by Groq; openai/gpt-oss-120b is used instead",
    )


def test_a_guessable_secret_is_a_warning_on_loopback_and_refused_elsewhere(tmp_path: Path) -> None:
    local = load_settings({"SECRET_KEY": "dev-secret-key-123"}, home=tmp_path)
    public = load_settings({"SECRET_KEY": "dev-secret-key-123", "HOST": "0.0.0.0"}, home=tmp_path)

    require_safe_secret(local.settings)
    assert local.warnings[0].startswith("SECRET_KEY can be guessed")
    assert "dev-secret" not in local.warnings[0]
    with pytest.raises(UnsafeSecret):
        require_safe_secret(public.settings)


def test_a_long_secret_is_accepted_anywhere(tmp_path: Path) -> None:
    loaded = load_settings({"SECRET_KEY": "k" * 32, "HOST": "0.0.0.0"}, home=tmp_path)

    require_safe_secret(loaded.settings)
    assert loaded.warnings == ()


def test_limits_of_money_are_read_as_they_are_written(tmp_path: Path) -> None:
    environment = {"MAX_MONTHLY_COST": "50.10", "MAX_RUN_COST": "0.000000001", "COST_TRACKING_ENABLED": "True"}

    settings = load_settings(environment, home=tmp_path).settings

    assert settings.cost_tracking_enabled
    assert (settings.max_monthly_cost, settings.max_run_cost) == (Decimal("50.10"), Decimal("0.000000001"))


@pytest.mark.parametrize(
    ("given", "effective"),
    [
        ("sqlite:///./app.db", "sqlite:///{home}/app.db"),
        ("sqlite+aiosqlite:///app.db", "sqlite+aiosqlite:///{home}/app.db"),
        ("sqlite:////var/lib/app.db", "sqlite:////var/lib/app.db"),
        ("postgres://u@h/n", "postgres://u@h/n"),
    ],
)
def test_a_relative_sqlite_file_stands_in_the_home_folder(given: str, effective: str, tmp_path: Path) -> None:
    settings = load_settings({"DATABASE_URL": given}, home=tmp_path).settings

    assert settings.effective_database_url == effective.format(home=tmp_path)


def test_sqlite_with_a_broker_is_refused(tmp_path: Path) -> None:
    settings = load_settings({"BROKER_URL": "amqp://localhost"}, home=tmp_path).settings

    with pytest.raises(IncompatibleParts, match="in-process queue only"):
        require_parts_fit(settings)


def test_a_database_that_we_do_not_speak_is_refused(tmp_path: Path) -> None:
    settings = load_settings({"DATABASE_URL": "mysql://u@h/n"}, home=tmp_path).settings

    with pytest.raises(IncompatibleParts, match="'mysql'"):
        require_parts_fit(settings)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "sg.localhost"])
def test_loopback_hosts_are_known(host: str) -> None:
    assert is_loopback_host(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.test", "localhost.example.test"])
def test_other_hosts_are_not_loopback(host: str) -> None:
    assert not is_loopback_host(host)


def test_the_model_that_serves_is_offline_until_a_key_is_set(tmp_path: Path) -> None:
    assert load_settings({}, home=tmp_path).settings.serving_model == "offline"
    assert load_settings({"GROQ_API_KEY": "gsk_x"}, home=tmp_path).settings.serving_model == "groq:openai/gpt-oss-120b"


def test_the_example_file_names_every_setting_and_sets_none(tmp_path: Path) -> None:
    example = (REPOSITORY / ".env.example").read_text()
    (tmp_path / ".env").write_text(example)

    named = {line.removeprefix("#").partition("=")[0] for line in example.splitlines() if "=" in line}

    wanted = {variable_of(name) for name in Settings.model_fields if name != "home"}
    assert wanted <= named
    assert set(load_settings({}, home=tmp_path).sources.values()) == {"default"}
