"""A snapshot's tree in the place of the project that it was taken from: under the same names, and with nothing of that folder's own code.

An import that reached the folder would run what somebody may be editing there, so it is looked for afterwards, and refused.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from shadowgraph.engine.loading.config import read_config
from shadowgraph.engine.loading.environment import is_folder, set_variables
from shadowgraph.engine.loading.errors import BadProject, raised_by_author

INIT = "__init__.py"


@dataclass(frozen=True, slots=True)
class Guise:
    name: str
    """Of the project: checkpoints name modules by it."""
    package: str | None = None
    """By which its folder is imported, where that is a package itself."""
    home: Path | None = None
    """The folder that is deployed here: its variables hold, as they are no part of a snapshot."""


def put_on(guise: Guise, tree: Path) -> None:
    """For this process, which must not have imported anything of the project before."""
    if guise.home is not None:
        config = read_config(guise.home)
        set_variables(guise.home, config)
        folders = _folders_of(guise.home, config.dependencies)
        sys.path[:] = [entry for entry in sys.path if entry and Path(entry).resolve() not in folders]
    if guise.package is not None:
        _import_as(guise.package, tree)


def require_apart(guise: Guise) -> None:
    """Errors: `BadProject` when a module came from the deployed folder."""
    for name, file in _files_of_modules():
        if guise.home is not None and _is_own(file, guise.home):
            raise BadProject(
                f"its module {name!r} was imported from {file}, not from the snapshot",
                hint="the folder is installed, or on the module path: a snapshot's code needs an environment where it is not",
            )


def _folders_of(home: Path, dependencies: tuple[str, ...]) -> set[Path]:
    roots = {home.resolve(), *((home / item).resolve() for item in dependencies if is_folder(item))}
    return roots | {root / "src" for root in roots}


def _import_as(package: str, tree: Path) -> None:
    """Errors: `BadProject`, also when something of it was imported before."""
    if package in sys.modules:
        raise BadProject(f"{package} is imported already: a snapshot of it needs a process of its own")
    parent, _, last = package.rpartition(".")
    spec = spec_from_file_location(package, tree / INIT, submodule_search_locations=[str(tree)])
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[package] = module
    with _blaming_the_author(package, tree):
        spec.loader.exec_module(module)
    if parent:
        with suppress(ImportError):  # whoever imports the package by its whole name is told then
            setattr(import_module(parent), last, module)


@contextmanager
def _blaming_the_author(package: str, tree: Path) -> Iterator[None]:
    try:
        yield
    except (Exception, SystemExit) as error:
        raise raised_by_author(f"package {package} cannot be imported", error, roots=[tree]) from error


def _files_of_modules() -> Iterator[tuple[str, Path]]:
    for name, module in list(sys.modules.items()):
        if isinstance(file := getattr(module, "__file__", None), str):
            yield name, Path(file).resolve()


def _is_own(file: Path, home: Path) -> bool:
    """A file of the folder, but not of packages that are installed below it."""
    home = home.resolve()
    return file.is_relative_to(home) and "site-packages" not in file.relative_to(home).parts
