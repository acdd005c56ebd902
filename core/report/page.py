"""Pages that need nothing else: a template, its figures as data, and plotly.js inside."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

from core.errors import DataError

TEMPLATES = Path(__file__).with_name("templates")
LIBRARY = "/* plotly.js */"  # where a template's page has the library: megabytes that need not go through it


def for_script(value: Any) -> str:
    """JSON that stays data inside a script element whatever strings it holds."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def csp_hash(script: str | bytes) -> str:
    """The content-security-policy source that lets this very inline script run, and no other."""
    text = script.encode() if isinstance(script, str) else script
    return f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"


def plotly_script() -> bytes:
    """plotly.js as the plotly package ships it; importing the package for it would take half a second."""
    package = importlib.util.find_spec("plotly")
    if package is None or package.origin is None:
        raise DataError("the plotly package is missing; install requirements.txt, or run with --report none")
    return (Path(package.origin).parent / "package_data" / "plotly.min.js").read_bytes()


def write_page(path: Path, template: str, data: dict[str, Any], **values: Any) -> None:
    """Render a template of TEMPLATES into a file. data : what its figures are drawn from, as JSON can say it."""
    import jinja2
    from markupsafe import Markup

    plotly = plotly_script()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["csp_hash"] = csp_hash
    page = environment.get_template(template).render(
        **values, data=Markup(for_script(data)), library=Markup(LIBRARY), library_hash=Markup(csp_hash(plotly))
    )
    before, _, after = page.rpartition(LIBRARY)
    part = path.with_suffix(".part")  # a page that did not fit on the disk is no page
    try:
        part.write_bytes(b"".join((before.encode(), plotly, after.encode())))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
