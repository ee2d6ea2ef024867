from __future__ import annotations

import pytest

from deploykit import env

OWN = "proc/self/cgroup"
MOUNTS = "proc/self/mountinfo"


@pytest.fixture
def system(tmp_path):
    """A made /proc and /sys: files by their path."""

    def make(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return make


CPU_LIMITS = {
    "version 2, the root's": ({"sys/fs/cgroup/cpu.max": "150000 100000"}, 1.5),
    "version 2, none": ({"sys/fs/cgroup/cpu.max": "max 100000"}, None),
    "version 2, the own": ({OWN: "0::/a/b", "sys/fs/cgroup/a/b/cpu.max": "200000 100000"}, 2.0),
    "version 2, one above": ({OWN: "0::/a/b", "sys/fs/cgroup/a/cpu.max": "300000 100000",
                              "sys/fs/cgroup/a/b/cpu.max": "max 100000"}, 3.0),
    "the least of all": ({OWN: "0::/a/b", "sys/fs/cgroup/a/b/cpu.max": "200000 100000",
                          "sys/fs/cgroup/a/cpu.max": "50000 100000",
                          "sys/fs/cgroup/cpu.max": "400000 100000"}, 0.5),
    "another's is none": ({OWN: "0::/a", "sys/fs/cgroup/a/cpu.max": "max 100000",
                           "sys/fs/cgroup/b/cpu.max": "50000 100000"}, None),
    "version 1, the root's": ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "250000",
                               "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 2.5),
    "version 1, none": ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                         "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, None),
    "version 1, two controllers in one": (
        {OWN: "4:cpu,cpuacct:/job\n3:memory:/other",
         MOUNTS: "35 31 0:32 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
         "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "100000",
         "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000"}, 1.0),
    # The container sees its own group at the mount and the host's path in /proc/self/cgroup.
    "version 1, in a container": (
        {OWN: "4:cpu:/docker/c1/worker",
         MOUNTS: "35 31 0:32 /docker/c1 /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu",
         "sys/fs/cgroup/cpu/worker/cpu.cfs_quota_us": "20000",
         "sys/fs/cgroup/cpu/worker/cpu.cfs_period_us": "100000"}, 0.2),
    # Both versions at once: version 2 is mounted beside, with no controllers.
    "hybrid": ({OWN: "1:cpu:/job\n0::/",
                MOUNTS: "35 31 0:32 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
                "36 31 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
                "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "50000",
                "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000"}, 0.5),
    "mounted elsewhere": ({OWN: "0::/x", MOUNTS: "36 31 0:33 / /mnt/groups rw - cgroup2 cgroup2 rw",
                           "mnt/groups/x/cpu.max": "70000 100000"}, 0.7),
    "a group outside the namespace": ({OWN: "0::/../../other",
                                       "sys/fs/cgroup/cpu.max": "100000 100000"}, 1.0),
    "nothing at all": ({}, None),
    "nonsense": ({OWN: "x\n::\n", MOUNTS: "a - b\n", "sys/fs/cgroup/cpu.max": "0 x"}, None),
}  # fmt: skip


@pytest.mark.parametrize("case", CPU_LIMITS)
def test_the_least_limit_on_the_own_group_and_those_above_rules(system, case):
    files, cores = CPU_LIMITS[case]
    assert env.cpu_limit(system(files)) == cores


def test_the_memory_is_that_of_the_own_group_and_not_of_the_root(system):
    root = system({OWN: "0::/a/b", "sys/fs/cgroup/a/memory.max": "1073741824"})
    assert env.memory_limit_bytes(root) == 2**30
    system({"sys/fs/cgroup/a/b/memory.max": "536870912"})
    assert env.memory_limit_bytes(root) == 2**29


def test_the_older_version_limits_memory_as_well_and_its_largest_number_is_no_limit(system):
    name = "sys/fs/cgroup/memory/job/memory.limit_in_bytes"
    root = system({OWN: "4:memory:/job\n1:cpu:/", name: "9223372036854771712"})
    assert env.memory_limit_bytes(root) is None
    system({name: "268435456"})
    assert env.memory_limit_bytes(root) == 2**28


def test_throttling_is_that_of_the_own_group_and_those_above(system):
    root = system({OWN: "0::/a/b", "sys/fs/cgroup/cpu.stat": "usage_usec 5\n"})
    assert env.throttled_s(root) is None
    system({"sys/fs/cgroup/a/cpu.stat": "throttled_usec 500000\n"})
    system({"sys/fs/cgroup/a/b/cpu.stat": "nr_throttled 1\nthrottled_usec 2000000\n"})
    system({"sys/fs/cgroup/c/cpu.stat": "throttled_usec 9000000\n"})
    assert env.throttled_s(root) == 2.5


def test_the_older_version_tells_throttling_in_the_own_group(system):
    root = system({OWN: "1:cpu:/job", "sys/fs/cgroup/cpu/cpu.stat": "throttled_time 0\n"})
    system({"sys/fs/cgroup/cpu/job/cpu.stat": "nr_throttled 3\nthrottled_time 1500000000\n"})
    assert env.throttled_s(root) == 1.5


def test_the_memory_that_is_left_is_the_least_of_the_machine_and_all_groups(system):
    root = system({"proc/meminfo": "MemTotal: 900 kB\nMemAvailable: 700 kB\nSwapFree: 100 kB\n"})
    assert env.memory_left_bytes(root) == 800 * 1024
    system({OWN: "0::/a/b", "sys/fs/cgroup/a/memory.max": "500000",
            "sys/fs/cgroup/a/memory.current": "400000", "sys/fs/cgroup/a/b/memory.max": "max"})  # fmt: skip
    assert env.memory_left_bytes(root) == 100_000
    # What files hold and nobody uses is given back where it is needed.
    system({"sys/fs/cgroup/a/memory.stat": "anon 1\ninactive_file 50000\n"})
    assert env.memory_left_bytes(root) == 150_000
    job = "sys/fs/cgroup/memory/job/memory"
    system(
        {OWN: "3:memory:/job", f"{job}.limit_in_bytes": "90000", f"{job}.usage_in_bytes": "95000"}
    )
    assert env.memory_left_bytes(root) == 0


def test_a_machine_that_does_not_tell_what_is_left_refuses_nothing(system):
    assert env.memory_left_bytes(system({})) is None
