"""A figure inside a page: an SVG element whose letters are text and whose colours are the page's.

Letters are text there, set by the reader's own fonts: they can be searched and selected, every
script is shaped as it should be, and a map of two hundred languages stays small. The files beside
the page have letters as outlines.
"""

import re
from hashlib import sha256

from markupsafe import Markup

from analysis.figures import theme

# Within a hundredth of a point nobody sees a difference.
NUMBER = re.compile(r"(-?\d+\.\d\d)\d+")
PLACED = re.compile(r'\b(?:d|x|y|transform|points)="[^"]*"')
TAG = re.compile(r"<[^>]*>")
USED = re.compile(r'href="#([^"]+)"|url\(#([^)]+)\)')
OWN = re.compile(r' id="([^"]*)"')
FAMILY = re.compile(r" ?font-family: ([^;\"]*);")
PATH = re.compile(r'\bd="[^"]*"')
# Marks of one look that stand together.
MARKS = re.compile(
    r'<g([^>]*)>((?:<use [^>]*?) style="([^"]*)"/>(?:<use [^>]*? style="\3"/>)+)</g>'
)
UPRIGHT = re.compile(r' transform="rotate\(-?0 [^)]*\)"')


def inline(svg: str, *, name: str, title: str) -> Markup:
    """An SVG element for use among others in a page.

    Its ids are made its own, coordinates are rounded, fonts and size are left to CSS.

    Args:
        svg: a drawing with letters as text, as `drawing.save` returns it.
        name: that of its file, which no other figure of the page has.
        title: what is drawn, for those who do not see it.
    """
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.S)
    text = re.sub(r">\s*\n\s*<", "><", text)
    own = "f" + sha256(name.encode()).hexdigest()[:10]
    used = dict.fromkeys(one or other for one, other in USED.findall(text))
    ids = {old: f"{own}-{place}" for place, old in enumerate(used)}
    text = TAG.sub(lambda found: _tag(found[0], ids), text)
    text = MARKS.sub(lambda found: _together(*found.groups()), text)
    head = Markup('<svg role="img" aria-label="{}" ').format(title)
    return head + Markup(text.strip().removeprefix("<svg "))


def _together(group: str, marks: str, style: str) -> str:
    """A group of marks with their look on itself."""
    plain = marks.replace(f' style="{style}"', "")
    return f'<g{group} style="{style}">{plain}</g>'


def _tag(tag: str, ids: dict[str, str]) -> str:
    """A tag with what a page needs of it; labels lie between tags and stay as they are."""
    tag = " ".join(tag.split())
    tag = PLACED.sub(lambda found: NUMBER.sub(r"\1", found[0]), UPRIGHT.sub("", tag))
    tag = PATH.sub(lambda found: re.sub(r" ?([A-Za-z]) ?(?=[-\d\"])", r"\1", found[0]), tag)
    tag = OWN.sub(lambda found: f' id="{ids[found[1]]}"' if found[1] in ids else "", tag)
    tag = re.sub(r'(href="#|url\(#)([^")]+)', lambda found: f"{found[1]}{ids[found[2]]}", tag)
    if tag.startswith("<text") and (family := FAMILY.search(tag)):
        tag = FAMILY.sub("", tag)
        if "Mono" in family[1]:
            tag = f'<text class="mono"{tag.removeprefix("<text")}'
    return theme.with_variables(tag)
