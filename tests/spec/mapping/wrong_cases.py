"""The wrong mappings in `wrong/`: each file is put over the small right set in `wrong/base`, and says what must be said.

A case begins with comments: why it is wrong, and one `says:` for each error, whole (a `…` stands for a list of names). A comment `file: NAME` begins
another file; lines are counted through the case, so that what is said points into it.
"""

import re
from dataclasses import dataclass
from pathlib import Path

WRONG = Path(__file__).with_name("wrong")
_KIND = re.compile(r"^(map|codes|message|part): *(.+?) *$", re.MULTILINE)
_FILE = re.compile(r"^# file: (.+)$")
_SAYS = re.compile(r"^# says: (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """One wrong mapping: its files with those of the base that it does not replace, and what is to be said of it."""

    name: str
    files: dict[str, bytes]
    says: tuple[str, ...]
    site: str


def cases() -> list[Case]:
    """All of them."""
    base = {path.name: path.read_text(encoding="utf-8") for path in sorted((WRONG / "base").glob("*.yaml"))}
    return [_case(path, base) for path in sorted(WRONG.glob("*.yaml"))]


def _case(path: Path, base: dict[str, str]) -> Case:
    text = path.read_text(encoding="utf-8")
    own = _split(path.name, text)
    replaced = {match.groups() for part in own.values() for match in _KIND.finditer(part)}
    kept = {name: part for name, part in base.items() if not replaced & {m.groups() for m in _KIND.finditer(part)}}
    files = {name: part.encode() for name, part in (kept | own).items()}
    return Case(path.stem, files, tuple(_SAYS.findall(text)), "wrong" if "sites/wrong/" in text else "")


def _split(name: str, text: str) -> dict[str, str]:
    """The files of a case; each keeps its lines' numbers."""
    found: dict[str, list[str]] = {name: []}
    for number, line in enumerate(text.splitlines()):
        match = _FILE.match(line)
        if match:
            name = match[1]
            found[name] = [""] * (number + 1)
        else:
            found[name].append(line)
    parts = {name: "\n".join(lines) + "\n" for name, lines in found.items()}
    return {name: part for name, part in parts.items() if len(parts) == 1 or _holds_something(part)}


def _holds_something(part: str) -> bool:
    return any(line.strip() and not line.startswith("#") for line in part.splitlines())
