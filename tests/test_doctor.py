"""The doctor's checks on the facts of many machines, and for real on this one."""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bodega
from bodega.doctor import check
from bodega.doctor import checks as c
from bodega.findings import Finding
from bodega.memory import cgroups
from bodega.memory.capabilities import Capabilities
from bodega.memory.cgroups import MemoryLimit, memory_groups
from bodega.memory.filesystems import FileSystem
from bodega.texts import install

GIB = 2**30
SHM = FileSystem("tmpfs", "/dev/shm", ("rw", "size=8g"), "tmpfs")
DISK = FileSystem("ext4", "/", ("rw",), "/dev/vda")
ROOMY = c.Space(8 * GIB, 7 * GIB, 1_000_000, 999_000)


def with_options(*options: str) -> FileSystem:
    return SHM._replace(options=options)


def only(findings: list[Finding], name: str) -> Finding:
    (finding,) = (finding for finding in findings if finding.code == name)
    return finding


# --- the root ---


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    bodega.open(path)
    return path


def test_a_root_of_ones_own_is_ok(root: Path) -> None:
    assert c.check_root(root, os.getuid()).level == "ok"


def test_a_root_that_is_not_there_yet_is_ok(tmp_path: Path) -> None:
    assert c.check_root(tmp_path / "later", os.getuid()).level == "ok"


def test_a_root_that_others_can_enter_is_an_error(root: Path) -> None:
    root.chmod(0o750)
    finding = c.check_root(root, os.getuid())
    assert (finding.level, finding.remedy) == ("error", f"chmod 0700 {root}")
    assert "0750" in finding.message


def test_no_remedy_changes_the_mode_of_a_folder_that_is_no_store(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for name in ("empty", "precious"):
        finding = c.check_root(tmp_path, os.getuid())
        assert (finding.level, finding.remedy) == ("error", c.NEW_ROOT)
        (tmp_path / name).touch()
    assert "precious" in c.check_root(tmp_path, os.getuid()).message


def test_a_root_of_another_user_is_an_error(root: Path) -> None:
    finding = c.check_root(root, os.getuid() + 1)
    assert finding.level == "error"
    assert f"belongs to another user (uid {os.getuid()}" in finding.message


def test_a_file_and_a_dangling_link_are_errors(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.touch()
    link.symlink_to(tmp_path / "nowhere")
    assert [c.check_root(path, os.getuid()).level for path in (file, link)] == ["error", "error"]


# --- the file system ---


def test_a_roomy_tmpfs_is_ok() -> None:
    assert {finding.level for finding in c.check_filesystem(SHM, ROOMY)} == {"ok"}


@pytest.mark.parametrize(
    ("filesystem", "level", "word"),
    [
        (FileSystem("nfs4", "/home", ("rw",), "server:/home"), "error", "network"),
        (with_options("ro"), "error", "read-only"),
        (DISK, "note", "disk"),
        (FileSystem("ramfs", "/ram", ("rw",), "ramfs"), "warning", "no size"),
    ],
)
def test_other_file_systems_are_found(
    monkeypatch: pytest.MonkeyPatch, filesystem: FileSystem, level: str, word: str
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    finding = only(list(c.check_filesystem(filesystem, ROOMY)), "file system")
    assert finding.level == level
    assert word in finding.message
    assert finding.remedy


def test_the_64_mib_of_a_container_are_found() -> None:
    space = c.Space(64 * 2**20, 64 * 2**20, 1_000_000, 999_000)
    finding = only(list(c.check_filesystem(SHM, space)), "space")
    assert finding.level == "warning"
    assert "64 MiB" in finding.message
    assert "--shm-size=8g" in finding.remedy


def test_little_space_few_files_and_no_size_are_found() -> None:
    full = list(c.check_filesystem(SHM, c.Space(8 * GIB, GIB // 2, 1_000_000, 10)))
    assert only(full, "space").level == "warning"
    assert "bodega sweep" in only(full, "space").remedy
    assert only(full, "files").remedy == "sudo mount -o remount,nr_inodes=1m /dev/shm"
    endless = only(list(c.check_filesystem(SHM, c.Space(0, 0, 0, 0))), "space")
    assert endless.remedy == "sudo mount -o remount,size=50% /dev/shm"


def test_remedies_quote_mount_points() -> None:
    odd = SHM._replace(mount_point="/mnt/my data", options=("ro",))
    assert only(list(c.check_filesystem(odd, ROOMY)), "file system").remedy == "sudo mount -o remount,rw '/mnt/my data'"


# --- memory ---

NEVER = "always within_size advise [never] deny force\n"


@pytest.mark.parametrize(
    ("text", "options", "level"),
    [
        (NEVER, ("rw",), "note"),
        (NEVER, ("rw", "huge=never"), "note"),
        (NEVER, ("rw", "huge=advise"), "note"),
        (NEVER, ("rw", "huge=within_size"), "ok"),
        (NEVER, ("rw", "huge=always"), "ok"),
        ("always within_size advise never [deny] force\n", ("rw", "huge=always"), "note"),
        ("always within_size advise never deny [force]\n", ("rw",), "ok"),
        ("[always] within_size advise never deny force\n", ("rw",), "note"),
        ("", ("rw",), "ok"),
    ],
)
def test_huge_pages_depend_on_the_mount_unless_denied_or_forced(
    text: str, options: tuple[str, ...], level: str
) -> None:
    finding = c.check_huge_pages(text, with_options(*options))
    assert finding.level == level
    if level == "note":
        assert finding.remedy.endswith("sudo mount -o remount,huge=within_size /dev/shm")


def test_swap_is_found_unless_the_mount_forbids_it() -> None:
    swaps = "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2  partition\t8388604\t0\t-2\n"
    finding = c.check_swap(swaps, SHM)
    assert finding.level == "note"
    assert "/dev/sda2" in finding.message
    assert "noswap" in finding.remedy
    assert c.check_swap(swaps, with_options("rw", "noswap")).level == "ok"
    assert c.check_swap(swaps.splitlines()[0], SHM).level == "ok"
    assert c.check_swap("", SHM).level == "ok"


def test_a_limit_below_the_file_system_is_found() -> None:
    finding = c.check_memory_limit(MemoryLimit("/g", 2 * GIB, GIB), SHM, ROOMY)
    assert finding.level == "warning"
    assert "2 GiB" in finding.message
    assert finding.remedy == "sudo mount -o remount,size=1024m /dev/shm"


def test_a_limit_that_is_reached_is_found() -> None:
    finding = c.check_memory_limit(MemoryLimit("/g", 2 * GIB, 2 * GIB - 1), SHM, ROOMY)
    assert (finding.level, finding.remedy) == ("warning", "docker run --memory=4096m IMAGE")


def test_limits_that_do_not_matter_are_ok() -> None:
    assert c.check_memory_limit(None, SHM, ROOMY).level == "ok"
    assert c.check_memory_limit(MemoryLimit("/g", 2 * GIB, 0), DISK, ROOMY).level == "ok"
    assert c.check_memory_limit(MemoryLimit("/g", 16 * GIB, 0), SHM, ROOMY).level == "ok"


def test_a_tmpfs_as_large_as_the_machine_is_found() -> None:
    assert c.check_machine_memory(8 * GIB, SHM, ROOMY).remedy == "sudo mount -o remount,size=50% /dev/shm"
    assert c.check_machine_memory(16 * GIB, SHM, ROOMY).level == "ok"
    assert c.check_machine_memory(8 * GIB, DISK, ROOMY).level == "ok"


def make_group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_groups_of_version_2_are_found_up_to_the_top(tmp_path: Path) -> None:
    assert memory_groups("0::/user.slice/a:b\n", tmp_path) == [
        tmp_path / "user.slice/a:b",
        tmp_path / "user.slice",
        tmp_path,
    ]


def test_groups_of_version_1_are_those_of_the_memory_controller(tmp_path: Path) -> None:
    table = "9:name=systemd:/x\n4:cpu,memory:/docker/abc\n3:cpuset:/\n"
    memory = tmp_path / "memory"
    assert memory_groups(table, tmp_path) == [memory / "docker/abc", memory / "docker", memory]


def test_the_tightest_ancestor_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = "anon 5\ninactive_file 40\n"
    make_group(tmp_path / "a/b", memory__max="max\n", memory__current="50\n", memory__stat=stat)
    make_group(tmp_path / "a", memory__max="1000\n", memory__current="100\n", memory__stat=stat)
    assert limit_of("0::/a/b\n", tmp_path, monkeypatch) == MemoryLimit(str(tmp_path / "a"), 1000, 60)


def test_a_container_of_version_1_sees_its_limit_at_its_top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_group(
        tmp_path / "memory",
        memory__limit_in_bytes="1000\n",
        memory__usage_in_bytes="100\n",
        memory__stat="inactive_file 1\ntotal_inactive_file 20\n",
    )
    table = "4:memory:/docker/abc\n0::/\n"
    assert limit_of(table, tmp_path, monkeypatch) == MemoryLimit(str(tmp_path / "memory"), 1000, 80)


def test_no_limit_of_either_version_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_group(
        tmp_path / "memory",
        memory__limit_in_bytes="9223372036854771712\n",
        memory__usage_in_bytes="100\n",
        memory__stat="total_inactive_file 20\n",
    )
    make_group(tmp_path, memory__max="max\n", memory__current="1\n", memory__stat="inactive_file 0\n")
    assert limit_of("4:memory:/\n0::/\n", tmp_path, monkeypatch) is None


def limit_of(table: str, mount: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryLimit | None:
    monkeypatch.setattr(cgroups, "memory_groups", lambda _: memory_groups(table, mount))
    return cgroups.memory_limit()


# --- limits, libraries and the rest ---


def test_descriptors_matter_more_where_each_object_takes_one() -> None:
    assert c.check_descriptors(1024, 4096, one_per_object=False).level == "ok"
    assert c.check_descriptors(64, 4096, one_per_object=False).remedy == "ulimit -n 256"
    assert c.check_descriptors(1024, 4096, one_per_object=True).remedy == "ulimit -n 4096"
    unlimited = resource.RLIM_INFINITY
    assert c.check_descriptors(1024, unlimited, one_per_object=True).remedy == "ulimit -n 65536"
    assert c.check_descriptors(unlimited, unlimited, one_per_object=True).level == "ok"


def test_kernel_limits() -> None:
    assert c.check_map_count(65_530).level == "ok"
    assert c.check_map_count(1000).remedy == "sudo sysctl -w vm.max_map_count=262144"
    assert [c.check_overcommit(mode).level for mode in ("0\n", "1\n", "2\n")] == ["ok", "ok", "warning"]
    assert c.check_process_limit("data size", "why", "d", resource.RLIM_INFINITY).level == "ok"
    finding = c.check_process_limit("data size", "why", "d", GIB)
    assert (finding.message, finding.remedy) == ("1 GiB: why.", "ulimit -S -d unlimited")


@pytest.mark.parametrize(
    ("texts", "user", "lingers", "level"),
    [
        ([], 1000, False, "note"),
        (["[Login]\n#RemoveIPC=no\n"], 1000, False, "note"),
        (["[Login]\nRemoveIPC=no\n"], 1000, False, "ok"),
        (["[Login]\nRemoveIPC=no\n", "[Login]\nRemoveIPC=yes\n"], 1000, False, "note"),
        ([], 0, False, "ok"),
        ([], 1000, True, "ok"),
    ],
)
def test_what_log_out_removes_is_found(texts: list[str], user: int, *, lingers: bool, level: str) -> None:
    assert c.check_logout(texts, SHM, user, lingers=lingers).level == level


def test_log_out_removes_nothing_elsewhere() -> None:
    assert c.check_logout([], DISK, 1000, lingers=False).level == "ok"


def test_platforms_and_pythons() -> None:
    assert c.check_platform("linux", "6.1", "x86_64").level == "ok"
    assert c.check_platform("darwin", "24", "arm64").level == "note"
    assert c.check_platform("win32", "11", "AMD64") == Finding(
        "error", "platform", "A store needs Linux or macOS, not win32.", "wsl --install"
    )
    assert c.check_python((3, 11)).level == "ok"
    assert c.check_python((3, 10)).level == "note"
    assert c.check_python((3, 99)).remedy == "uv venv --python 3.13"


def test_libraries_that_are_missing_or_too_old_are_found() -> None:
    requirements = [
        "click>=8.1", "numpy>=999", "pytest>=999; extra == 'x'", "no-such-library>=1.2; extra == 'x'",
        "only-for-figures>=1; extra == 'bench'", "only-for-plots>=1; extra == 'demo'",
    ]  # fmt: skip
    found = {finding.code: finding for finding in c.check_libraries(requirements)}
    assert {name: finding.level for name, finding in found.items()} == {
        "click": "ok",
        "numpy": "error",
        "pytest": "warning",
        "no-such-library": "note",
    }
    assert found["no-such-library"].remedy == install("no-such-library>=1.2")


@pytest.mark.parametrize("there", [("pip", "uv"), ("pip",), ("uv",), ()])
def test_libraries_are_installed_with_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...]
) -> None:
    """Real folders of modules and programs: one Python has pip, another only uv, another neither."""
    (tmp_path / "pip.py").touch()
    (tmp_path / "uv").touch(mode=0o700)
    monkeypatch.delitem(sys.modules, "pip", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)] if "pip" in there else [])
    monkeypatch.setenv("PATH", str(tmp_path) if "uv" in there else "")
    python = shlex.quote(sys.executable)
    pip = f"{python} -m pip install 'x>=1'"
    expected = {("uv",): f"uv pip install --python {python} 'x>=1'", (): f"{python} -m ensurepip && {pip}"}
    assert install("x>=1") == expected.get(there, pip)


def test_versions_compare_by_number() -> None:
    assert c._release("10.2.1rc1") > c._release("9.9")
    assert c._release("2.0.0+cu121") == (2, 0, 0)


def test_lacking_features_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BODEGA_WITHOUT", raising=False)
    assert c.check_capabilities(Capabilities(True, True, True, False, True)).level == "ok"
    finding = c.check_capabilities(Capabilities())
    assert finding.level == "note"
    assert "O_TMPFILE" in finding.message
    monkeypatch.setenv("BODEGA_WITHOUT", "all")
    assert c.check_capabilities(Capabilities()).remedy == "unset BODEGA_WITHOUT"


# --- this machine ---


def test_this_machine_has_no_errors_and_every_finding_a_remedy(root: Path) -> None:
    before = sorted(root.rglob("*"))
    findings = check(root)
    assert not [finding for finding in findings if finding.level == "error"]
    assert all(finding.remedy or finding.level == "ok" for finding in findings)
    assert only(findings, "permissions").level == "ok"
    assert sorted(root.rglob("*")) == before


def test_a_root_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    findings = check(tmp_path / "a" / "b")
    assert only(findings, "permissions").level == "ok"
    assert list(tmp_path.iterdir()) == []


def test_leftovers_are_found(root: Path) -> None:
    (root / "tmp" / "left").touch()
    finding = only(check(root), "store")
    assert (finding.level, finding.remedy) == ("note", f"bodega sweep --root {root}")


def test_a_damaged_root_is_an_error(root: Path) -> None:
    (root / "bodega-root.json").write_text("{")
    finding = only(check(root), "store")
    assert finding.level == "error"
    assert "damaged" in finding.message


def test_files_of_the_system_that_are_not_there_are_no_finding(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bodega.doctor.machine._text", lambda _: None)
    monkeypatch.setattr("bodega.doctor.machine.memory_limit", lambda: None)
    assert {"mappings", "overcommit", "swap"}.isdisjoint(finding.code for finding in check(root))


def test_a_lower_limit_of_this_process_is_found(root: Path) -> None:
    code = (
        "import resource, sys; from bodega.doctor import check;"
        "resource.setrlimit(resource.RLIMIT_DATA, (2**30, 2**30)); resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100));"
        "print([f.code for f in check(sys.argv[1]) if f.level == 'warning'])"
    )
    done = subprocess.run([sys.executable, "-c", code, root], capture_output=True, text=True, check=True)
    assert "'open files'" in done.stdout
    assert "'data size'" in done.stdout


# --- tiers ---


def paste(remedy: str) -> None:
    """Do what a finding says."""
    words = shlex.split(remedy)
    assert words[0] == "bodega"
    subprocess.run([sys.executable, "-m", *words], check=True, capture_output=True)


def test_the_lower_tiers_of_a_root_are_looked_at(tmp_path: Path) -> None:
    store = bodega.open(tmp_path / "my root", spill=tmp_path / "below")
    store.put("x", 1, persist=True)
    assert only(check(store.root), "tiers").level == "ok"
    shutil.rmtree(tmp_path / "below")
    finding = only(check(store.root), "tiers")
    assert (finding.level, finding.remedy) == ("error", f"bodega settings --forget --root '{store.root}'")
    assert f"{tmp_path / 'below'} is gone" in finding.message
    paste(finding.remedy)
    assert [each.code for each in check(store.root) if each.level == "error"] == []
    assert bodega.open(store.root)["x"] == 1


def test_a_lower_tier_that_others_can_enter_is_found(tmp_path: Path) -> None:
    store = bodega.open(tmp_path / "root", spill=tmp_path / "below")
    (tmp_path / "below").chmod(0o755)
    finding = only(check(store.root), "tiers")
    assert finding.level == "error"
    assert "cannot be a lower tier" in finding.message
    assert f"chmod 700 {tmp_path / 'below'}" in finding.message


def test_settings_that_are_damaged_are_forgotten_by_the_remedy(tmp_path: Path) -> None:
    store = bodega.open(tmp_path / "root", capacity="8MiB")
    (tmp_path / "root" / "store.json").write_text("{")
    finding = only(check(store.root), "tiers")
    assert finding.level == "error"
    paste(finding.remedy)
    assert not [each for each in check(store.root) if each.code == "tiers"]
