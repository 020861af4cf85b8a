"""What is put in place while packages are installed goes away again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_HOLD = """
import sys, time
from pathlib import Path
from tools.packages import temporary_file, undone_when_terminated
with undone_when_terminated(), temporary_file(Path(sys.argv[1]), "text"):
    print(Path(sys.argv[1]).read_text(), flush=True)
    time.sleep(60)
"""


def test_a_run_that_is_terminated_leaves_nothing(tmp_path: Path) -> None:
    """SIGTERM in the middle of an installation removes the policy and the directories made for it."""
    path = tmp_path / "new" / "policy"
    with subprocess.Popen([sys.executable, "-c", _HOLD, path], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "text\n"
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []
