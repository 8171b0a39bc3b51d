"""A headless Chromium, driven through its DevTools protocol with what dasktune depends on."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketClientConnection, websocket_connect

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--remote-debugging-port=0",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)  # fmt: skip
"""The last lets it find no host but this machine: a page that needs the internet shows it."""

TEXT = """
(() => { const read = node => node.shadowRoot ? read(node.shadowRoot)
  : node.nodeType == 3 ? node.textContent
  : ["STYLE", "SCRIPT"].includes(node.nodeName) ? ""
  : node.nodeName == "DIV" ? `\\n${[...node.childNodes].map(read).join(" ")}\\n`
  : [...node.childNodes].map(read).join(" ");
  return read(document.body) })()
"""
"""Reads the text of a page, also inside of Bokeh's shadow roots."""


def find_browser() -> str | None:
    """Find Chromium, or give None."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Tab:
    """One page in the browser.

    Attributes
    ----------
    process : subprocess.Popen
        The browser.
    errors : list of str
        What the page's scripts complained of, and requests that failed.
    """

    def __init__(self, loop: IOLoop, socket: WebSocketClientConnection, process: Any) -> None:
        self._loop = loop
        self._socket = socket
        self.process = process
        self._count = 0
        self.errors: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and give its result."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}

        async def ask() -> dict[str, Any]:
            await self._socket.write_message(json.dumps(message))
            while True:
                text = await self._socket.read_message()
                if text is None:
                    raise ConnectionError("the browser is gone")
                answer: dict[str, Any] = json.loads(text)
                if answer.get("id") == message["id"]:
                    return answer
                self._note(answer)

        answer = self._loop.run_sync(ask, timeout=60)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _note(self, event: dict[str, Any]) -> None:
        told = event.get("params", {})
        if event["method"] == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif event["method"] == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.errors.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
        elif event["method"] == "Network.loadingFailed" and not told.get("canceled"):
            self.errors.append(told["errorText"])

    def open(self, url: str, *, width: int = 1400, height: int = 1000, dark: bool = False) -> None:
        """Open a page in a window of a size, in light or dark."""
        self.size(width, height)
        self.dark(dark)
        self.call("Page.navigate", url=url)

    def size(self, width: int, height: int) -> None:
        """Set the window's size."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)

    def dark(self, dark: bool) -> None:
        """Prefer dark, or light."""
        value = "dark" if dark else "light"
        feature = {"name": "prefers-color-scheme", "value": value}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def run(self, script: str) -> Any:
        """Run a script's expression and give its value."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def text(self) -> str:
        """Read the page."""
        return str(self.run(TEXT))

    def wait(self, script: str, seconds: float = 40) -> None:
        """Wait until a script's expression is true."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(RuntimeError):
                if self.run(f"!!({script})"):
                    return
            if time.monotonic() > deadline:
                raise TimeoutError(f"not true within {seconds} s: {script}")
            time.sleep(0.1)

    def screenshot(self, path: str | Path, *, quality: int | None = None) -> None:
        """Save what the window shows: as PNG, or as WebP of a quality."""
        kind = {"format": "webp", "quality": quality} if quality else {"format": "png"}
        data = self.call("Page.captureScreenshot", **kind)["data"]
        Path(path).write_bytes(base64.b64decode(data))


@contextlib.contextmanager
def browser() -> Iterator[Tab]:
    """Start a browser that keeps nothing and sees no internet, and give a tab of it."""
    found = find_browser()
    if found is None:
        raise FileNotFoundError("no chromium; install Debian's chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [found, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True)
        loop = IOLoop(make_current=False)
        try:
            port = _port(Path(folder, "DevToolsActivePort"), process)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
                pages = [page for page in json.load(answer) if page["type"] == "page"]
            url = pages[0]["webSocketDebuggerUrl"]

            async def connect() -> WebSocketClientConnection:
                return await websocket_connect(url, max_message_size=200 * 1024**2)

            socket = loop.run_sync(connect, timeout=60)
            yield Tab(loop, socket, process)

            async def leave() -> None:  # it asks for the loop that runs
                socket.close()

            loop.run_sync(leave, timeout=60)
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # its own group, with all its helpers
            process.wait()
            loop.close()


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int(file.read_text().splitlines()[0])
        time.sleep(0.05)
    raise TimeoutError("chromium did not start")
