"""The README's picture: `python tests/web/screenshot.py fixtures/pictures/dashboard.png`.

A street of ninety-six homes in the middle of its migration, with a fault in force, alerts coming in and a home open
whose auxiliary switch is held. The picture is written with 256 colours at most: a page has few, and so the file is a
third of what the browser makes of it.
"""

import argparse
import base64
import struct
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from page_kit import Street, chromium, street

WIDTH, HEIGHT = 1_900, 1_240
ESTATE = ("--estate", "thousand", "--installations", "96", "--timing", "modelled", "--speed", "60")
ALERTS = (3, 9, 5, 14, 7, 2, 11, 6, 12, 4)

_PIXELS = """async (png) => {
  const image = await createImageBitmap(await (await fetch("data:image/png;base64," + png)).blob());
  const canvas = new OffscreenCanvas(image.width, image.height), context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const bytes = context.getImageData(0, 0, image.width, image.height).data;
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return [image.width, image.height, btoa(text)];
}"""


def scene(served: Street) -> int:
    """Have the street look lived in; the home to show."""
    served.post("migrate?wait=0", {"abreast": 12})
    served.post("step-clock?wait=120", {"seconds": 40_000})
    lines = {line["installation"]: line["verdict"] for line in served.get("ledger?count=96")["lines"]}
    homes = served.get("installations?count=96")["installations"]
    migrated = [home for home in homes if lines[home["installation"]] == "migrated"]
    shown = next(home["installation"] for home in migrated if home["switches"])
    lost = next(home["installation"] for home in migrated if len(home["devices"]) == 4 and not home["switches"])
    served.post("inject-fault", {"fault": "han-lost", "settings": {"installation": lost, "device": "gas"}})
    served.post(f"installations/{shown}/electricity/press-boost", {"switch": 1, "minutes": 90})
    return int(shown)


def picture(served: Street, browser: Any, scheme: str) -> bytes:
    """The page after some seconds, as the browser's PNG."""
    home = scene(served)
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
    page.goto(served.page(home))
    page.wait_for_selector("#stream.good")
    served.post(f"installations/{home}/electricity/rotate-keys?wait=0")
    for seconds, alerts in enumerate(ALERTS):
        for number in range(alerts):
            served.post(f"installations/{number}/electricity/raise-alert", {"code": 0x8F1D})
        served.post("step-clock?wait=20", {"seconds": 20 + seconds})
        time.sleep(1)
    page.wait_for_timeout(1_500)
    return bytes(page.screenshot())


def small(browser: Any, png: bytes) -> bytes:
    """The same picture with a palette: the most frequent colours, each pixel the nearest of them."""
    page = browser.new_page()
    width, height, text = page.evaluate(_PIXELS, base64.b64encode(png).decode())
    pixels = np.frombuffer(base64.b64decode(text), np.uint8).reshape(-1, 4)[:, :3]
    coarse = pixels & 0xFC
    keys = coarse.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    found, first, where, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    palette = pixels[first[np.argsort(counts)[::-1][:256]]]
    nearest = ((pixels[first][:, None].astype(int) - palette[None].astype(int)) ** 2).sum(axis=2).argmin(axis=1)
    assert len(nearest) == len(found)
    rows = nearest[where.reshape(-1)].astype(np.uint8).reshape(height, width)
    raw = np.hstack([np.zeros((height, 1), np.uint8), rows]).tobytes()

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    data = zlib.compress(raw, 9)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(name, body)
        for name, body in ((b"IHDR", head), (b"PLTE", palette.tobytes()), (b"IDAT", data), (b"IEND", b""))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--scheme", choices=["light", "dark"], default="light")
    given = parser.parse_args()
    with chromium() as browser, street(*ESTATE) as served:
        content = small(browser, picture(served, browser, given.scheme))
    given.path.parent.mkdir(parents=True, exist_ok=True)
    given.path.write_bytes(content)
    sys.stdout.write(f"{given.path}: {len(content):,} bytes\n")


if __name__ == "__main__":
    main()
