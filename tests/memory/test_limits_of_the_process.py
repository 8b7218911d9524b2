from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest


@pytest.mark.parametrize("limit", ["RLIMIT_FSIZE", "RLIMIT_AS"])
def test_a_limit_of_the_process_is_not_called_missing_locks(tmp_path, limit):
    code = f"""
        import resource
        from bodega.errors import RootError
        from bodega.memory.root import open_root
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        most = 0 if {limit!r} == "RLIMIT_FSIZE" else used
        resource.setrlimit(resource.{limit}, (most, most))
        try:
            open_root({str(tmp_path / "root")!r})
        except (RootError, MemoryError) as error:
            assert "flock" not in str(error), error
            assert isinstance(error, MemoryError) or "ulimit" in str(error), error
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=300)
