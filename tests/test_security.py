"""What SECURITY.md promises: nothing that a file says is run, and nothing is sent or fetched unasked."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from faces import PORTRAIT, tracked

ROOT = Path(__file__).parents[1]
SOURCES = [ROOT / "inference.py", *(p for name in ("core", "benchmarks", "demos") for p in (ROOT / name).rglob("*.py"))]
# Modules that run what they read, or reach out of the machine, and the files that may use them all the same.
MODULES = {
    **dict.fromkeys(("pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "jsonpickle"), ()),
    **dict.fromkeys(("requests", "urllib", "http", "ftplib", "smtplib", "httpx", "aiohttp", "xmlrpc"), ()),
    "huggingface_hub": ("core/assets.py",),
    "socket": ("core/runtime/interrupt.py", "core/batch/cluster.py"),  # a pair within the process; whether Ray answers
    "ctypes": ("core/runtime/memory.py",),  # one function of the C library, by name
}
CALLS = {
    "eval": "runs a text",
    "exec": "runs a text",
    "compile": "runs a text",
    "__import__": "imports by a name that may come from a file",
    "os.system": "runs a shell",
    "os.popen": "runs a shell",
    "tempfile.mktemp": "names a file that another program can make first",
    "yaml.load": "makes objects",
    "yaml.load_all": "makes objects",
    "yaml.unsafe_load": "makes objects",
    "yaml.full_load": "makes objects",
    "torch.hub.load": "fetches and runs",
    "torch.jit.load": "runs what it reads",
    "torch.package.PackageImporter": "runs what it reads",
    "shutil.unpack_archive": "may write outside of its folder",
}


def faults(source: str, name: str = "core/x.py") -> list[str]:
    """What a source file does that it must not."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            for one in (part.split(".")[0] for part in module):
                if one in MODULES and name not in MODULES[one]:
                    found.append(f"{name}:{node.lineno} imports {one}")
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        last = called.rsplit(".", 1)[-1]
        wrong = CALLS.get(called)
        if called == "torch.load" and given.get("weights_only") != "True":
            wrong = "reads a pickle"
        if given.get("allow_pickle", "False") != "False" or given.get("weights_only", "True") != "True":
            wrong = "reads a pickle"
        if given.get("shell", "False") != "False":
            wrong = "runs a shell"
        if last in ("extractall", "extract"):
            wrong = "may write outside of its folder"
        if wrong:
            found.append(f"{name}:{node.lineno} {called} {wrong}")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_that_is_read_can_run(path):
    assert faults(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import urllib.request",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=safe)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "eval(text)",
        "subprocess.run(text, shell=True)",
        "zipfile.ZipFile(path).extractall(folder)",
    ],
)
def test_the_check_itself_finds_what_it_looks_for(source):
    assert len(faults(source)) == 1


def test_the_check_lets_the_safe_forms_pass():
    safe = (
        "torch.load(p, weights_only=True)\nnp.load(p)\nnp.load(p, allow_pickle=False)\nyaml.safe_load(t)\nre.compile(p)"
    )
    assert faults(safe) == []


WATCHED = """
import sys
seen = []
def watch(event, arguments):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "socket.gethostby", "socket.sendto", "socket.bind",
                         "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "ftplib.", "urllib.")):
        seen.append((event, str(arguments)[:200]))
        if event.startswith("socket."):
            raise OSError("the network is cut off")
sys.addaudithook(watch)
from inference import main
code = main(sys.argv[1:])
print("SEEN", [one for one in seen if one[0].startswith(("socket", "ftplib", "urllib"))])
sys.exit(code)
"""


def test_a_whole_run_asks_for_no_network(tmp_path):
    """With all improvements and nothing in the cache, in a process whose sockets are watched and cut off."""
    arguments = ["-i", PORTRAIT, "-d", tracked(tmp_path / "driver", 3), "-o", tmp_path / "out.mp4", "--enhanced"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    # Where the kernel allows it, C libraries are cut off too: a namespace of its own has no network at all.
    alone = ["unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        alone = []
    command = [*alone, sys.executable, "-c", WATCHED, *map(str, arguments)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "SEEN []" in done.stdout
    assert (tmp_path / "out.mp4").is_file()


def pins(path: Path) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9_.-]+)==([^\s\\+]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def test_the_lock_holds_what_is_required_and_a_hash_of_each():
    """Run `make lock` after a change of the requirements."""
    lock = ROOT / "requirements.lock"
    locked = pins(lock)
    for name in ("requirements.txt", "requirements-dev.txt"):
        wanted = pins(ROOT / name)
        assert {package: locked.get(package) for package in wanted} == wanted
    blocks = re.split(r"\n(?=[a-z0-9])", lock.read_text(encoding="utf-8"))
    assert all("--hash=sha256:" in block for block in blocks if "==" in block.split("\n")[0])
