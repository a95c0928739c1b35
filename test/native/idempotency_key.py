"""The header Idempotency-Key, against real processes. Run by run.py."""
import http.client
import json
import signal
import socket
import struct
import threading
import time

from run import Asking, get, good, stand_still, test, until


def keyed(c, key, operation, node=0, /, **fields):
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
             ("guard/token_consume", dict(token="none")), ("queue/configure", dict(name="keyed", tries_max=1)),
             ("queue/push", dict(name="keyed", body="x", key="k")), ("queue/delete", dict(name="keyed-none")),
             ("lock/break", dict(name="keyed", token=1, reason="r")),
             ("limiter/take", dict(name="keyed", algorithm="fixed-window", rate=1, window_ms=86400000))]
    answers = [keyed(c, "each-%d" % i, operation, **fields) for i, (operation, fields) in enumerate(calls)]
    assert {answer[0] for answer in answers} == {200, 404, 409}, answers
    for i, (operation, fields) in enumerate(calls):
        assert keyed(c, "each-%d" % i, operation, **fields) == answers[i], operation
    permit = dict(name="keyed", algorithm="concurrency", rate=1, ttl_ms=1000)
    for operation, fields in (("lock/acquire", dict(name="keyed", owner="a", ttl_ms=1000)), ("queue/push", dict(name="keyed", key="k", number=7)),
                              ("lock/renew", dict(name="keyed", owner="a", token=1, ttl_ms=1)), ("limiter/take", permit),
                              ("queue/claim", dict(name="keyed")), ("queue/extend", dict(name="keyed", token=1, visibility_ms=1))):
        status, problem = keyed(c, "refused", operation, **fields)
        assert (status, problem["type"]) == (400, "/errors/bad-request"), problem
        assert "Idempotency-Key" in problem["detail"], problem
    assert keyed(c, "read", "lock/list")[0] == 200, "where nothing changes it says nothing"
    for key in ("", '""', '"open', 'a b', '"a" b', "a,b", '"\t"', "x" * 241):
        assert keyed(c, key, "guard/counter_delete", name="x")[0] == 400, key
    assert keyed(c, '"a\\"b \\\\"', "guard/counter_delete", name="x")[0] == 404
    assert keyed(c, "x" * 240, "guard/counter_delete", name="x")[0] == 404


@test(1)
def key_of_a_lock_a_permit_and_a_message(c):
    session = good(c.http(), "session/create", ttl_ms=60000)["session"]
    lock = dict(name="keyed", session=session, owner="a")
    first = keyed(c, "take", "lock/acquire", **lock)
    assert first[0] == 200 and first[1]["holds"] == 1, first
    assert keyed(c, "take", "lock/acquire", **lock) == first
    status, problem = keyed(c, "wait", "lock/acquire", wait_ms=1000, **lock)
    assert status == 400 and "without ttl_ms and wait_ms" in problem["detail"], problem
    other = dict(lock, session=good(c.http(), "session/create", ttl_ms=60000)["session"])
    assert keyed(c, "other", "lock/acquire", **other)[1]["type"] == "/errors/busy"
    token = first[1]["token"]
    assert [keyed(c, "give", "lock/release", token=token, **lock)[0] for _ in range(2)] == [200, 200]
    status, problem = keyed(c, "take", "lock/acquire", **lock)
    assert (status, problem["type"]) == (409, "/errors/not-held"), "what was told once would not be true"
    assert keyed(c, "other", "lock/acquire", **other)[0] == 200, "busy is not kept"
    permit = dict(name="keyed", algorithm="concurrency", rate=2, session=session)
    answers = [keyed(c, "permit", "limiter/take", **permit) for _ in range(3)]
    assert answers[0][1]["remaining"] == 1 and answers == answers[:1] * 3, answers
    assert good(c.http(), "limiter/show", name="keyed")["holds"] == 1
    pushed = [keyed(c, "push", "queue/push", name="once", key="k", body="b") for _ in range(3)]
    assert pushed[0][0] == 200 and pushed == pushed[:1] * 3, pushed
    message = good(c.http(), "queue/claim", name="once")["messages"][0]
    assert [keyed(c, "ack", "queue/ack", name="once", tokens=[message["token"]]) for _ in range(2)] == [(200, {})] * 2
    assert good(c.http(), "queue/claim", name="once")["messages"] == []


@test(1)
def key_of_an_owner_that_waits_already(c):
    """It goes on waiting in its place, and who closes that connection waits no longer."""
    holder, waiter = (good(c.http(), "session/create", ttl_ms=60000)["session"] for _ in range(2))
    token = good(c.http(), "lock/acquire", name="twice", session=holder)["token"]
    first = Asking(c.http(), "lock/acquire", name="twice", session=waiter, wait_ms=60000)
    until("it waits", lambda: good(c.http(), "lock/show", name="twice")["waiters"] == 1)
    body = json.dumps(dict(name="twice", session=waiter))
    with socket.create_connection(("127.0.0.1", c.http())) as connection:
        connection.sendall(("POST /v1/lock/acquire HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: twice\r\nContent-Length: %d\r\n\r\n%s"
                            % (len(body), body)).encode())
        assert first.answer().error == "superseded"
        assert good(c.http(), "lock/show", name="twice")["waiters"] == 1
    until("nobody waits", lambda: good(c.http(), "lock/show", name="twice")["waiters"] == 0)
    good(c.http(), "lock/release", name="twice", session=holder, token=token)
    assert keyed(c, "twice", "lock/acquire", name="twice", session=waiter)[1]["holds"] == 1


@test(3)
def key_of_a_lock_whose_answer_nobody_heard(c):
    """Without a key a grant that nobody heard of is given back; under one it stays for the same request. The connections end
    while the others are stopped, so no answer can have been told."""
    leader = c.leader()
    port, others = c.http(leader), [c.processes[i] for i in range(3) if i != leader]
    session = good(port, "session/create", ttl_ms=60000)["session"]
    for process in others:
        stand_still(process)
    try:
        connections = []
        for name, header in (("plain", ""), ("keyed", "Idempotency-Key: unheard\r\n")):
            body = json.dumps(dict(name=name, session=session))
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(("POST /v1/lock/acquire HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %d\r\n\r\n%s"
                                % (header, len(body), body)).encode())
            connections.append(connection)
            get(port, "/v1/cluster")  # answered behind the request's coming
        for connection in connections:
            connection.close()
            get(port, "/v1/cluster")
    finally:
        for process in others:
            process.send_signal(signal.SIGCONT)
    status, answer = keyed(c, "unheard", "lock/acquire", leader, name="keyed", session=session)
    assert (status, answer["holds"]) == (200, 1), answer
    until("the plain one is given back", lambda: not good(port, "lock/show", name="plain")["claims"])
    claims = good(port, "lock/show", name="keyed")["claims"]
    assert [(claim["token"], claim["holds"]) for claim in claims] == [(answer["token"], 1)], claims
    good(port, "session/close", session=session)


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
