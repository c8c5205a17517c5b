"""A page in a real Chromium without a window, spoken to over a pipe (the DevTools protocol)."""

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import time

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
FOUND = next((path for name in NAMES if (path := shutil.which(name))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",  # as root there is none; it opens nothing but our own page
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)
PATIENCE = 60.0  # seconds for one answer; the machine may be busy


class Page:
    """One open page. said: what its console and log said, errors and refusals of its policy among
    it. asked: every address that it asked for.
    """

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from, self._rest = to_browser, from_browser, b""
        self._numbers, self._session = itertools.count(1), None
        self.said, self.asked, self._events = [], [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        """The browser's answer to a call."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == number:
                assert "error" not in found, f"{method}: {found['error']}"
                return found["result"]

    def _next(self):
        """The next message; events are noted."""
        until = time.monotonic() + PATIENCE
        while b"\0" not in self._rest:
            ready = select.select([self._from], [], [], max(until - time.monotonic(), 0))[0]
            assert ready, "the browser does not answer"
            piece = os.read(self._from, 1 << 20)
            assert piece, "the browser is gone"
            self._rest += piece
        text, _, self._rest = self._rest.partition(b"\0")
        found = json.loads(text)
        self._note(found.get("method", ""), found.get("params", {}))
        return found

    def _note(self, method, told):
        self._events.append(method)
        if method == "Runtime.consoleAPICalled":
            self.said.append(f"console {told['type']}: {told['args']}")
        elif method == "Runtime.exceptionThrown":
            self.said.append(f"exception: {told['exceptionDetails']}")
        elif method == "Log.entryAdded":
            self.said.append(f"{told['entry']['source']}: {told['entry']['text']}")
        elif method == "Network.requestWillBeSent":
            self.asked.append(told["request"]["url"])

    def until(self, holds):
        """Wait for what a busy machine draws late."""
        until = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < until, "it never came"
            time.sleep(0.1)

    def open(self, path, width=1200, height=900, dark=False, phone=False):
        """Show a file, whole."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}  # else it scrolls for a while
        self.call("Emulation.setEmulatedMedia", features=[scheme, still])
        self._events.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        while "Page.loadEventFired" not in self._events:
            self._next()
        # Until the charts have their size: two frames.
        self.value("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")

    def value(self, script):
        """What an expression gives in the page."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key, code=0):
        """A key, on what is focused."""
        typed = {"text": key} if len(key) == 1 else {}
        held = {"key": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", **held, **typed)
        self.call("Input.dispatchKeyEvent", type="keyUp", **held)

    def mouse(self, kind, x, y, **more):
        """A move, press or release of the mouse."""
        self.call("Input.dispatchMouseEvent", type=f"mouse{kind}", x=x, y=y, **more)

    def picture(self, path):
        """What is seen, as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextlib.contextmanager
def browser(profile):
    """A page in a browser of its own, which is ended afterwards; profile: a new folder for it."""
    theirs, to_browser = os.pipe()
    from_browser, them = os.pipe()
    shell = f'exec "$0" "$@" 3<&{theirs} 4>&{them}'
    process = subprocess.Popen(
        ["bash", "-c", shell, FOUND, *FLAGS, f"--user-data-dir={profile}"],
        pass_fds=(theirs, them),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    os.close(them)
    try:
        yield Page(to_browser, from_browser)
    finally:
        process.kill()
        process.wait()
        os.close(to_browser)
        os.close(from_browser)
