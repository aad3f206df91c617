"""Whether a regular expression can run away: take time that grows by powers with the text it looks at.

Judged by form, before the pattern is ever run, and rather too strictly than too little: what is refused here has a
plain way to be said. Python's own parser has said before that the pattern is one.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?[aiLmsux]+\)|\((?:\?(?:P?<\w+>|<?[=!]|[a-zA-Z-]*:))?|\)|[*+]\??|\{\d*,?\d*\}\??|\?|\||.",
    re.DOTALL,
)
_BACK = re.compile(r"\\[1-9]")
_REPEATS = 3
MOST_CHARACTERS = 10_000
"""Of a text that a pattern looks at; what stands after is not looked at."""


def runs_away(pattern: str) -> bool:
    """Whether a repeated group holds a repeat or a choice, or more repeats stand in a pattern than anybody needs."""
    varies = [False]
    """Of each open group, whether what it matches may be cut in several ways."""
    closed = False
    repeats = 0
    for match in _TOKEN.finditer(pattern):
        sign = match[0]
        if sign.startswith("(") and not sign.endswith(")"):
            varies.append(False)
        elif sign == ")" and len(varies) > 1:
            closed = varies.pop()
            varies[-1] = varies[-1] or closed
            continue
        elif sign[0] in "*+" or (sign[0] == "{" and len(sign) > 1):
            if closed:
                return True
            if sign[0] != "{" or "," in sign:
                repeats += 1
                varies[-1] = True
        elif sign in {"|", "?"} or _BACK.fullmatch(sign):
            varies[-1] = True
        closed = False
    return repeats > _REPEATS
