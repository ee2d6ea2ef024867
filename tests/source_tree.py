"""The package's source as syntax trees, for tests of how it is put together; nothing of it is imported."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "deploykit"


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package: dotted name to its tree."""
    return {module_name(path): parsed(path) for path in sorted(PACKAGE.rglob("*.py"))}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def is_package(name: str) -> bool:
    return (ROOT / Path(*name.split(".")) / "__init__.py").is_file()


def base_of(module: str, node: ast.ImportFrom) -> str:
    """The module that a `from … import` names, in full."""
    if not node.level:
        return node.module or ""
    parts = module.split(".") if is_package(module) else module.split(".")[:-1]
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, *([node.module] if node.module else [])])


def imported(module: str, node: ast.AST) -> list[str]:
    """What an import statement of a module names: modules, and the names in them, as dotted names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = base_of(module, node)
        return [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return []


def strings(tree: ast.AST) -> set[str]:
    """All string constants, docstrings among them."""
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def imports_in_functions(tree: ast.AST) -> list[ast.Import | ast.ImportFrom]:
    """The import statements inside functions and methods."""
    inside = (
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    )
    return list(dict.fromkeys(inside))
