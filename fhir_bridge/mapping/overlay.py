"""Overlays: base ← vendor ← site ← feed. Each changes the tables below it, and declares what its feeds mean by them.

An overlay is a folder ``sites/NAME`` with ``overlay.yaml`` at its head; docs/mapping-guide.md has the language. They
are put together as YAML nodes, before anything is read: so what an overlay changed is checked, compiled and traced
like all else, and a mistake points into the overlay's own file. How rows are altered is `overlay_rows`' work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from fhir_bridge.mapping import keys as keys_of
from fhir_bridge.mapping.declared import Declared, read_head
from fhir_bridge.mapping.errors import CheckFailed, Position, Problem, nearest
from fhir_bridge.mapping.load import compose_files
from fhir_bridge.mapping.load_yaml import Reader
from fhir_bridge.mapping.overlay_rows import Alterations, is_null, with_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fhir_bridge.mapping.definitions import Hl7Definitions

SITES = "sites/"
HEAD = "overlay.yaml"
_WHOLE = ("map", "codes", "message", "part")
_KINDS = (*_WHOLE, "alter", "extend")


class Documents(dict[str, yaml.Node]):
    """Roots by file name, found by what they are: ``message`` ADT."""

    def find(self, kind: str, name: str) -> str | None:
        """The file of a table, None where there is none."""
        return next((file for file, root in self.items() if _value(root, kind) == name), None)

    def names(self, *kinds: str) -> list[str]:
        """The names of all tables of some kinds."""
        return [name for root in self.values() for kind in kinds if (name := _value(root, kind))]


def sites(files: Mapping[str, bytes]) -> list[str]:
    """The overlays that a mapping folder has."""
    found = (name.removeprefix(SITES).split("/", 1) for name in files if name.startswith(SITES))
    return sorted({parts[0] for parts in found if len(parts) == 2})


def base_of(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files that are no overlay's."""
    return {name: content for name, content in files.items() if not name.startswith(SITES)}


def concerned(files: Mapping[str, bytes], site: str) -> dict[str, bytes]:
    """The files that make the set of a site ('' for the base alone). Raises CheckFailed for a chain that is none."""
    found = base_of(files)
    for name in chain(files, site):
        found.update(_files(files, name))
    return found


def chain(files: Mapping[str, bytes], site: str) -> list[str]:
    """The overlays that a site stands on, the lowest first, itself last. Raises CheckFailed."""
    problems: list[Problem] = []
    found: list[str] = []
    at, name, level = Position(f"{SITES}{site}/{HEAD}", 1, 1), site, None
    while name:
        head = _head(files, name, problems)
        if head is None:
            near = nearest(name, (one for one in sites(files) if one not in found))
            problems.append(Problem(at, f"no overlay {name}", f"the name of a folder under {SITES}", near))
        elif name in found:
            problems.append(Problem(at, f"over: {name}, which stands on it", "overlays that do not stand in a circle"))
        elif level is not None and head.rank > level:
            problems.append(Problem(at, f"over: {name}, a {head.level}'s", "an overlay of its own level or below"))
        if head is None or problems:
            break
        found.append(name)
        level, below = head.rank, head.stands_on
        name, at = (below.text, below.at) if below else ("", at)
    if problems:
        raise CheckFailed(problems)
    return found[::-1]


def customs(files: Mapping[str, bytes], site: str) -> Declared:
    """What a site's overlays declare of its feeds, without the tables being read. Raises CheckFailed."""
    problems: list[Problem] = []
    declared = Declared()
    for name in chain(files, site):
        head = _head(files, name, problems)
        assert head is not None
        declared = declared.under(head)
    if problems:
        raise CheckFailed(problems)
    return declared


def overlaid(
    files: Mapping[str, bytes], site: str, hl7: Hl7Definitions, problems: list[Problem]
) -> tuple[Documents, Declared]:
    """The documents of a set with its overlays laid over, and what these declare; mistakes among the problems."""
    documents = Documents(compose_files(base_of(files), problems))
    declared = Declared()
    for name in chain(files, site):
        roots = compose_files(_files(files, name), problems)
        head = roots.pop(f"{SITES}{name}/{HEAD}", None)
        if head is not None:
            declared = declared.under(read_head(head, name, problems, hl7))
        for file, root in roots.items():
            _lay(documents, file, root, problems)
    return documents, declared


def _lay(documents: Documents, file: str, root: yaml.Node, problems: list[Problem]) -> None:
    reader = Reader(problems)
    keys = reader.keys(root)
    kind = next((kind for kind in _KINDS if kind in keys), None)
    if kind is None:
        found = f"the keys {', '.join(keys[:4])}" if keys else "no keys"
        reader.problem(
            root, found, "alter:, extend:, map:, codes: or message: as the first key", keys[0] if keys else "", _KINDS
        )
    elif kind == "alter":
        Alterations(documents, problems).apply(root)
    elif kind == "extend":
        _extend(documents, root, reader)
    else:
        replaced = documents.find(kind, _value(root, kind))
        if replaced is not None:
            del documents[replaced]
        documents[file] = root


def _extend(documents: Documents, root: yaml.Node, reader: Reader) -> None:
    """A code table with entries added, changed, or taken out (null)."""
    before = reader.count
    keys = reader.mapping(root, keys_of.EXTENSION, "an extension")
    name = reader.text(keys["extend"])
    file = documents.find("codes", name.text) if name else None
    if name and file is None:
        reader.problem(
            name.at, f"no code table {name.text}", "the name of a code table", name.text, documents.names("codes")
        )
    if name is None or file is None or reader.count > before:
        return
    known = documents[file]
    assert isinstance(known, yaml.MappingNode)
    changed = {key: node for key, node in keys.items() if key not in {"extend", "note"}}
    for key in ("table", "prefixes"):
        if key in changed:
            changed[key] = _entries(_node(known, key), changed[key], reader)
    documents[file] = with_pairs(known, changed)


def _entries(known: yaml.Node | None, changes: yaml.Node, reader: Reader) -> yaml.Node:
    if not isinstance(changes, yaml.MappingNode) or not isinstance(known, yaml.MappingNode):
        return changes
    names = [key.value for key, _ in known.value]
    reader.pairs(changes, "codes")  # says what is there twice
    for key, value in changes.value:
        if is_null(value) and key.value not in names:
            reader.problem(key, f"no code {key.value} to take out", "a code of the table", key.value, names)
    given = {key.value: (key, value) for key, value in changes.value}
    kept = [given.pop(key.value, (key, value)) for key, value in known.value]
    pairs = [(key, value) for key, value in (*kept, *given.values()) if not is_null(value)]
    return yaml.MappingNode(known.tag, pairs, known.start_mark, known.end_mark)


def _files(files: Mapping[str, bytes], name: str) -> dict[str, bytes]:
    return {file: content for file, content in files.items() if file.startswith(f"{SITES}{name}/")}


def _head(files: Mapping[str, bytes], name: str, problems: list[Problem]) -> Declared | None:
    """What stands at the head of an overlay; only its own mistakes of form are noted."""
    file = f"{SITES}{name}/{HEAD}"
    if file not in files:
        return None
    root = compose_files({file: files[file]}, problems).get(file)
    return read_head(root, name, problems) if root is not None else Declared()


def _node(root: yaml.Node, key: str) -> yaml.Node | None:
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    return next((value for name, value in pairs if isinstance(name, yaml.ScalarNode) and name.value == key), None)


def _value(root: yaml.Node, key: str) -> str:
    node = _node(root, key)
    return node.value if isinstance(node, yaml.ScalarNode) else ""
