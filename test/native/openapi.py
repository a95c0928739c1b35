"""What is no native operation, held against docs/openapi.json: paths, parameters, statuses, each member of each answer. (The
answers of native operations are held against it in every test that asks: run.py, Asking.)"""
import http.client
import json

import described
from run import good, test


def asked(c, method, path, node=0, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", c.http(node), timeout=20)
    try:
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        kind = reply.getheader("Content-Type")
        stream = kind.startswith("text/event-stream")
        text = reply.readline() if stream else reply.read()
        described.check(method.lower(), path, reply.status, kind, text)
        return reply.status, text
    finally:
        connection.close()


@test(3)
def openapi_describes_every_path_that_is_listed(c):
    """GET / names what there is; each is described, is answered as described, and nothing else is described."""
    lines = asked(c, "GET", "/")[1].decode().splitlines()
    listed = {(words[0].lower(), words[1].replace("ID", "{id}")) for words in map(str.split, lines)
              if len(words) > 1 and words[0] in ("GET", "POST", "DELETE")}
    rest = {(method, path) for method, path in described.paths()
            if "problem+json" not in json.dumps(described.DOCUMENT["paths"][path][method])}
    assert listed - {("post", "/v1/session/...,")} == rest - {("get", "/")}, listed ^ rest
    for method, path in sorted(rest):
        if method == "get":
            assert asked(c, "GET", path)[0] == 200, path


@test(3)
def openapi_describes_answers_and_refusals(c):
    session = good(c.http(), "session/create", ttl_ms=60000)["session"]
    good(c.http(), "lock/acquire", name="described", session=session)
    good(c.http(), "queue/push", name="described", key="k", number=1)
    good(c.http(), "limiter/take", name="described", algorithm="concurrency", rate=1, session=session)
    good(c.http(), "idempotency/begin", key="described", session=session)
    for node in range(3):  # a leader says more of its members
        assert asked(c, "GET", "/v1/cluster", node)[0] == 200
        status, text = asked(c, "GET", "/v1/view?limit=1", node)
        assert status == 200
    panels = json.loads(text)["panels"]
    schema = described.DOCUMENT["paths"]["/v1/view"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert set(panels) == set(schema["properties"]["panels"]["properties"]), "each panel is described, and there is no other"
    assert asked(c, "GET", "/v1/view?limit=0")[0] == 400
    assert asked(c, "GET", "/v1/view", **{"Sec-Fetch-Site": "cross-site"})[0] == 403
    assert asked(c, "GET", "/v1/events?topics=locks")[0] == 200
    assert asked(c, "GET", "/v1/events?topics=none")[0] == 400
    assert asked(c, "POST", "/v1/members", body="{}")[0] == 400
    assert asked(c, "POST", "/v1/members", body="{}", Origin="http://localhost")[0] == 403
    assert asked(c, "DELETE", "/v1/members/200")[0] == 404
    assert asked(c, "POST", "/v1/members/200/promote")[0] == 404
    assert asked(c, "POST", "/v1/leader/transfer", body='{"to": 0}')[0] == 400
    assert asked(c, "POST", "/v1/cluster/form", body="{}")[0] == 400
    assert asked(c, "POST", "/v1/time/step")[0] == 200
    leader = c.leader()
    assert asked(c, "POST", "/v1/leader/transfer", leader)[0] == 200
