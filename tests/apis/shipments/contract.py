"""The contract beside these tests, and a comparison of two OpenAPI documents that follows references."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]
CONTRACT: Json = json.loads((Path(__file__).parent / "contract.json").read_text(encoding="utf-8"))
OPERATIONS = [(path, method) for path, methods in CONTRACT["paths"].items() for method in methods]
REQUEST: Json = CONTRACT["paths"]["/api/v1/organization/shipment/create"]["post"]["requestBody"]["content"][
    "application/json"
]["schema"]


def resolved(document: Json, schema: Json) -> Json:
    """The schema itself, whatever it is wrapped in; words beside a reference win over the words behind it."""
    seen = dict(schema)
    while True:
        if "$ref" in seen:
            name = seen.pop("$ref").rpartition("/")[2]
            seen = {**document["components"]["schemas"][name], **seen}
        elif len(seen.get("allOf", ())) == 1:
            [only] = seen.pop("allOf")
            seen = {**only, **seen}
        elif "anyOf" in seen and len(real := [one for one in seen["anyOf"] if one != {"type": "null"}]) == 1:
            del seen["anyOf"]
            seen = {**real[0], **seen}
        else:
            return seen


def differences(wanted: Json, ours: Json, document: Json, where: str = "") -> Iterator[str]:
    """What `ours` (of `document`) says other than `wanted` (of the contract); limits of ours are no difference."""
    wanted, ours = resolved(CONTRACT, wanted), resolved(document, ours)
    if sorted(wanted.get("enum", [])) != sorted(ours.get("enum", [])):
        yield f"{where}.enum: {wanted.get('enum')} in the contract, {ours.get('enum')} here"
    for key in ("type", "format", "description"):
        # ours may describe an object where the contract has no words
        if wanted.get(key) != ours.get(key) and not (key == "description" and key not in wanted):
            yield f"{where}.{key}: {wanted.get(key)!r} in the contract, {ours.get(key)!r} here"
    if sorted(wanted.get("required", [])) != sorted(ours.get("required", [])):
        yield f"{where}.required: {wanted.get('required')} in the contract, {ours.get('required')} here"
    theirs, mine = wanted.get("properties", {}), ours.get("properties", {})
    if theirs.keys() != mine.keys():
        yield f"{where}.properties: {sorted(theirs.keys() ^ mine.keys())} on one side only"
    for name in theirs.keys() & mine.keys():
        yield from differences(theirs[name], mine[name], document, f"{where}.{name}")
    if ("items" in wanted) != ("items" in ours):
        yield f"{where}.items: on one side only"
    elif "items" in wanted:
        yield from differences(wanted["items"], ours["items"], document, f"{where}[]")


def for_jsonschema(schema: Json) -> Json:
    """A schema of the contract on its own, closed: an answer has no property that the contract does not know."""
    made: Json = dict(resolved(CONTRACT, schema))
    made.pop("format", None)
    if "properties" in made:
        made["properties"] = {name: for_jsonschema(one) for name, one in made["properties"].items()}
        made["additionalProperties"] = False
    if "items" in made:
        made["items"] = for_jsonschema(made["items"])
    if made.get("type") == "integer":
        bits = 31 if resolved(CONTRACT, schema).get("format") == "int32" else 63
        made |= {"minimum": -(2**bits), "maximum": 2**bits - 1}
    return made
