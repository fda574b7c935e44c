"""The places that settings are read from, as layers of plain text values. It knows no setting by name."""

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dotenv import dotenv_values

from shadowgraph.core.errors import Invalid

PREFIX = "SHADOWGRAPH_"
HOME_VARIABLE = "SHADOWGRAPH_HOME"
"""The folder with `.env` and `storage/`: the checkout when started by its script, else the current folder."""

PROFILE_VARIABLE = "SHADOWGRAPH_PROFILE"
"""Which `[profiles.NAME]` of the user's `config.toml` counts; the flag `--profile` wins over it."""

Source = Literal["default", "config.toml", "backend/.env", ".env", "env", "flag"]

_NOT_SETTINGS = {HOME_VARIABLE, PROFILE_VARIABLE, f"{PREFIX}FAILPOINTS"}
_TEST_PREFIX = f"{PREFIX}TEST_"


class InvalidSetting(Invalid):
    code = "invalid_setting"


@dataclass(frozen=True, slots=True)
class Layer:
    source: Source
    variables: Mapping[str, str]
    """By their name in capitals."""
    takes_plain_names: bool = False
    """True: the file is ours alone, so that even `URL` is meant for us."""


def read_layers(environment: Mapping[str, str], *, home: Path, profile: str | None) -> list[Layer]:
    """From the weakest to the strongest.

    Errors: `InvalidSetting` for a config.toml that cannot be read, or a profile that is not in it.
    """
    return [
        Layer("config.toml", _read_config(environment, profile=profile), takes_plain_names=True),
        Layer("backend/.env", _read_env_file(home / "backend" / ".env")),
        Layer(".env", _read_env_file(home / ".env")),
        Layer("env", environment),
    ]


def unknown_names(layers: Sequence[Layer], *, known: Collection[str]) -> list[str]:
    """A warning for each name that is meant for us and is no setting: a misspelt one would be silently without effect."""
    plain = {name.upper() for name in known}
    settings = {f"{PREFIX}{name}" for name in plain} | _NOT_SETTINGS
    return [
        f"{name} (in {layer.source}) is not a setting that Shadowgraph knows"
        for layer in layers
        for name in sorted(layer.variables)
        if (layer.takes_plain_names and name not in plain | settings)
        or (name.startswith(PREFIX) and name not in settings and not name.startswith(_TEST_PREFIX))
    ]


def config_path(environment: Mapping[str, str]) -> Path | None:
    """`~/.config/shadowgraph/config.toml`; None when there is no home directory."""
    if base := environment.get("XDG_CONFIG_HOME"):
        return Path(base) / "shadowgraph" / "config.toml"
    if home := environment.get("HOME"):
        return Path(home) / ".config" / "shadowgraph" / "config.toml"
    return None


def _read_config(environment: Mapping[str, str], *, profile: str | None) -> dict[str, str]:
    """The file's own values, and over them those of the chosen profile."""
    profile = profile or environment.get(PROFILE_VARIABLE) or None
    path = config_path(environment)
    content = _read_toml(path) if path and path.is_file() else {}
    profiles = content.pop("profiles", {})
    if profile is not None and profile not in profiles:
        raise InvalidSetting(
            f"there is no profile {profile!r}", hint=f"write [profiles.{profile}] in {path}", known=sorted(profiles)
        )
    chosen = {**content, **(profiles[profile] if profile else {})}
    return {name.upper(): _as_text(value) for name, value in chosen.items()}


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidSetting(f"{path} cannot be read: {error}") from error


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read_env_file(path: Path) -> dict[str, str]:
    return {name: value for name, value in dotenv_values(path).items() if value is not None} if path.is_file() else {}
