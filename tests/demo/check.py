#!/usr/bin/env python3
"""Opens the page of docs/demo in headless Chromium, computes with it, and checks it as a report page is checked.

    tests/demo/check.py [--shots FOLDER] [--picture FILE.png]

First from a file server, then from the disk as a file: the logits of every bundled picture by every network, bit for bit
against tests/demo/expected.json, which the native program wrote. Then what tests/report/checks.js asks, on a phone (390
x 844) and a desk (1280 x 900), in light and in dark: nothing on the console, nothing cut, contrast, the tab key. Last
what a reader does: sliders, pictures, paint, a dropped file, another layer.
"""

import argparse
import base64
import functools
import http.server
import json
import pathlib
import shutil
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "report"))
import browser as chromium  # noqa: E402

PAGE = HERE.parents[1] / "docs" / "demo"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def serve():
    """The folder on a free port of this machine; its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(PAGE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


def visit(browser, address, where="desk", scheme="light"):
    width, height = chromium.WIDTHS[where]
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                 deviceScaleFactor=2 if where == "phone" else 1, mobile=where == "phone")
    browser.call("Emulation.setEmulatedMedia", media="screen", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.events.clear()
    browser.call("Page.navigate", url=address + "index.html")
    browser.wait_for("Page.loadEventFired")
    browser.evaluate("demo.then(() => new Promise((done) => setTimeout(done, 400)))")


def logits(browser, address, expected):
    """Every network by every picture."""
    visit(browser, address)
    names = browser.evaluate("demo.then((page) => page.networks)")
    if sorted(names) != sorted(expected):
        yield f"networks {names}, expected {list(expected)}"
    for name, answers in expected.items():
        got = browser.evaluate(f"demo.then((page) => page.logits({json.dumps(name)}))")
        wrong = [i for i, answer in enumerate(answers) if got[i] != answer]
        if wrong or len(got) != len(answers):
            yield f"{name}: other logits for the pictures {wrong}: {got[wrong[0]]} instead of {answers[wrong[0]]}"
    yield from chromium.complaints_of(browser.events, address)


# What a reader does; each gives a list of complaints.
USE = """
(async () => {
  const complaints = [], { state } = await demo, wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const expect = (what, ok) => { if (!ok) complaints.push(what); };
  const text = (id) => document.getElementById(id).textContent;
  const slide = async (id, value) => {
    const slider = document.getElementById(id);
    slider.value = value;
    slider.dispatchEvent(new Event('input', { bubbles: true }));
    for (let i = 0; i < 100 && state.name !== state.wanted; i++) await wait(20);
  };
  await slide('w', 0); await slide('a', 2);
  expect('W2A8 by sliders', state.name === 'W2A8' && text('w-bits') === '2' && text('a-bits') === '8');
  expect('the cell of W2A8', document.querySelectorAll('#all td.current').length === 1);
  expect('four columns for two bits', document.querySelectorAll('#weights rect:not(.level)').length === 4);
  expect('a size', /^[0-9.]+ KiB/.test(text('size')));
  await slide('w', 2); await slide('a', 2);
  expect('256 columns for eight bits', document.querySelectorAll('#weights rect:not(.level)').length === 256);
  const thumbs = document.querySelectorAll('#thumbs button');
  let right = 0;
  for (const thumb of thumbs) {
    thumb.click();
    right += thumb.title === text('verdict');
    const sum = [...document.querySelectorAll('.bar span:last-child')].reduce((sum, span) => sum + parseFloat(span.textContent), 0);
    expect(`probabilities of ${thumb.title} add up to ${sum}`, Math.abs(sum - 100) < 0.6);
  }
  expect(`W8A8 is right on ${right} of 20`, thumbs.length === 20 && right >= 17);
  await wait(400);
  expect(`latency: ${text('latency')}`, /^[0-9.]+ ms/.test(text('latency')));
  const layer = document.getElementById('layer');
  layer.value = 'fc';
  layer.dispatchEvent(new Event('change', { bubbles: true }));
  expect('640 weights of the classifier', text('weight-facts').startsWith('640 weights'));
  const before = [...state.pixels], stage = document.getElementById('stage'), box = stage.getBoundingClientRect();
  const point = (type, x) => stage.dispatchEvent(new PointerEvent(type, { clientX: box.left + x, clientY: box.top + 100, pointerId: 1 }));
  stage.setPointerCapture = () => {};
  point('pointerdown', 40); point('pointermove', 200); point('pointerup', 200);
  const painted = before.filter((byte, i) => byte !== state.pixels[i]).length;
  expect(`paint changed ${painted} bytes`, painted > 100 && painted < 1500);
  document.getElementById('blank').click();
  expect('blank paper', new Set(state.pixels).size === 3 && text('truth') === '');
  // A file of 64 x 96 pixels, red above, blue below: its middle is half of each.
  const canvas = Object.assign(document.createElement('canvas'), { width: 64, height: 96 }), context = canvas.getContext('2d');
  context.fillStyle = '#f00'; context.fillRect(0, 0, 64, 48);
  context.fillStyle = '#00f'; context.fillRect(0, 48, 64, 48);
  const file = new File([await new Promise((done) => canvas.toBlob(done))], 'two.png', { type: 'image/png' });
  const data = new DataTransfer();
  data.items.add(file);
  dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
  await wait(400);
  const pixel = (y, x) => [...state.pixels.slice(3 * (32 * y + x), 3 * (32 * y + x) + 3)].join();
  expect(`the dropped file: ${pixel(3, 3)} above, ${pixel(28, 28)} below`, pixel(3, 3) === '255,0,0' && pixel(28, 28) === '0,0,255');
  expect('no problem so far', document.getElementById('problem').hidden);
  const broken = new DataTransfer();
  broken.items.add(new File(['no picture'], 'broken.png', { type: 'image/png' }));
  dispatchEvent(new DragEvent('drop', { dataTransfer: broken, bubbles: true, cancelable: true }));
  await wait(300);
  expect('a broken file gets a sentence', text('problem').includes('broken.png is no picture'));
  document.querySelector('#thumbs button').click();
  expect('which goes with the next picture', document.getElementById('problem').hidden);
  return complaints;
})()
"""


def shoot(browser, path, where):
    width, _ = chromium.WIDTHS[where]
    browser.evaluate("document.activeElement && document.activeElement.blur(); scrollTo(0, 0)")
    size = browser.call("Page.getLayoutMetrics")["cssContentSize"]
    clip = {"x": 0, "y": 0, "width": width, "height": size["height"], "scale": 1}
    shot = browser.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(base64.b64decode(shot["data"]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shots", type=pathlib.Path)
    arguments = parser.parse_args()
    program = next((found for found in map(shutil.which, ["chromium", "chromium-browser", "google-chrome"]) if found), None)
    if program is None:
        sys.exit("no chromium; tests/report/check.sh installs it where it can")
    expected = json.loads((HERE / "expected.json").read_text())
    count = sum(map(len, expected.values()))
    file, failed = PAGE.as_uri() + "/", False

    def report(what, complaints):
        nonlocal failed
        print(f"{what}: {'ok' if not complaints else str(len(complaints)) + ' complaints'}")
        for complaint in complaints[:25]:
            print("   ", complaint)
        failed = failed or bool(complaints)

    with tempfile.TemporaryDirectory() as profile:
        browser = chromium.Browser(program, profile)
        browser.attach()
        print(browser.call("Browser.getVersion")["product"])
        server = serve()
        for what, address in [("a file server", server), ("the disk", file)]:
            report(f"{count} pictures by {len(expected)} networks, from {what}, against the native program",
                   list(logits(browser, address, expected)))
        for where, (width, height) in chromium.WIDTHS.items():
            for scheme in ["light", "dark"]:
                visit(browser, file, where, scheme)
                browser.evaluate(chromium.CHECKS)
                complaints = browser.evaluate("checks.all()") + chromium.tab_stops(browser)
                complaints += chromium.complaints_of(browser.events, file)
                report(f"{where} {width}x{height} {scheme}", complaints)
                if arguments.shots:
                    shoot(browser, arguments.shots / f"demo-{where}-{scheme}.png", where)
        visit(browser, server)
        report("sliders, pictures, paint, files", browser.evaluate(USE) + list(chromium.complaints_of(browser.events, server)))
        browser.close()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
