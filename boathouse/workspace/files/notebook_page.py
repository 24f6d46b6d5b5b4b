"""A notebook as a page to read (pure): text rendered from Markdown, code as it is. It runs nothing and loads nothing."""

from html import escape

from boathouse.workspace.files import notebook_cells

_STYLE = (
    "body{max-width:60rem;margin:2rem auto;padding:0 1rem;font:16px/1.5 system-ui,sans-serif;color:#1b1f23}"
    "pre{background:#f6f8fa;border:1px solid #d8dee4;border-radius:6px;padding:.8rem;overflow:auto;font-size:14px}"
    "h6{margin:1.2rem 0 .2rem;font-size:.9rem;color:#57606a}"
    "table{border-collapse:collapse}td,th{border:1px solid #d8dee4;padding:.2rem .6rem}"
)


def page(name: str, language: str, source: bytes) -> bytes:
    """The notebook's cells as one HTML document. HTML in its texts is shown, not obeyed."""
    from markdown_it import MarkdownIt

    text = MarkdownIt("commonmark", {"html": False}).enable("table")
    body = []
    for cell in notebook_cells.split(language, source.decode("utf-8", "replace")):
        if cell.title:
            body.append(f"<h6>{escape(cell.title)}</h6>")
        shown = cell.markdown
        body.append(text.render(shown) if shown is not None else f"<pre><code>{escape(cell.text)}</code></pre>")
    title = f"{escape(name)} ({language.title()})"
    policy = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    head = f'<meta charset="utf-8">{policy}<title>{title}</title><style>{_STYLE}</style>'
    return f"<!doctype html>\n<html><head>{head}</head><body><h1>{title}</h1>\n{chr(10).join(body)}\n</body></html>\n".encode()
