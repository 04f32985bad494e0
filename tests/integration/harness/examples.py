# SPDX-License-Identifier: MIT
"""The examples of docs/sending.md: fenced blocks that have a name behind their
language."""

import re

from . import build

DOCUMENT = build.TOP / "docs/sending.md"
SERVER = "127.0.0.1:3000"  # where the document has the server


def names():
    return re.findall(r"^```\w+ ([\w-]+)$", DOCUMENT.read_text(), re.M)


def block(name):
    """The block of that name, as it is."""
    pattern = rf"^```\w+ {name}\n(.*?)^```$"
    found = re.findall(pattern, DOCUMENT.read_text(), re.M | re.S)
    assert len(found) == 1, f"{len(found)} blocks named {name} in {DOCUMENT}"
    return found[0]


def example(name, port, others=None):
    """The block of that name, for a server at the port. "others" has what else is
    another in a test: what the document says, and what is to stand for it."""
    text = block(name)
    replaced = {SERVER: f"127.0.0.1:{port}", **(others or {})}
    for before, after in replaced.items():
        assert before in text, f'"{before}" is not in the example {name}'
        text = text.replace(before, str(after))
    return text
