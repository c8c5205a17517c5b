"""A fresh environment to install things in, without
a network and without copying what this one has.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Published data sets, which a machine may lack; what tests must have, made.py makes.
REAL = Path(os.environ.get("GANZOO_DATA") or ROOT.parent / "shared" / "data")
OTHERS = Path(__file__).parents[1] / "third_party"
# The false is pip's: it sets "build isolation", whatever the option is called.
OFFLINE = (
    "[global]\nno-index = true\nno-deps = true\nno-build-isolation = "
    "false\ndisable-pip-version-check = true\n"
)


def build_wheel(folder):
    """Build the sdist of this checkout, and the wheel from it, into the folder."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


class Environment:
    """A virtual environment that sees what this one
    has installed, except ganzoo and its plugins.
    """

    def __init__(self, folder):
        self.folder, self.work = folder / "venv", folder / "work"
        venv.create(self.folder, with_pip=False)
        self.work.mkdir()
        links = folder / "links"
        links.mkdir()
        for site in map(Path, sys.path):
            if site.name in ("site-packages", "dist-packages"):
                for entry in site.iterdir():
                    if "ganzoo" not in entry.name and not (links / entry.name).exists():
                        (links / entry.name).symlink_to(entry)
        site = next(self.folder.glob("lib/python*/site-packages"))
        (site / "links.pth").write_text(f"{links}\n")
        (self.folder / "pip.conf").write_text(
            OFFLINE
        )  # for `ganzoo install`, which runs the pip of this environment

    def run(self, *command, code=0):
        """Run a command of the environment in an empty
        folder; its exit code must be the one given.
        """
        kept = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("PYTHON", "GANZOO", "PIP_", "VIRTUAL_ENV"))
        }
        program = self.folder / "bin" / command[0]
        done = subprocess.run(
            [str(program), *map(str, command[1:])],
            capture_output=True,
            text=True,
            cwd=self.work,
            env={**kept, "PYTHONNOUSERSITE": "1", "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == code, (
            f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done

    def pip(self, *arguments):
        """This environment's pip, at work in the other."""
        command = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            self.folder / "bin" / "python",
            *arguments,
        ]
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, cwd=self.work
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def install(self, project):
        """Install another's project from its source."""
        source = self.work.parent / project
        shutil.copytree(OTHERS / project, source)
        self.pip("install", "--no-deps", "--no-index", "--no-build-isolation", source)
        return source

    def parts(self):
        """What `ganzoo list --json` shows, by kind and name."""
        return {
            (c["kind"], c["name"]): c
            for c in json.loads(self.run("ganzoo", "list", "--json").stdout)
        }
