"""What software centres show of the program: the page in this folder, with the release added, and, where somebody
publishes the build, addresses and pictures."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from installer.linux.changes import changes_of, release_date

_PAGE = Path(__file__).parent / "petals-volunteer.metainfo.xml"
PICTURES = {
    "home.png": "What the worker does, and why",
    "chat.png": "A chat with the whole model, and the route that its answer takes",
    "swarm.png": "Who serves which blocks of the model",
}
"""In `screenshots` here, and below the publisher's address. Software centres take pictures from the web alone."""
_MOST_POINTS = 12


def metainfo(version: str, homepage: str) -> str:
    """
    Args:
        homepage: https:// address, "" for none.
    """
    tree = ElementTree.parse(_PAGE)  # noqa: S314 (our own file)
    component = tree.getroot()
    if homepage:
        _add(component, "url", homepage, type="homepage")
        pictures = _add(component, "screenshots")
        for number, (name, caption) in enumerate(PICTURES.items()):
            picture = _add(pictures, "screenshot", **({"type": "default"} if number == 0 else {}))
            _add(picture, "caption", caption)
            _add(picture, "image", f"{homepage.rstrip('/')}/screenshots/{name}")
    release = _add(_add(component, "releases"), "release", version=version, date=release_date().isoformat())
    points = changes_of(version)[:_MOST_POINTS]
    if points:
        listed = _add(_add(release, "description"), "ul")
        for point in points:
            _add(listed, "li", point.replace("`", "").replace("**", ""))
    ElementTree.indent(tree)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(component, encoding="unicode") + "\n"


def _add(parent: ElementTree.Element, tag: str, text: str = "", **attributes: str) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, tag, attributes)
    element.text = text or None
    return element
