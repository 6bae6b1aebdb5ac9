"""Names, docstrings and comments use the field's words: the table is in CONTRIBUTING.md.

`python tests/test_words.py FOLDER ...` lists what is left in those folders.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
NAMES = {
    "told", "said", "asked", "heard", "draw", "draws", "drawn", "drew", "drawing", "drawings", "redraw", "mend",
    "mends", "mended", "picture", "pictures", "door", "doors", "dialect", "dialects", "ours", "theirs",
}  # fmt: skip
"""Words that no identifier contains."""
WHOLE_NAMES = {"one", "Call", "Answer", "card", "cards", "gpu_card"}
"""Identifiers that do not exist."""
PROSE = re.compile(
    r"\b(told|asked wrongly|heard|draw(?:s|n|ings?)?|drew|redraw\w*|mend(?:s|ed|ing)?|ways? out|pictures?|doors?|"
    r"dialects?|ours|theirs|(?<!model )(?<!model_)cards?|"
    r"(?:the|this|that|another|each|every|which|old|new|first|last) ones?"
    r"(?=\W*$|\W*\n|[.,;:)]| (?:of|that|which|is|has|in)\b))\b",
    re.IGNORECASE,
)
"""Words that no docstring and no comment contains. "Model card" is a term of the field."""
SUSPECT = re.compile(
    rf"{'|'.join(sorted(NAMES))}|(?-i:\b(?:{'|'.join(sorted(WHOLE_NAMES))})\b(?! (?!in )[a-z]))|{PROSE.pattern}",
    re.IGNORECASE,
)
"""Finds something in each file with a violation: the others need no parser. A new name precedes no word but "in"."""
EXEMPT = {"tests/test_words.py"}


def python_files(*folders: str) -> Iterator[Path]:
    """Return the tracked and new Python files below `folders`, or of the whole project."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *(folders or ["."])]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    for name in sorted(set(listed)):
        if name.endswith(".py") and name not in EXEMPT and (ROOT / name).exists():
            yield ROOT / name


def violations(file: Path) -> Iterator[str]:
    """Return `path:line: name or text` for each word that the table replaces."""
    source, where = file.read_text(encoding="utf-8"), file.relative_to(ROOT)
    if NAMES & set(file.stem.split("_")):
        yield f"{where}: file name"
    if not SUSPECT.search(source):
        return
    for node in ast.walk(ast.parse(source)):
        for name in identifiers(node):
            words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}
            if name in WHOLE_NAMES or words & NAMES:
                yield f"{where}:{getattr(node, 'lineno', 0)}: name {name}"
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for match in PROSE.finditer(node.value.value):
                yield f"{where}:{node.lineno}: docstring: {match[0]}"
    if not any(PROSE.search(line, line.find("#")) for line in source.splitlines() if "#" in line):
        return  # without the tokenizer, which takes most of the time
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and (found := PROSE.search(token.string)):
            yield f"{where}:{token.start[0]}: comment: {found[0]}"


def identifiers(node: ast.AST) -> Iterator[str]:
    """Return the names that `node` defines or assigns."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.attr
    elif isinstance(node, ast.alias) and node.asname:
        yield node.asname


def test_words_are_those_of_the_field() -> None:
    files = list(python_files())
    assert len(files) > 500
    assert [line for file in files for line in violations(file)] == []


if __name__ == "__main__":
    found = [line for file in python_files(*sys.argv[1:]) for line in violations(file)]
    sys.exit("\n".join(found) or 0)
