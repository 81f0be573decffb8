"What stands in, in the page, for the modules that read images, draw and make tables."
import base64
import json
import zlib
from html import escape
from pathlib import Path
from struct import pack


class Shown:
    "HTML, for the page to show."
    def __init__(self, text): self.text = text

    def _repr_html_(self): return self.text


def _read():
    found, parts = json.loads((Path(__file__).parent/"digits.json").read_text("utf-8")), {}
    for part in "train", "valid", "test":
        packed, labels = found[part]
        shades = zlib.decompress(base64.b64decode(packed))
        rows = [list(shades[i:i + 28]) for i in range(0, len(shades), 28)]
        parts[part] = [rows[28*k:28*k + 28] for k in range(len(labels))], labels
    return parts


parts = _read() # train, valid and test: images (n, 28, 28), 0 to 255, and labels (n,)


def picture(
    image, # grey values, 0 to 255, (28, 28)
):         # a data URL
    "A digit as a BMP picture, black on white, from the last row to the first."
    colours = b"".join(bytes((255 - i, 255 - i, 255 - i, 0)) for i in range(256))
    head = pack("<2sIHHI", b"BM", 1078 + 784, 0, 0, 1078)
    head += pack("<IiiHHIIiiII", 40, 28, 28, 1, 8, 0, 784, 0, 0, 256, 0)
    pixels = b"".join(bytes(row) for row in reversed(image))
    return "data:image/bmp;base64," + base64.b64encode(head + colours + pixels).decode()


def show_digits(
    images, # (n, 28, 28)
    titles, # a word for each
):
    "Digits side by side."
    boxes = "".join(f'<figure><img src="{picture(image)}" width="56" height="56" '
                    f'alt="a digit"><figcaption>{escape(title)}</figcaption></figure>'
                    for image, title in zip(images, titles, strict=True))
    return Shown(f'<div class="here-digits">{boxes}</div>')


def table(
    columns, # name of a column -> (name of a row -> value)
):
    "A table."
    rows = list(next(iter(columns.values())))
    head = "".join(f"<th>{escape(str(name))}</th>" for name in ("", *columns))
    body = "".join(f"<tr><th>{escape(str(row))}</th>" + "".join(
        f"<td>{escape(str(column[row]))}</td>" for column in columns.values()) + "</tr>"
        for row in rows)
    return Shown(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
