"""The header Idempotency-Key, against real processes. Run by run.py."""
import http.client
import json
import threading
import time

from run import good, test


def keyed(c, key, operation, node=0, **fields):
    connection = http.client.HTTPConnection("127.0.0.1", c.http(node), timeout=20)
    try:
        connection.request("POST", "/v1/" + operation, json.dumps(fields), {"Idempotency-Key": key})
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())
    finally:
        connection.close()


@test(1)
def key_gives_the_same_answer_again(c):
    good(c.http(), "guard/counter_set", name="stock", value=10, floor=0, ceiling=10)
    first = keyed(c, '"order-1"', "guard/counter_add", deltas={"stock": -3})
    assert first == (200, {"values": {"stock": 7}, "repeated": False})
    assert keyed(c, '"order-1"', "guard/counter_add", deltas={"stock": -3}) == first
    assert keyed(c, "order-1", "guard/counter_add", deltas={"stock": -3}) == first, "quotes are no part of it"
    assert good(c.http(), "guard/counter_show", name="stock")["value"] == 7
    status, problem = keyed(c, '"order-1"', "guard/counter_add", deltas={"stock": -2})
    assert (status, problem["type"]) == (422, "/errors/mismatch")
    status, problem = keyed(c, '"order-1"', "guard/counter_set", name="stock", value=1)
    assert (status, problem["type"]) == (422, "/errors/mismatch"), "of another path"
    refusal = keyed(c, "order-2", "guard/counter_add", deltas={"stock": -8})
    assert refusal[0] == 409 and refusal[1]["value"] == 7
    good(c.http(), "guard/counter_set", name="stock", value=10, floor=0, ceiling=10)
    assert keyed(c, "order-2", "guard/counter_add", deltas={"stock": -8}) == refusal, "what was answered stays"
    c.kill(0)
    c.start_all()
    assert keyed(c, "order-1", "guard/counter_add", deltas={"stock": -3}) == first
    assert good(c.http(), "guard/counter_show", name="stock")["value"] == 10


@test(1)
def key_of_each_operation_that_takes_it(c):
    calls = [("config/publish", dict(name="keyed", items={"a": "1"})), ("config/rollback", dict(name="keyed", version=9)),
             ("config/publish", dict(name="keyed", items={"a": "2"}, percent=10)), ("config/release", dict(name="keyed", version=2)),
             ("config/promote", dict(name="keyed", version=2)), ("config/abandon", dict(name="keyed", version=2)),
             ("config/delete", dict(name="keyed")), ("sequence/create", dict(name="keyed", gapless=False)),
             ("sequence/next", dict(name="keyed", count=5)), ("sequence/set", dict(name="keyed", next=100)),
             ("guard/entity_transition", {"entity": "keyed", "to": "NEW", "caller": "ann"}),
             ("guard/entity_transition", {"entity": "keyed", "from": "PAID", "to": "SENT"}),
             ("guard/entity_delete", dict(entity="keyed", state="NEW")), ("guard/counter_set", dict(name="keyed", value=1)),
             ("guard/counter_add", dict(deltas={"keyed": -1, "other": 1})), ("guard/counter_delete", dict(name="keyed")),
             ("guard/token_consume", dict(token="none"))]
    answers = [keyed(c, "each-%d" % i, operation, **fields) for i, (operation, fields) in enumerate(calls)]
    assert {answer[0] for answer in answers} == {200, 404, 409}, answers
    for i, (operation, fields) in enumerate(calls):
        assert keyed(c, "each-%d" % i, operation, **fields) == answers[i], operation
    for operation, fields in (("lock/acquire", dict(name="keyed", owner="a", ttl_ms=1000)), ("queue/push", dict(name="keyed", body="x"))):
        status, problem = keyed(c, "refused", operation, **fields)
        assert (status, problem["type"]) == (400, "/errors/bad-request"), problem
    assert keyed(c, "read", "lock/list")[0] == 200, "where nothing changes it says nothing"
    for key in ("", '""', '"open', 'a b', '"a" b', "a,b", '"\t"', "x" * 241):
        assert keyed(c, key, "guard/counter_delete", name="x")[0] == 400, key
    assert keyed(c, '"a\\"b \\\\"', "guard/counter_delete", name="x")[0] == 404
    assert keyed(c, "x" * 240, "guard/counter_delete", name="x")[0] == 404


@test(1)
def key_of_many_at_the_same_moment(c):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(keyed(c, "rush", "guard/counter_add", deltas={"rush": 1})))
               for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [(200, {"values": {"rush": 1}, "repeated": False})] * 40, answers
    assert good(c.http(), "guard/counter_show", name="rush")["value"] == 1


@test(3)
def key_counts_once_while_leaders_die(c):
    """Each request is sent to two nodes at once, and again until it is answered; leaders are killed meanwhile."""
    errors, numbers = [], [[] for _ in range(30)]

    def send(i, node):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                status, answer = keyed(c, "k%d" % i, "sequence/next", node % 3, name="dying")
                if status == 200:
                    numbers[i].append(answer["first"])
                    return
                assert status in (503, 504), answer
            except OSError:
                pass
            node += 1
            time.sleep(0.02)
        errors.append("no answer for %d" % i)
    for i in range(30):
        threads = [threading.Thread(target=send, args=(i, node)) for node in (i, i + 1)]
        for thread in threads:
            thread.start()
        if i % 10 == 5:
            c.kill(c.leader())
        for thread in threads:
            thread.join()
        if i % 10 == 9:
            c.start_all()
    assert not errors, errors
    assert [set(n) for n in numbers] == [{i + 1} for i in range(30)], numbers
