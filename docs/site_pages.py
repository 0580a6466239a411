"""What the site needs beyond docs/, for MkDocs: pages from elsewhere in the repository, and links.

README and other pages stay where GitHub shows them. Each is a page of the site too, and every link
between files of the repository leads to the same file on the site.
"""

import functools
import pathlib
import posixpath
import re
import urllib.parse
from collections.abc import Callable

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = pathlib.Path(__file__).parents[1]

# Pages that do not lie in docs/, by the name that they have on the site.
PAGES = {
    "README.md": "index.md",
    "android_bench/README.md": "android_bench.md",
    "examples/README.md": "examples.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
_SOURCES = {place: source for source, place in PAGES.items()}

_FENCE = re.compile(r"(^```.*?^```$)", re.M | re.S)
_LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
_COMMENT = re.compile(r"^<!--.*?-->\n", re.M | re.S)
_FOREIGN = re.compile(
    r"<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>"
)
_INLINE_CODE = re.compile(r"(?<=<code>)[^<]*(?=</code>)")
_FLAG = re.compile(r"(?<!\S)-\S+")
_NODE = re.compile(r'(\w+)\["([^"]*)"\]')
_EDGE = re.compile(r"(\w+)(?:\[[^]]*\])? --> (\w+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that lie elsewhere, and the files that pages link to."""
    for source, place in PAGES.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    linked = {
        _repository_path(target, page.src_uri)
        for page in files.documentation_pages()
        for text in _outside_fences(page.content_string)
        for _, target, _ in _LINK.findall(text)
        if not urllib.parse.urlsplit(target).scheme
    }
    for path in sorted(linked):
        place = _place(path)
        if (ROOT / path).is_file() and files.get_file_from_path(place) is None:
            files.append(File.generated(config, place, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leads links to the site's files, and shows what only GitHub draws."""
    parts = _FENCE.split(markdown)
    # Comments are for who edits a page, and one right above a table would keep it from being one.
    parts[::2] = [_COMMENT.sub("\n", _LINK.sub(_linker(page), text)) for text in parts[::2]]
    parts[1::2] = [_table_of_edges(code) for code in parts[1::2]]
    return "".join(parts)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Marks flags in inline code: site.css keeps a browser from breaking them at their dashes."""
    mark = functools.partial(_FLAG.sub, r'<span class="flag">\g<0></span>')
    return _INLINE_CODE.sub(lambda match: mark(match[0]), html)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Refuses a page that would fetch something from another host when it is opened."""
    if foreign := _FOREIGN.findall(output):
        raise PluginError(f"{page.file.src_uri} fetches from elsewhere: {foreign}")
    return output


def _outside_fences(text: str) -> list[str]:
    return _FENCE.split(text)[::2]


def _repository_path(target: str, page: str) -> str:
    """Where the file that a page of the site links to lies in the repository."""
    source = _SOURCES.get(page, f"docs/{page}")
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), target))


def _place(path: str) -> str:
    """Where a file of the repository lies on the site."""
    return PAGES.get(path, path.removeprefix("docs/"))


def _linker(page: Page) -> Callable[[re.Match], str]:
    def link(match: re.Match) -> str:
        if urllib.parse.urlsplit(match[2]).scheme:
            return match[0]
        place = _place(_repository_path(match[2], page.file.src_uri))
        return match[1] + posixpath.relpath(place, posixpath.dirname(page.file.src_uri)) + match[3]

    return link


def _table_of_edges(code: str) -> str:
    """A Mermaid flowchart as a table: the program that draws it would come from elsewhere."""
    if not code.startswith("```mermaid"):
        return code
    # "name: what it is", or a name alone.
    names = {key: label.partition(": ") for key, label in _NODE.findall(code)}
    below = {key: [] for key in names}
    for upper, lower in _EDGE.findall(code):
        below[upper].append(names[lower][0])
    rows = [f"| {n} | {what} | {', '.join(below[key])} |" for key, (n, _, what) in names.items()]
    return "\n".join(["| | what it is | imports |", "| --- | --- | --- |", *rows])
