"""Prompts as files: `prompts/<name>.md` in the project's folder, with `${variable}` where something is filled in."""

from dataclasses import dataclass
from pathlib import Path

from shadowgraph.authoring.ports import require_ports
from shadowgraph.core.errors import Invalid, NotFound
from shadowgraph.core.paths import require_safe_path
from shadowgraph.core.templates import PROMPTS_DIR, fill, variables_of


class UnknownPrompt(NotFound):
    code = "unknown_prompt"


class InvalidPrompt(Invalid):
    """The text of a prompt and the variables that it was given do not fit together."""

    code = "invalid_prompt"


@dataclass(frozen=True, slots=True)
class Prompt:
    name: str
    text: str
    path: Path

    @property
    def variables(self) -> frozenset[str]:
        return variables_of(self.text)

    def render(self, /, **variables: object) -> str:
        """The text with every `${variable}` filled in; `$${literal}` stays as `${literal}`, any other `$` as it is.

        Errors: `InvalidPrompt` for a variable that is missing, or that the text does not have.
        """
        self._require_exactly(set(variables))
        return fill(self.text, variables)

    def _require_exactly(self, given: set[str]) -> None:
        problems = [
            *(f"needs the variable {name!r}" for name in sorted(self.variables - given)),
            *(f"has no variable {name!r}" for name in sorted(given - self.variables)),
        ]
        if problems:
            raise InvalidPrompt(
                f"prompt {self.name!r} ({self.path}) {' and '.join(problems)}", prompt=self.name, path=str(self.path)
            )


def prompt(name: str) -> Prompt:
    """Reads `prompts/<name>.md` of the project, or the file that `[agents.<name>]` names in `shadowgraph.toml`.

    Errors: `UnknownPrompt`, `InvalidPrompt` (not UTF-8), `shadowgraph.core.paths.UnsafePath`.
    """
    ports = require_ports()
    settings = ports.agents.get(name)
    file = (settings and settings.prompt) or f"{PROMPTS_DIR}/{name}.md"
    path = ports.project_dir / require_safe_path(file)
    try:
        return Prompt(name, path.read_text(encoding="utf-8"), path)
    except FileNotFoundError as error:
        raise UnknownPrompt(
            f"there is no prompt {name!r}: {path} does not exist", prompt=name, path=str(path)
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidPrompt(f"prompt {name!r} ({path}) is not UTF-8 text", prompt=name, path=str(path)) from error
