"""One HTML file of a payload: style, scripts, shaders and data inline, and a policy that lets nothing out."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from pathlib import Path

from core.export.face_mesh import notice, packed
from core.export.payload import Payload

_CAMERA = """<button id="camera" type="button" title="C">Camera</button>
<button id="calibrate" type="button" title="N" disabled>This is my neutral face</button>
"""
_FOLDER = Path(__file__).parent / "html"
_IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./([\w-]+)\.js";\n', re.M)
_EXPORT = re.compile(r"^export (?:async )?(?:class|function|const) (\w+)", re.M)


def page(payload: Payload, tracker: dict[str, bytes] | None = None) -> str:
    """The HTML text of a page that shows a payload; `tracker`: what `face_mesh_files` gives, for one with a camera."""
    about = payload.values["about"]
    shaders = {path.name: path.read_text(encoding="utf-8") for path in sorted(_FOLDER.glob("*.glsl"))}
    script = f"const SHADERS = {json.dumps(shaders)};\n{bundle('main')}".replace("</script", "<\\/script")
    style = (_FOLDER / "page.css").read_text(encoding="utf-8")
    policy = {
        "default-src": "'none'",
        "script-src": _hash(script)
        + (" blob: 'unsafe-eval'" if tracker else ""),  # the tracker makes functions of text
        "style-src": _hash(style),
        "img-src": "blob: data:",
        "media-src": "blob:",
        **({"connect-src": "blob: data:"} if tracker else {}),  # of this page's own blobs, which lead nowhere
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    values = {
        "policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "title": html.escape(about["title"]),
        "program": html.escape(about["artist"]),
        "comment": html.escape(about["comment"]),
        "camera": _CAMERA if tracker else "",
        "notice": f'<p class="small">{html.escape(notice())}</p>\n' if tracker else "",
        "tracker": packed(tracker) if tracker else "",
        "style": style,
        "data": payload.to_text(),
        "script": script,
    }
    template = (_FOLDER / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], template)


def bundle(main: str) -> str:
    """A module and those that it imports, by name from files beside it, as one script.

    Each of them is a function of its own that is called once, after those that it needs; the first one stays as it is.
    """
    done: dict[str, str] = {}

    def add(name: str) -> None:
        text = (_FOLDER / f"{name}.js").read_text(encoding="utf-8")
        for _, needed in _IMPORT.findall(text):
            if needed not in done:
                add(needed)
        text = _IMPORT.sub(r"const \1 = \2_js;\n", text)
        if name != main:
            names = ", ".join(_EXPORT.findall(text))
            text = re.sub(r"^export ", "", text, flags=re.M)
            text = f"const {name}_js = (() => {{\n{text}return {{ {names} }};\n}})();\n"
        done[name] = text

    add(main)
    return "".join(done.values())


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
