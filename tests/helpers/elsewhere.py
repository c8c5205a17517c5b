"""A system that is not POSIX, as far as Linux can play it: what
Windows lacks is hidden, and files behave as they do there.

Run it: python tests/helpers/elsewhere.py FOLDER. It trains, resumes, draws, reads pictures
and measures, all in FOLDER, and prints the exit code of each command as JSON.
Hidden are the modules and the attributes of `os` and `signal` that Python's manual
marks "not Windows", from ganzoo and its plugins alone; no folder can be opened,
and no file that is open or mapped into memory can be renamed, replaced or deleted.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import shutil
import signal
import sys
import types
from pathlib import Path
from typing import Any

MODULES = ("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty")
OS = {
    "CLD_EXITED", "F_LOCK", "O_ASYNC", "O_CLOEXEC", "O_DIRECTORY", "O_DSYNC", "O_NOCTTY",
    "O_NOFOLLOW", "O_NONBLOCK", "O_PATH", "O_SYNC", "O_TMPFILE", "chown", "chroot", "confstr",
    "copy_file_range", "ctermid", "fchdir", "fchown", "fdatasync", "fork", "forkpty", "fpathconf",
    "fstatvfs", "fwalk", "getegid", "geteuid", "getgid", "getgroups", "getloadavg", "getpgid",
    "getpriority", "getrandom", "getresuid", "getsid", "getuid", "getxattr", "killpg", "lchown",
    "listxattr", "lockf", "major", "makedev", "memfd_create", "mkfifo", "mknod", "nice", "openpty",
    "pathconf", "pidfd_open", "pipe2", "posix_fadvise", "posix_fallocate", "posix_spawn", "pread",
    "preadv", "pwrite", "register_at_fork", "removexattr", "sched_getaffinity", "sched_setaffinity",
    "sched_yield", "sendfile", "setgid", "setpriority", "setsid", "setuid", "setxattr", "splice",
    "statvfs", "sync", "sysconf", "tcgetpgrp", "ttyname", "uname", "wait", "wait4", "waitid",
    "writev",
}  # fmt: skip
SIGNALS = {
    "ITIMER_REAL", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGIO", "SIGKILL",
    "SIGPIPE", "SIGPROF", "SIGQUIT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGUSR1",
    "SIGUSR2", "SIGWINCH", "SIGXCPU", "alarm", "getitimer", "pause", "pthread_kill",
    "pthread_sigmask", "setitimer", "siginterrupt", "sigpending", "sigtimedwait", "sigwait",
}  # fmt: skip
THEIRS = (
    "click", "filelock", "numpy", "PIL", "platformdirs.unix", "pydantic", "rich.progress",
    "safetensors.torch", "sklearn.datasets", "tomlkit", "torch", "torch._inductor.config",
    "torch.profiler", "torchvision.datasets",
)  # fmt: skip


def hide() -> None:
    """From here on, what is imported anew finds neither the
    modules nor the attributes. Call it before ganzoo is imported.
    """
    for name in THEIRS:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    shutil._use_fd_functions = False  # shutil.rmtree takes its other way, as on Windows
    _without_open_folders()
    for name in ("replace", "rename", "unlink", "remove"):
        setattr(os, name, _unless_held(getattr(os, name)))
    for module, names in ((os, OS), (signal, SIGNALS)):
        poor = types.ModuleType(module.__name__)
        poor.__dict__.update({k: v for k, v in vars(module).items() if k not in names})
        if module is os:
            poor.supports_dir_fd = poor.supports_fd = set()
        sys.modules[module.__name__] = poor
    for name in MODULES:
        sys.modules[name] = None


def _without_open_folders() -> None:
    plain = os.open

    def refuses(path: Any, *arguments: Any, **options: Any) -> int:
        if not isinstance(path, int) and Path(os.fsdecode(path)).is_dir():
            raise PermissionError(13, "Permission denied", os.fsdecode(path))
        return plain(path, *arguments, **options)

    os.open = refuses


def _unless_held(function: Any) -> Any:
    """The function, refused for paths that this process has open or mapped."""

    def careful(*paths: Any, **options: Any) -> Any:
        held = _held()
        for path in paths:
            full = os.path.realpath(os.fsdecode(path))
            if any(name == full or name.startswith(full + os.sep) for name in held):
                raise PermissionError(13, "The process cannot access the file", str(path))
        return function(*paths, **options)

    return careful


def _held() -> set[str]:
    """Files that are open or mapped here."""
    found = set()
    for handle in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(str(handle.readlink()))
    maps = Path("/proc/self/maps").read_text().splitlines()
    return found | {line.split(maxsplit=5)[5] for line in maps if line.count("/")}


def main(folder: Path) -> None:
    """Every command that a first hour has, with the exit code and the last words of each."""
    os.environ["GANZOO_CACHE"] = str(folder / "cache")
    hide()
    from ganzoo.cli import run

    pictures = folder / "pictures"
    pictures.mkdir()
    from PIL import Image

    for i in range(20):
        Image.new("RGB", (16, 16), (9 * i, 0, 0)).save(pictures / f"{i}.png")
    runs, small = (
        folder / "runs",
        ["--set", "gen.width=8", "--set", "disc.width=8", "--batch-size=8"],
    )
    first, second = runs / "0001-digits-dcgan-nonsat-gp", runs / "0002-pictures-dcgan-nonsat"
    commands: list[list[Any]] = [
        ["train", "--loss", "nonsat", "--reg", "gp", *small, "--images", "96", "--out", runs,
         "--set", "checkpoint.images=32"],
        ["train", "--resume", first, "--images", "160"],
        ["train", "--data", pictures, *small, "--images", "32", "--out", runs],
        ["train", "--resume", second, "--images", "64"],
        ["generate", first, "--out", folder / "grid.png"],
        ["generate", second / "generator.safetensors", "--count", "3", "--out", folder / "drawn"],
        ["data", "inspect", pictures],
        ["bench", "--data", "ring", "--gen", "mlp", "--engines", "eager", "--seconds", "0.1"],
        ["list"], ["info", "gp"],
    ]  # fmt: skip
    codes = {}
    for command in commands:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run([str(word) for word in command])
        codes[" ".join(map(str, command[:4]))] = [code, err.getvalue()[-600:] if code else ""]
    print(json.dumps(codes))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
