"""What a project's code finds around it: its folders on the module path, its variables, the packages that it names."""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from dotenv import dotenv_values

from shadowgraph.engine.loading.config import CONFIG_FILE, ProjectConfig
from shadowgraph.engine.loading.errors import BadProject

_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ADDRESS = re.compile(r"[^@\s]*://")
"""A package by its address alone, whose name only its files know."""
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Surroundings:
    name: str
    """Of the project."""
    directory: Path
    roots: tuple[Path, ...]
    """The folders whose files are the author's: the project's own, and those that `dependencies` names."""
    missing: tuple[str, ...]
    """Packages that `dependencies` names and that are not installed here."""
    secrets: tuple[str, ...]
    """Values of its variables that no message may show."""
    absent_env: str | None
    """The file of variables that `env` names, when it is not there: a fresh clone has none, and may need none."""

    def install_command(self, module: str | None = None) -> str:
        """One line that brings a missing module, or all missing packages."""
        wanted = [item for item in self.missing if module is None or _normal(_name(item)) == _normal(module)]
        if not wanted and (listed := self._listed()):
            return f"{_pip()} {listed}"
        return f"{_pip()} {' '.join(_quoted(item) for item in wanted or [_normal(module or '')])}"

    def _listed(self) -> str | None:
        """The project's own list of what it needs."""
        for root in self.roots:
            if (root / "requirements.txt").is_file():
                return f"-r {root / 'requirements.txt'}"
            if (root / "pyproject.toml").is_file() or (root / "setup.py").is_file():
                return f"-e {root}"
        return None


def prepare(name: str, directory: Path, config: ProjectConfig) -> Surroundings:
    """For this process, as LangGraph's server does for its own: at the end of the module path, never over what is set already.

    Errors: `BadProject` for a folder that is not there.
    """
    folders = [_require_folder(directory, item) for item in config.dependencies if is_folder(item)]
    roots = tuple(dict.fromkeys([directory, *folders]))
    _extend_module_path(roots)
    variables = set_variables(directory, config)
    secrets = tuple(value for variable, value in variables.items() if value and _SECRET_NAME.search(variable))
    absent_env = config.env if isinstance(config.env, str) and not (directory / config.env).is_file() else None
    return Surroundings(name, directory, roots, tuple(_missing(config.dependencies)), secrets, absent_env)


def set_variables(directory: Path, config: ProjectConfig) -> Mapping[str, str]:
    """What its `env` says, where this process has nothing set."""
    variables = _variables(directory, config.env)
    for variable, value in variables.items():
        os.environ.setdefault(variable, value)
    return variables


def is_folder(dependency: str) -> bool:
    return dependency.startswith((".", "/"))


def _require_folder(directory: Path, dependency: str) -> Path:
    path = (directory / dependency).resolve()
    if not path.is_dir():
        raise BadProject(f"{CONFIG_FILE}: dependencies: there is no folder {dependency!r}")
    return path


def _extend_module_path(roots: Iterable[Path]) -> None:
    for root in roots:
        for folder in (root, root / "src"):
            is_package = (folder / "__init__.py").exists() and folder.name == "src"
            if folder.is_dir() and not is_package and str(folder) not in sys.path:
                sys.path.append(str(folder))


def _variables(directory: Path, env: Mapping[str, str] | str | None) -> Mapping[str, str]:
    if not isinstance(env, str):
        return env or {}
    return {name: value for name, value in dotenv_values(directory / env).items() if value is not None}


def _missing(dependencies: Iterable[str]) -> list[str]:
    packages = [item for item in dependencies if not is_folder(item) and not _ADDRESS.match(item)]
    return [item for item in packages if not _is_installed(_name(item))]


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return _can_be_imported(name)
    return True


def _can_be_imported(name: str) -> bool:
    """A package on the module path needs no installation."""
    module = name.replace("-", "_")
    return module.isidentifier() and find_spec(module) is not None


def _name(requirement: str) -> str:
    """`langchain-openai[tiktoken]>=0.3` → `langchain-openai`."""
    match = _PACKAGE.match(requirement)
    return match[0] if match else requirement


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.split(".")[0]).lower()


def _pip() -> str:
    return f"{sys.executable} -m pip install" if find_spec("pip") else f"uv pip install --python {sys.executable}"


def _quoted(requirement: str) -> str:
    return requirement if re.fullmatch(r"[\w.@:/+-]+", requirement) else f"'{requirement}'"
