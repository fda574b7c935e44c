"""A structural check of TSX source, for want of a JavaScript engine: brackets, tags, the exported component, its props."""

import re

_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|`(?:[^`\\]|\\.)*`|//[^\n]*|/\*.*?\*/', re.DOTALL)
_CLOSERS = {")": "(", "]": "[", "}": "{"}
_TAG = re.compile(r"<(/?)([A-Za-z][\w.]*)((?:=>|[^<>])*?)(/?)>")
_GENERIC = re.compile(
    r"\b(?:useState|Partial|Record|Readonly|Array|FormEvent|ChangeEvent|Promise|keyof typeof)<[^<>]*>"
)


def structural_problems(source: str) -> list[str]:
    """What is wrong with a component's source as far as can be seen without running it; empty when nothing is."""
    bare = _GENERIC.sub("", _QUOTED.sub('""', source))
    problems = [*_bracket_problems(bare), *_tag_problems(bare)]
    if not re.search(r"^export (?:default )?function [A-Z]\w*\(", source, re.MULTILINE):
        problems.append("no component is exported")
    return problems


def _bracket_problems(bare: str) -> list[str]:
    stack: list[str] = []
    for char in bare:
        if char in _CLOSERS.values():
            stack.append(char)
        elif char in _CLOSERS and (not stack or stack.pop() != _CLOSERS[char]):
            return [f"a {char} closes nothing"]
    return [f"{stack[-1]} is never closed"] if stack else []


def _tag_problems(bare: str) -> list[str]:
    stack: list[str] = []
    for closing, name, _, self_closing in _TAG.findall(bare):
        if closing:
            if not stack or stack.pop() != name:
                return [f"</{name}> closes nothing"]
        elif not self_closing:
            stack.append(name)
    return [f"<{stack[-1]}> is never closed"] if stack else []
