"""The control groups that this process runs in, its own and all above it, and the limits that they set.

Of version 1 and 2, read from /proc/self/cgroup and /proc/self/mountinfo; where these are missing, from the usual
places. A limit on a group holds for all below it, so that the least of all is the one that rules.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

_ROOT = Path("/")
_GROUPS = "sys/fs/cgroup"


def folders(controller: str, root: Path = _ROOT) -> list[Path]:
    """The folders of the groups that rule this process by `controller` ("cpu" or "memory"), the highest first.

    Args:
        controller: its name as the kernel writes it.
        root: where /proc and /sys lie.
    """
    own = _own_paths(controller, root)
    places = [
        (root / mount.lstrip("/"), inside, version)
        for mount, inside, version in _mounts(controller, root)
    ]
    # A container may hide its mounts; these are where they are everywhere. Folders that are not there say nothing.
    usual = root / _GROUPS
    places += [(usual, "/", 2), (usual / "unified", "/", 2), (usual / controller, "/", 1)]
    places += [(usual / "cpu,cpuacct", "/", 1)] * (controller == "cpu")
    found: dict[Path, None] = {}
    for mount, inside, version in places:
        for path in own[version] or ["/"]:
            parts = [part for part in _below(path, inside).parts if part not in ("/", "..")]
            for depth in range(len(parts) + 1):
                folder = mount.joinpath(*parts[:depth])
                if folder.is_dir():
                    found[folder] = None
    return list(found)


def cpu_limit(root: Path = _ROOT) -> float | None:
    """Cores' worth of time that the groups leave to this process; None without a limit."""
    limits = []
    for folder in folders("cpu", root):
        words = (_read(folder / "cpu.max") or "").split()
        if not words:
            words = [_read(folder / f"cpu.cfs_{name}_us") or "" for name in ("quota", "period")]
        # "max" and -1 are no limit.
        if len(words) == 2 and all(word.isdigit() and int(word) > 0 for word in words):
            limits.append(int(words[0]) / int(words[1]))
    return min(limits, default=None)


def memory_limit_bytes(root: Path = _ROOT) -> int | None:
    """Bytes that the groups leave to this process; None without a limit."""
    limits = []
    for folder in folders("memory", root):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _read(folder / name) or ""
            # "max" is no limit, and so is version 1's largest number of whole pages.
            if text.isdigit() and int(text) < 2**60:
                limits.append(int(text))
    return min(limits, default=None)


def throttled_s(root: Path = _ROOT) -> float | None:
    """Seconds in which a quota on the own group or one above held its threads back; None where none tells."""
    found: list[float] = []
    for folder in folders("cpu", root):
        for line in (_read(folder / "cpu.stat") or "").splitlines():
            name, _, value = line.partition(" ")
            if name in _STALLS and value.strip().isdigit():
                found.append(int(value) / _STALLS[name])
    # Each group counts its own quota alone.
    return sum(found) if found else None


#: What version 2 and 1 count it as, and how many of its units make a second.
_STALLS = {"throttled_usec": 1e6, "throttled_time": 1e9}


def _own_paths(controller: str, root: Path) -> dict[int, list[str]]:
    """The paths of the own groups as /proc/self/cgroup gives them, by version."""
    paths: dict[int, list[str]] = {1: [], 2: []}
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            paths[2].append(path or "/")
        elif controller in controllers.split(","):
            paths[1].append(path or "/")
    return paths


def _mounts(controller: str, root: Path) -> list[tuple[str, str, int]]:
    """Where hierarchies are mounted, which group is mounted there, and their version."""
    found = []
    for line in (_read(root / "proc/self/mountinfo") or "").splitlines():
        head, separator, tail = line.partition(" - ")
        fields, kind = head.split(), tail.split()
        if not separator or len(fields) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup2":
            found.append((fields[4], fields[3], 2))
        elif kind[0] == "cgroup" and controller in kind[2].split(","):
            found.append((fields[4], fields[3], 1))
    return found


def _below(path: str, inside: str) -> PurePosixPath:
    """A group's path as seen from the group that is mounted: a container sees only its own part."""
    own, mounted = PurePosixPath(path), PurePosixPath(inside)
    return own.relative_to(mounted) if own.is_relative_to(mounted) else own


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
