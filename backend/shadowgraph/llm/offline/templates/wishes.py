"""Technologies that a request names and the chosen template does without: said openly, not passed over."""

import re

_TECHNOLOGIES = (
    *("FastAPI", "Flask", "Django", "Express", "Node.js", "GraphQL", "gRPC", "SQLAlchemy", "PostgreSQL", "MySQL", "MongoDB", "Redis", "SQLite"),
    *("Docker", "Kubernetes", "JWT", "OAuth", "authentication", "Pygame", "Tkinter", "HTML", "JavaScript", "TypeScript", "pandas", "NumPy"),
    *("Rust", "Golang", "Java", "Kotlin", "Swift", "Ruby", "PHP", "C++", "C#", "Haskell", "Scala", "Click", "Typer", "pytest", "Excel", "PDF"),
    *("Vue", "Angular", "Svelte", "Next.js", "Tailwind", "Redux", "Material UI", "Bootstrap"),
)  # fmt: skip
_USED = {"crud": {"SQLite"}, "react": {"TypeScript", "HTML", "JavaScript"}}
_BY_NAME = {name: re.compile(rf"(?<![\w.]){re.escape(name)}(?![\w+#]|\.\w)", re.IGNORECASE) for name in _TECHNOLOGIES}
_ALSO_CALLED = {
    "Golang": re.compile(r"\bin go\b", re.IGNORECASE),
    "PostgreSQL": re.compile(r"\bpostgres\b", re.IGNORECASE),
    "Node.js": re.compile(r"\bnode\b", re.IGNORECASE),
}


def unmet_wishes(request: str, *, template: str) -> tuple[str, ...]:
    """At most one sentence."""
    used = _USED.get(template, set())
    named = [name for name in _TECHNOLOGIES if name not in used and _is_named(name, request)]
    if not named:
        return ()
    return (f"The request names {', '.join(named)}; this template does without.",)


def _is_named(name: str, request: str) -> bool:
    other = _ALSO_CALLED.get(name)
    return bool(_BY_NAME[name].search(request) or (other and other.search(request)))
