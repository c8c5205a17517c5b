"""Two machines that are namespaces of this one, with a cable between them that can be cut."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil

TOOLS = ("ip", "nsenter", "unshare", "hostname")
NAMES = ("ant", "bee")  # of the machines
ADDRESSES = ("10.213.77.1", "10.213.77.2")
CABLE = "cable0"  # as both machines call their end
# How often a packet is sent again before a connection is given up. With Linux' own 15 times the
# torchrun of the machine that is cut off stands still for minutes.
RETRIES = "echo 5 > /proc/sys/net/ipv4/tcp_retries2"
MINUTES = 15  # after which a machine ends by itself, whatever became of who made it


def missing():
    """Why there can be no such machines here, or nothing."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux, which alone makes network namespaces"
    if tools := [name for name in TOOLS if shutil.which(name) is None]:
        return f"needs the command {tools[0]}"
    done = subprocess.run(["unshare", "--net", "--uts", "true"], capture_output=True, check=False)
    return "this machine lets root make no network namespaces" if done.returncode else ""


def call(*words):
    subprocess.run([*map(str, words)], check=True, timeout=30)


class Machine:
    """A namespace with a name, an address, and what runs in it."""

    def __init__(self, number):
        self.number, self.name, self.address = number, NAMES[number], ADDRESSES[number]
        line = f"hostname {self.name} && exec sleep {60 * MINUTES}"
        self.holder = subprocess.Popen(["unshare", "--net", "--uts", "sh", "-c", line])
        self.started = []

    def within(self, *words):
        """The command line that runs these words on the machine."""
        place = f"--target={self.holder.pid}"
        return ["nsenter", place, "--net", "--uts", *map(str, words)]

    def set_cable(self, state):
        call(*self.within("ip", "link", "set", CABLE, state))

    def torchrun(self, folder, *flags, nodes="2", restarts=0, **environment):
        """Its part of a job that both run, one rank each; they meet at the first machine."""
        conf = f"is_host={int(self.number == 0)},join_timeout=60,read_timeout=10"
        launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", nodes]
        launcher += ["--nproc-per-node", "1", "--max-restarts", restarts, "--rdzv-id", "two"]
        launcher += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{ADDRESSES[0]}:29400"]
        launcher += ["--local-addr", self.address, "--rdzv-conf", conf]
        process = subprocess.Popen(
            self.within(*launcher, "-m", "ganzoo", "train", *flags),
            cwd=folder,
            env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": CABLE} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def processes(self):
        """The processes in its namespace, but for the one that holds it."""
        own = Path(f"/proc/{self.holder.pid}/ns/net").readlink()
        found = []
        for process in psutil.process_iter(["pid"]):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{process.pid}/ns/net").readlink() == own:
                    found.append(process.pid)
        return [pid for pid in found if pid != self.holder.pid]

    def end(self):
        """Kill what runs there still; the namespace goes with its holder."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        for process in (*self.started, self.holder):
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def named(machine):
    return subprocess.check_output(machine.within("hostname"), text=True).strip() == machine.name


@contextlib.contextmanager
def two_machines():
    """Both, with the cable between them; nothing is left of them."""
    machines = []
    try:
        machines += [Machine(0)]
        machines += [Machine(1)]
        until = time.monotonic() + 10
        while not all(named(machine) for machine in machines):
            assert time.monotonic() < until
            time.sleep(0.05)
        ends = [f"gz{os.getpid()}{letter}" for letter in "ab"]
        call("ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for machine, end in zip(machines, ends, strict=True):
            call("ip", "link", "set", end, "netns", machine.holder.pid, "name", CABLE)
            place = machine.within("ip", "addr", "add", f"{machine.address}/30", "dev", CABLE)
            call(*place)
            call(*machine.within("ip", "link", "set", "lo", "up"))
            call(*machine.within("sh", "-c", RETRIES))
            machine.set_cable("up")
        yield machines
    finally:
        for machine in machines:
            machine.end()
