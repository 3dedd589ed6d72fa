"""A headless Chromium driven over a pipe by its DevTools protocol: no driver, no package needed.

Messages are JSON, each ended by a zero byte; the browser reads them from descriptor 3 and writes
them to descriptor 4 (``--remote-debugging-pipe``).
"""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time
from pathlib import Path

EXECUTABLE = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
_ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--hide-scrollbars", "--force-color-profile=srgb", "--disable-dev-shm-usage"),
)


class Chromium:
    """A running browser with one page; use as a context manager."""

    def __init__(self, profile: Path) -> None:
        self._profile = profile
        self._last_id = 0
        self._buffer = b""
        self.events = []

    def __enter__(self):
        (child_in, self._out), (self._in, child_out) = _high_pipe(), _high_pipe()
        log = str(self._profile / "browser.log")
        self._pid = os.posix_spawn(
            EXECUTABLE,
            [EXECUTABLE, *_ARGUMENTS, f"--user-data-dir={self._profile}", "about:blank"],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, child_in, 3),
                (os.POSIX_SPAWN_DUP2, child_out, 4),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
        )
        os.close(child_in)
        os.close(child_out)
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        attached = self.command("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.page(f"{domain}.enable")
        return self

    def __exit__(self, *exception):
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._in)
        os.close(self._out)

    def open(self, path: Path, width: int, *, dark: bool = False, height: int = 900) -> None:
        """Open a file at a width in CSS pixels and wait until its charts may be drawn."""
        self.events.clear()
        phone = width < 600
        self.page(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.page("Emulation.setEmulatedMedia", features=[scheme])
        self.page("Page.navigate", url=path.resolve().as_uri())
        self.wait_until("document.documentElement?.dataset.ready === 'yes'")

    def draw_all(self) -> None:
        """Open what is folded and scroll through the page until every chart is drawn."""
        self.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        self.evaluate(
            "(async () => { for (const plot of document.querySelectorAll('.plot')) {"
            "plot.scrollIntoView(); await new Promise((done) => setTimeout(done, 60)); } })()"
        )
        self.wait_until("!document.querySelector('.plot:not([data-drawn])')")
        self.evaluate("scrollTo(0, 0)")

    def evaluate(self, expression: str):
        """Return the value of a JavaScript expression; a promise is awaited."""
        answer = self.page(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def wait_until(self, condition: str, seconds: float = 30) -> None:
        """Wait for a JavaScript condition."""
        end = time.monotonic() + seconds
        while not self.evaluate(condition):
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s: {condition}; {self.complaints()}")
            time.sleep(0.05)

    def screenshot(self, path: Path) -> None:
        """Write the whole page as a PNG."""
        shot = self.page("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    def print(self, path: Path) -> None:
        """Write the page as it would be printed."""
        printed = self.page("Page.printToPDF", printBackground=True)
        path.write_bytes(base64.b64decode(printed["data"]))

    def complaints(self) -> list[str]:
        """Return errors and warnings of the console, and uncaught exceptions."""
        found = []
        for event in self.events:
            method, said = event["method"], event["params"]
            if method == "Runtime.exceptionThrown":
                found.append(str(said["exceptionDetails"].get("exception", said)))
            if method == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning"):
                found.append(str(said["args"]))
            if method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
                found.append(said["entry"]["text"])
        return found

    def requests(self) -> list[str]:
        """Return the addresses that were asked for, those inside the page left out."""
        asked = (
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        )
        return [url for url in asked if not url.startswith(("data:", "blob:"))]

    def page(self, method: str, **parameters):
        """Send a command to the page and return its answer."""
        return self.command(method, self._session, **parameters)

    def command(self, method: str, session: str | None = None, **parameters):
        """Send a command and return its answer, collecting events on the way."""
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._last_id:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]
            if "method" in answer:
                self.events.append(answer)

    def _next(self, seconds: float = 60):
        while b"\0" not in self._buffer:
            if not select.select([self._in], [], [], seconds)[0]:
                raise AssertionError(f"the browser was silent for {seconds} s")
            part = os.read(self._in, 1 << 20)
            if not part:
                log = (self._profile / "browser.log").read_text(errors="replace")
                raise AssertionError(f"the browser ended: {log[-500:]}")
            self._buffer += part
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)


def _high_pipe() -> tuple[int, int]:
    """Return a pipe whose descriptors are not 3 or 4, which the browser's ends become."""
    ends = []
    for low in os.pipe():
        ends.append(fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 10))
        os.close(low)
    return ends[0], ends[1]
