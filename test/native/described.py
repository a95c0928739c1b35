"""Is an answer what docs/openapi.json says? Every answer that a test of operations gets is held against it."""
import json
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
with open(os.path.join(ROOT, "docs/openapi.json"), encoding="utf-8") as file:
    DOCUMENT = json.load(file)
KINDS = {"string": str, "integer": int, "boolean": bool, "object": dict, "array": list, "null": type(None)}


def paths():
    """(method, path) of all that is described."""
    return [(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods]


def resolve(schema):
    return DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema


def is_kind(kind, value):
    return isinstance(value, KINDS[kind]) and not (kind == "integer" and isinstance(value, bool))


def validate(schema, value, where):
    open_ended = schema.get("$ref", "").endswith("/problem")  # its members beside differ from error to error
    schema = resolve(schema)
    if "oneOf" in schema:
        assert any(is_kind(one["type"], value) for one in schema["oneOf"]), "%s: %r is of no kind that is described" % (where, value)
        return
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    assert any(is_kind(kind, value) for kind in kinds), "%s: %r is no %s" % (where, value, schema["type"])
    assert value in schema.get("enum", [value]), "%s: %r" % (where, value)
    for name in schema.get("required", []):
        assert name in value, "%s lacks %s" % (where, name)
    if isinstance(value, list):
        assert schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)), "%s: %d" % (where, len(value))
        for i, one in enumerate(value):
            validate(schema["items"], one, "%s[%d]" % (where, i))
    if not isinstance(value, dict) or schema.keys() == {"type"} or set(schema) == {"type", "description"}:
        return
    for name, one in value.items():
        known = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
        assert known or open_ended, "%s.%s is not described" % (where, name)
        if known:
            validate(known, one, "%s.%s" % (where, name))


def check(method, path, status, kind, text):
    """Raises when this answer is not described."""
    pattern = re.sub(r"/members/\d+", "/members/{id}", path.split("?")[0])
    where = "%s %s: %d" % (method.upper(), pattern, status)
    responses = DOCUMENT["paths"][pattern][method]["responses"]
    assert str(status) in responses, "%s is not described: %s" % (where, text)
    content = responses[str(status)]["content"]
    described = {name.split(";")[0]: one for name, one in content.items()}
    kind = (kind or "").split(";")[0]
    assert kind in described, "%s is %s" % (where, kind)
    if kind.endswith("json"):
        validate(described[kind]["schema"], json.loads(text), where)
