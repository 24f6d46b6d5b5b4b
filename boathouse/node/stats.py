"""What the kernel counted for the customer's container, from its cgroup files. Pure; the launcher reads the files.

Both generations are read: a machine has version 2 (memory.current...) or version 1 (memory/memory.usage_in_bytes...).
An engine does not always say that a process was killed for memory: `oom_kills` does.
"""

from __future__ import annotations

_ROOT = "/sys/fs/cgroup/"
#: Every file that may say something, for both versions. Those that are not there are answered as None.
FILES = {
    name: _ROOT + name
    for name in (
        "memory.current",
        "memory.max",
        "memory.peak",
        "memory.events",
        "cpu.stat",
        "pids.current",
        "memory/memory.usage_in_bytes",
        "memory/memory.limit_in_bytes",
        "memory/memory.max_usage_in_bytes",
        "memory/memory.oom_control",
        "cpuacct/cpuacct.usage",
        "pids/pids.current",
    )
}
#: Version 1 writes "no limit" as a number near 2**63.
_NO_LIMIT = 1 << 60


def _number(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isdigit() and len(text) < 20 else None


def _table(text: str | None, key: str) -> int | None:
    for line in (text or "").splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return _number(value)
    return None


def counters(read: dict) -> dict:
    """The counters from the files' texts (None: not there): bytes, microseconds of CPU, processes and threads.

    >>> counters({"memory.current": "10", "memory.max": "max", "memory.events": "oom 1\\noom_kill 2"})["oom_kills"]
    2
    """
    get = read.get
    if get("memory.current") is not None or get("cpu.stat") is not None:
        return {
            "version": 2,
            "memory_bytes": _number(get("memory.current")),
            "memory_peak_bytes": _number(get("memory.peak")),
            "memory_limit_bytes": _number(get("memory.max")),
            "oom_kills": _table(get("memory.events"), "oom_kill"),
            "cpu_usec": _table(get("cpu.stat"), "usage_usec"),
            "pids": _number(get("pids.current")),
        }
    limit = _number(get("memory/memory.limit_in_bytes"))
    nanoseconds = _number(get("cpuacct/cpuacct.usage"))
    return {
        "version": 1,
        "memory_bytes": _number(get("memory/memory.usage_in_bytes")),
        "memory_peak_bytes": _number(get("memory/memory.max_usage_in_bytes")),
        "memory_limit_bytes": None if limit is None or limit >= _NO_LIMIT else limit,
        "oom_kills": _table(get("memory/memory.oom_control"), "oom_kill"),
        "cpu_usec": None if nanoseconds is None else nanoseconds // 1000,
        "pids": _number(get("pids/pids.current")),
    }
