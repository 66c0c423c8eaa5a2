"""Links lead to a file of this repository, a heading in it, or to an address that may be one."""

import re
import subprocess
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
GENERATED = ROOT / "docs" / "reference" / "api"  # Sphinx checks these
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "profile/**/*.md", "docs/**/*.rst")
    for path in ROOT.glob(pattern)
    if GENERATED not in path.parents
)
SOURCES = sorted(
    path
    for folder in ("h5xs_bluesky", "callbacks", "benchmarks", "profile", "tests")
    for path in (ROOT / folder).rglob("*.py")
)
_ADDRESS = re.compile(r"https?://[^\s<>()\"'`]+")
_IN_REPOSITORY = re.compile(r"\b(?:docs|tests|benchmarks)/[\w/.-]+\.(?:md|py|toml|png)\b")


def tokens_of(page: Path) -> list[Token]:
    """The Markdown of a page, flat."""
    found = MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
    return [part for token in found for part in (token, *(token.children or ()))]


def links_of(page: Path) -> list[str]:
    """Where the links and pictures of a page lead, those in directives of MyST, too."""
    links = [
        str(token.attrs.get("href") or token.attrs.get("src"))
        for token in tokens_of(page)
        if token.type in ("link_open", "image")
    ]
    text = page.read_text(encoding="utf-8")
    links += re.findall(
        r"^\s*```\{(?:include|literalinclude|image|figure)\} (\S+)", text, re.MULTILINE
    )
    return links + re.findall(r"\{download\}`(?:[^`<]*<)?([^`>]+)>?`", text)


def anchors_of(page: Path) -> set[str]:
    """The names of a page's headings, as GitHub and MyST make them."""
    tokens = tokens_of(page)
    headings = [
        following.content for token, following in pairwise(tokens) if token.type == "heading_open"
    ]
    plain = [re.sub(r"[`*]", "", heading).lower() for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def problem_with(link: str, page: Path) -> str | None:
    """What is wrong with a link, if anything is."""
    address = urlsplit(link)
    if address.scheme:
        well_formed = address.scheme in ("http", "https") and address.hostname
        return None if well_formed else "no address"
    target = (page.parent / unquote(address.path)).resolve() if address.path else page
    if not target.exists() or ROOT not in (target, *target.parents):
        return "no such file"
    if address.fragment and address.fragment not in anchors_of(target):
        return f"no such heading; there are {sorted(anchors_of(target))}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    found = {link: problem_with(link, page) for link in links_of(page)}
    assert {link: problem for link, problem in found.items() if problem} == {}


def test_links_are_found() -> None:
    assert sum(len(links_of(page)) for page in PAGES) > 80


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        ("docs/index.md", None),
        ("docs/no-such-page.md", "no such file"),
        ("../elsewhere.md", "no such file"),
        ("README.md#no-such-heading", "no such heading"),
        ("README.md#try-it", None),
        ("https:///no-host", "no address"),
        ("mailto:someone", "no address"),
    ],
)
def test_what_is_wrong_is_told(link: str, problem: str | None) -> None:
    found = problem_with(link, ROOT / "README.md")
    assert (found or "").startswith(problem or "")
    assert (found is None) == (problem is None)


def test_files_named_in_docstrings_comments_and_text_are_there() -> None:
    away = {
        (str(path.relative_to(ROOT)), name)
        for path in (*SOURCES, *PAGES)
        if path != Path(__file__)
        for name in _IN_REPOSITORY.findall(path.read_text(encoding="utf-8"))
        if not (ROOT / name).exists() and not (path.parent / name).exists()
    }
    assert away == set()


def test_addresses_in_docstrings_are_well_formed() -> None:
    for path in SOURCES:
        if path == Path(__file__):
            continue
        for address in _ADDRESS.findall(path.read_text(encoding="utf-8")):
            assert "{" in address or urlsplit(address).hostname, f"{path}: {address}"


# What no test compares, and why not.
NOT_COMPARED = {"tiled-page.png": "a browser draws it, with its own fonts"}


def pictures() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "docs/images"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split()]


def test_every_picture_is_shown() -> None:
    shown = {
        (page.parent / link).resolve()
        for page in PAGES
        for link in links_of(page)
        if not urlsplit(link).scheme
    }
    assert set(pictures()) - shown == set()


def test_every_picture_is_compared_with_what_the_code_makes_now() -> None:
    checks = [*ROOT.glob("docs/*/*.md"), *ROOT.glob("tests/**/*.py"), ROOT / ".ci" / "run"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in checks)
    named = re.findall(r"(?:check_picture\([^\n]*, f?\"|gallery\.py [^\n]* )([\w{}-]+\.png)", text)
    compared = [
        re.sub(r"\\{\w+\\}", "[a-z]+", re.escape(name)) for name in ["gallery-{name}.png", *named]
    ]
    left = {
        path.name
        for path in pictures()
        if not any(re.fullmatch(name, path.name) for name in compared)
    }
    assert left - set(NOT_COMPARED) == set()
