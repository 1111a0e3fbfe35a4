"""`/docs`: the OpenAPI document as one plain page. No script, nothing from elsewhere: it works offline."""

import json
from html import escape
from typing import Any

HEADERS = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"),
    (b"x-content-type-options", b"nosniff"),
]

_STYLE = """
:root { color-scheme: light dark; --line: light-dark(#d8dee4, #3d444d); --soft: light-dark(#f6f8fa, #151b23);
  --ink: light-dark(#1f2328, #e6edf3); --muted: light-dark(#59636e, #9198a1); }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem; font: 15px/1.5 system-ui, sans-serif; color: var(--ink);
  background: light-dark(#fff, #0d1117); }
h1 { font-size: 1.6rem } h2 { margin-top: 2.5rem; font-size: 1.2rem; border-bottom: 1px solid var(--line) }
nav a { margin-right: 1rem } a { color: light-dark(#0969da, #4493f8) }
details { border: 1px solid var(--line); border-radius: 8px; margin: .5rem 0; padding: 0 .9rem }
summary { cursor: pointer; padding: .55rem 0; display: flex; gap: .8rem; align-items: baseline; flex-wrap: wrap }
code, pre { font: 13px/1.45 ui-monospace, monospace } pre { background: var(--soft); padding: .8rem; overflow: auto;
  border-radius: 6px } .method { font-weight: 700; min-width: 4.2rem } .words { color: var(--muted) }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .25rem .6rem .25rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top }
"""


def render(document: dict[str, Any]) -> str:
    """The page, with operations grouped by tag and every schema spelled out once."""
    groups: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tag = (operation.get("tags") or ["Other"])[0]
            groups.setdefault(tag, []).append(_operation(path, method, operation))
    order = sorted(groups, key=lambda tag: (tag != "Shipments", tag))
    links = "".join(f'<a href="#{escape(_anchor(tag))}">{escape(tag)}</a>' for tag in [*order, "Schemas"])
    body = "".join(f'<h2 id="{escape(_anchor(tag))}">{escape(tag)}</h2>{"".join(groups[tag])}' for tag in order)
    schemas = "".join(_schema(name, schema) for name, schema in document["components"]["schemas"].items())
    info = document["info"]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>{escape(info['title'])} API</title>"
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>{escape(info['title'])} API <small>{escape(info['version'])}</small></h1>"
        f"<p>{escape(info['description'])}</p>"
        '<p>Machine-readable: <a href="/openapi.json">/openapi.json</a>. Get a token: '
        "<code>curl -u CLIENT_ID:CLIENT_SECRET -X POST '/oauth2/token?grant_type=client_credentials'</code>, then send "
        "<code>Authorization: Bearer TOKEN</code>. Devices send their own token to <code>/device/v1</code>.</p>"
        f'<nav>{links}</nav>{body}<h2 id="schemas">Schemas</h2>{schemas}</html>'
    )


def _anchor(tag: str) -> str:
    return tag.lower().replace(" ", "-")


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(p['name'])}</code><td>{escape(p['in'])}{', required' if p.get('required') else ''}"
        f"<td><code>{escape(_type(p.get('schema', {})))}</code><td>{escape(p.get('description', ''))}"
        for p in operation.get("parameters", [])
    )
    parameters = f"<table>{rows}</table>" if rows else ""
    body = "".join(
        f"<p>Body ({escape(kind)}): {_named(content.get('schema', {}))}</p>"
        for kind, content in operation.get("requestBody", {}).get("content", {}).items()
    )
    answers = "".join(
        f"<tr><td><code>{escape(status)}</code><td>{escape(answer.get('description', ''))}<td>{_answer(answer)}"
        for status, answer in sorted(operation["responses"].items())
    )
    return (
        f'<details><summary><code class="method">{method.upper()}</code><code>{escape(path)}</code>'
        f'<span class="words">{escape(operation.get("summary", ""))}</span></summary>'
        f"<p>{escape(operation.get('description', ''))}</p>{parameters}{body}<table>{answers}</table></details>"
    )


def _answer(answer: dict[str, Any]) -> str:
    return ", ".join(_named(content.get("schema", {})) for content in answer.get("content", {}).values())


def _named(schema: dict[str, Any]) -> str:
    """A link to a named schema, or the schema's type."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#schema-{escape(name)}">{escape(name)}</a>'
    if schema.get("type") == "array":
        return f"list of {_named(schema.get('items', {}))}"
    return f"<code>{escape(_type(schema))}</code>"


def _type(schema: dict[str, Any]) -> str:
    kind = schema.get("type") or "/".join(
        str(one.get("type", "")) for one in schema.get("oneOf", schema.get("anyOf", []))
    )
    limits = [f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema]
    return " ".join([str(kind or "any"), *limits])


def _schema(name: str, schema: dict[str, Any]) -> str:
    text = json.dumps(schema, indent=2, ensure_ascii=False)
    words = escape(schema.get("description", ""))
    return (
        f'<details id="schema-{escape(name)}"><summary><code>{escape(name)}</code>'
        f'<span class="words">{words}</span></summary><pre>{escape(text)}</pre></details>'
    )
