#!/usr/bin/env python3
"""Opens a page in headless Chromium and checks what a reader would stumble over.

    tests/report/browser.py PAGE.html [--shots FOLDER] [--picture FILE.png]

For a phone (390 x 844) and a desk (1280 x 900), in light and in dark: nothing on the console, no request leaves the page,
nothing wider than the window, no text that leaves its drawing, every text at a contrast of 4.5 to what is behind it
(WCAG 2.2, 1.4.3), every picture described, every stop of the tab key visible, and details shown when they are reached by
it. Printed, every folded part is open. With --shots, a PNG of each.

Only Python's library is needed: the browser is driven over a pipe (--remote-debugging-pipe), messages of JSON that end
with a zero byte.
"""

import argparse
import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

WIDTHS = {"phone": (390, 844), "desk": (1280, 900)}

CHECKS = (pathlib.Path(__file__).parent / "checks.js").read_text()


class Browser:
    """Chromium, and the messages to and from it."""

    def __init__(self, program, profile):
        to_browser, self.writer = os.pipe()
        self.reader, from_browser = os.pipe()

        def descriptors():  # the browser reads from 3 and writes to 4
            os.dup2(to_browser, 103)
            os.dup2(from_browser, 104)
            os.dup2(103, 3)
            os.dup2(104, 4)

        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe",
                 "--no-first-run", "--disable-background-networking", f"--user-data-dir={profile}"]
        self.process = subprocess.Popen([program, *flags], preexec_fn=descriptors, close_fds=False,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.buffer, self.number, self.session, self.events = b"", 0, None, []

    def receive(self):
        while b"\0" not in self.buffer:
            chunk = os.read(self.reader, 1 << 20)
            if not chunk:
                sys.exit("chromium ended before it answered")
            self.buffer += chunk
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.writer, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    sys.exit(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method):
        while not any(event["method"] == method for event in self.events):
            self.events.append(self.receive())

    def evaluate(self, script):
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            sys.exit(f"the check itself failed: {json.dumps(answer['exceptionDetails'])[:600]}")
        return answer["result"].get("value")

    def attach(self):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network"]:
            self.call(f"{domain}.enable")

    def close(self):
        self.session = None
        self.call("Browser.close")
        self.process.wait(timeout=20)


def complaints_of(events, own):
    """Errors on the console, and requests for anything whose address does not begin with `own` or is written in the page."""
    for event in events:
        params = event.get("params", {})
        if event["method"] == "Runtime.exceptionThrown":
            yield "exception: " + params["exceptionDetails"].get("text", "?")
        elif event["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            yield "console: " + json.dumps(params["args"])[:300]
        elif event["method"] == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            yield "log: " + params["entry"]["text"]
        elif event["method"] == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if not url.startswith((own, "data:", "blob:")):
                yield "request: " + url[:200]


def tab_stops(browser):
    """Walks through the page with the tab key; complains of stops that cannot be seen."""
    complaints, stops = [], 0
    browser.evaluate("document.activeElement && document.activeElement.blur(); scrollTo(0, 0)")
    for _ in range(60):
        for kind in ["keyDown", "keyUp"]:
            browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        stop = browser.evaluate("checks.stop()")
        if stop is None:
            break
        stops += 1
        if stop["problem"]:
            complaints.append(f"tab key: {stop['what']}: {stop['problem']}")
    if stops < 3:
        complaints.append(f"tab key: only {stops} stops")
    return complaints


def picture(browser, path):
    """The beginning of the page on a desk in light colours, down to the end of the part on training."""
    browser.call("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
    browser.call("Emulation.setEmulatedMedia", media="screen",
                 features=[{"name": "prefers-color-scheme", "value": "light"}])
    browser.evaluate("document.activeElement && document.activeElement.blur(); scrollTo(0, 0)")
    end = browser.evaluate("[...document.querySelectorAll('.grid')][0].getBoundingClientRect().bottom + 24")
    clip = {"x": 0, "y": 0, "width": 1280, "height": end, "scale": 0.75}
    shot = browser.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
    path.write_bytes(base64.b64decode(shot["data"]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("page", type=pathlib.Path)
    parser.add_argument("--shots", type=pathlib.Path)
    parser.add_argument("--picture", type=pathlib.Path, help="write the picture of the page's beginning here")
    parser.add_argument("--chromium", default=None)
    arguments = parser.parse_args()
    names = [arguments.chromium] if arguments.chromium else ["chromium", "chromium-browser", "google-chrome"]
    program = next((found for found in map(shutil.which, names) if found), None)
    if program is None:
        sys.exit("no chromium; install it, or name it with --chromium")
    address = arguments.page.resolve().as_uri()
    failed = False
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(program, profile)
        browser.attach()
        for where, (width, height) in WIDTHS.items():
            for scheme in ["light", "dark"]:
                browser.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                             deviceScaleFactor=2 if where == "phone" else 1, mobile=where == "phone")
                browser.call("Emulation.setEmulatedMedia", media="screen",
                             features=[{"name": "prefers-color-scheme", "value": scheme}])
                browser.events.clear()
                browser.call("Page.navigate", url=address)
                browser.wait_for("Page.loadEventFired")
                browser.evaluate(CHECKS)
                complaints = browser.evaluate("checks.all()") + tab_stops(browser)
                complaints += list(complaints_of(browser.events, address))
                print(f"{where} {width}x{height} {scheme}: {'ok' if not complaints else str(len(complaints)) + ' complaints'}")
                for complaint in complaints[:25]:
                    print("   ", complaint)
                failed = failed or bool(complaints)
                if arguments.shots:
                    arguments.shots.mkdir(parents=True, exist_ok=True)
                    browser.evaluate("document.activeElement && document.activeElement.blur(); scrollTo(0, 0)")
                    shot = browser.call("Page.captureScreenshot", format="png", captureBeyondViewport=False)
                    (arguments.shots / f"{where}-{scheme}-top.png").write_bytes(base64.b64decode(shot["data"]))
                    size = browser.call("Page.getLayoutMetrics")["cssContentSize"]
                    clip = {"x": 0, "y": 0, "width": width, "height": size["height"], "scale": 1 if where == "desk" else 0.5}
                    shot = browser.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
                    (arguments.shots / f"{where}-{scheme}.png").write_bytes(base64.b64decode(shot["data"]))
        if arguments.picture:
            picture(browser, arguments.picture)
        browser.call("Emulation.setEmulatedMedia", media="")
        pdf = browser.call("Page.printToPDF", printBackground=True)
        folded = browser.evaluate("document.querySelectorAll('details:not([open])').length")
        print(f"printed: {len(base64.b64decode(pdf['data']))} bytes, {folded} parts folded")
        if arguments.shots:
            (arguments.shots / "print.pdf").write_bytes(base64.b64decode(pdf["data"]))
        failed = failed or folded > 0
        browser.close()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
