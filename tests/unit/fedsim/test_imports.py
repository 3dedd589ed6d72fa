"""No module imports itself at any distance: within a package neither, nor inside a function."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("fedsim", "adversaries")
    for path in (ROOT / package).rglob("*.py")
}


def imports_of(name: str) -> set[str]:
    """Return the modules of ours that a module imports when it runs; types alone do not count."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                found.add(inside if inside in MODULES else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {one for one in found if one in MODULES and one != name}


def test_there_is_no_circle() -> None:
    imports = {name: imports_of(name) for name in MODULES}
    # What imports nothing that is left is taken away until nothing goes: then circles are left.
    while free := {name for name, needed in imports.items() if not needed & imports.keys()}:
        imports = {name: needed for name, needed in imports.items() if name not in free}
    assert imports == {}
