"""Every operation of kazoo's client: what it gives, and each error it may give."""

import threading

from kazoo import exceptions as e
from kazoo.protocol.states import EventType, KazooState, KeeperState
from kazoo.security import ACL, CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE, Id, Permissions
from kazoo.security import make_acl, make_digest_acl, make_digest_acl_credential

from clients import client, root
from kit import HOSTS, equal, raises, test, until


@test()
def create_get_set_delete():
    c = client()
    at = root(c, "basic")
    equal(c.create(at + "/a", b"one"), at + "/a")
    data, stat = c.get(at + "/a")
    equal(data, b"one")
    equal((stat.version, stat.cversion, stat.aversion, stat.ephemeralOwner), (0, 0, 0, 0))
    equal((stat.data_length, stat.numChildren, stat.dataLength, stat.children_count), (3, 0, 3, 0))
    assert stat.czxid == stat.mzxid == stat.pzxid > 0 and stat.ctime == stat.mtime > 0
    after = c.set(at + "/a", b"longer", version=0)
    equal((after.version, after.dataLength), (1, 6))
    assert after.mzxid > after.czxid == stat.czxid and after.mtime >= after.ctime
    equal(c.exists(at + "/a"), after)
    assert c.delete(at + "/a", version=1) is True
    assert c.exists(at + "/a") is None
    assert c.get(at)[1].pzxid > after.mzxid, "a deletion is the parent's newest change of children"
    equal(c.get(at)[1].cversion, 2)
    c.stop()


@test()
def errors_of_nodes():
    c = client()
    at = root(c, "errors")
    raises(e.NoNodeError, c.get, at + "/none")
    raises(e.NoNodeError, c.set, at + "/none", b"")
    raises(e.NoNodeError, c.delete, at + "/none")
    raises(e.NoNodeError, c.get_children, at + "/none")
    raises(e.NoNodeError, c.get_acls, at + "/none")
    raises(e.NoNodeError, c.create, at + "/none/child")
    c.create(at + "/a")
    raises(e.NodeExistsError, c.create, at + "/a")
    raises(e.BadVersionError, c.set, at + "/a", b"", version=7)
    raises(e.BadVersionError, c.delete, at + "/a", version=7)
    raises(e.BadVersionError, c.set_acls, at + "/a", OPEN_ACL_UNSAFE, version=7)
    raises(e.NotEmptyError, c.delete, at)
    raises(e.BadArgumentsError, c.delete, "/")
    raises(e.BadArgumentsError, c.delete, "/zookeeper")
    c.create(at + "/brief", ephemeral=True)
    raises(e.NoChildrenForEphemeralsError, c.create, at + "/brief/child")
    equal(c.client_state, KeeperState.CONNECTED, "no error costs the connection")
    c.stop()


@test()
def create_with_include_data():
    c = client()
    at = root(c, "create2")
    path, stat = c.create(at + "/a", b"x", include_data=True)
    equal(path, at + "/a")
    equal(stat, c.exists(at + "/a"))
    path, stat = c.create(at + "/s-", b"xyz", sequence=True, ephemeral=True, include_data=True)
    equal((stat.ephemeralOwner, stat.dataLength), (c.client_id[0], 3))
    equal(c.exists(path), stat)
    c.stop()


@test()
def makepath_and_ensure_path():
    c = client()
    at = root(c, "deep")
    c.create(at + "/a/b/c/d", b"leaf", makepath=True)
    equal(c.get(at + "/a/b/c/d")[0], b"leaf")
    c.ensure_path(at + "/a/b/x/y")
    c.ensure_path(at + "/a/b/x/y")
    equal(sorted(c.get_children(at + "/a/b")), ["c", "x"])
    c.ensure_path_async(at + "/p/q").get(5)
    assert c.exists(at + "/p/q")
    c.delete(at, recursive=True)
    assert c.exists(at) is None
    c.stop()


@test()
def data_of_all_sizes():
    c = client()
    at = root(c, "sizes")
    for size in (0, 1, 1000, 65536, 1000000):
        value = bytes(k * 31 % 256 for k in range(1000)) * (size // 1000) or b"z" * size
        c.create(at + "/%d" % size, value)
        data, stat = c.get(at + "/%d" % size)
        assert data == value and stat.dataLength == len(value), size
    c.stop()


@test()
def request_over_the_limit_closes_only_its_connection():
    c, other = client(), client()
    at = root(c, "over")
    session = c.client_id[0]
    raises((e.ConnectionLoss, e.ConnectionClosedError), c.create, at + "/big", b"x" * 1200000)
    assert c.retry(c.exists, at + "/big") is None
    equal(c.client_id[0], session, "the session outlives the connection")
    equal(other.client_state, KeeperState.CONNECTED)
    c.stop(), other.stop()


@test()
def names_in_unicode():
    c = client()
    at = root(c, "names")
    names = ["grüße", "数据", "a b", "emoji-\u263a", "with.dot", "..."]
    for name in names:
        c.create(at + "/" + name, name.encode())
    equal(sorted(c.get_children(at)), sorted(names))
    for name in names:
        equal(c.get(at + "/" + name)[0], name.encode())
    raises((e.BadArgumentsError, ValueError), c.create, at + "/nul\0")
    c.stop()


@test()
def sequences_only_grow():
    c = client()
    at = root(c, "sequence")
    first = [c.create(at + "/n-", sequence=True) for _ in range(5)]
    equal(first, [at + "/n-%010d" % k for k in range(5)])
    c.delete(first[-1])
    equal(c.create(at + "/other-", sequence=True), at + "/other-0000000005", "one counter a parent, never reused")
    c.create(at + "/plain")
    equal(c.create(at + "/", sequence=True), at + "/0000000007", "plain children count too")
    c.stop()


@test()
def sequences_of_many_clients_differ():
    clients = [client(node=k) for k in range(3)]
    at = root(clients[0], "sequence-many")
    clients[1].sync(at), clients[2].sync(at)
    made = [c.create_async(at + "/n-", sequence=True, ephemeral=True) for _ in range(50) for c in clients]
    names = [a.get(10) for a in made]
    equal(sorted(names), [at + "/n-%010d" % k for k in range(150)])
    for k in range(3):
        mine = names[k::3]
        equal(mine, sorted(mine), "one client's requests keep their order")
    for c in clients:
        c.stop()


@test()
def ephemerals_end_with_their_session():
    owner, other = client(node=0), client(node=1)
    at = root(owner, "ephemeral")
    path = owner.create(at + "/e", b"mine", ephemeral=True)
    other.sync(at)
    equal(other.get(path)[1].owner_session_id, owner.client_id[0])
    gone = threading.Event()
    assert other.exists(path, watch=lambda event: gone.set() if event.type == EventType.DELETED else None)
    owner.stop()
    assert gone.wait(5), "the end of a session is seen at once by others"
    assert other.exists(path) is None
    equal(other.get_children(at), [])
    other.stop()


@test()
def children_with_and_without_stat():
    c = client()
    at = root(c, "children")
    equal(c.get_children(at), [])
    for k in range(20):
        c.create(at + "/c%02d" % k)
    names, stat = c.get_children(at, include_data=True)
    equal(sorted(names), ["c%02d" % k for k in range(20)])
    equal((stat.numChildren, stat.cversion), (20, 20))
    equal(stat, c.exists(at))
    assert "zookeeper" in c.get_children("/")
    c.stop()


@test()
def many_children():
    c = client()
    at = root(c, "many")
    for a in [c.create_async(at + "/child-with-a-longer-name-%05d" % k) for k in range(3000)]:
        a.get(15)
    equal(len(c.get_children(at)), 3000)
    for a in [c.delete_async(at + "/" + name) for name in c.get_children(at)]:
        a.get(15)
    equal(c.get_children(at), [])
    c.stop()


@test()
def watches_fire_once_each():
    c, other = client(node=0), client(node=1)
    at = root(c, "watches")
    other.sync(at)
    events = []

    def note(event):
        events.append((event.type, event.path))

    assert c.exists(at + "/n", watch=note) is None
    other.create(at + "/n", b"1")
    until("created", lambda: events == [(EventType.CREATED, at + "/n")])
    events.clear()
    c.get(at + "/n", watch=note)
    other.set(at + "/n", b"2")
    until("changed", lambda: events == [(EventType.CHANGED, at + "/n")])
    equal(c.get(at + "/n")[0], b"2", "who has the event reads the new value")
    other.set(at + "/n", b"3")
    c.sync(at)
    equal(len(events), 1, "a watch fires once")
    events.clear()
    c.get_children(at, watch=note)
    other.create(at + "/m")
    until("children", lambda: events == [(EventType.CHILD, at)])
    events.clear()
    c.exists(at + "/n", watch=note)
    c.get_children(at + "/n", watch=note)
    other.delete(at + "/n")
    until("deleted", lambda: len(events) == 1 or len(events) == 2)
    c.sync(at)
    assert set(events) == {(EventType.DELETED, at + "/n")}, events
    c.stop(), other.stop()


@test()
def event_comes_before_the_change_is_seen():
    """A reply that shows a change never overtakes the event of a watch on it: ZooKeeper's guarantee of order."""
    watcher, writer = client(node=0), client(node=1)
    at = root(writer, "order")
    writer.create(at + "/flag")
    for k in range(30):
        value = b"%d" % k
        seen = []
        watcher.sync(at)
        watcher.get(at + "/flag", watch=seen.append)
        writer.set(at + "/flag", value)
        until("the value", lambda: watcher.get(at + "/flag")[0] == value)
        # kazoo runs watch callbacks on a thread of its own: the event was queued there before the reply was given
        until("the event", lambda: seen, 2)
    watcher.stop(), writer.stop()


@test()
def asynchronous_requests_keep_their_order():
    c = client()
    at = root(c, "async")
    done = []
    c.create(at + "/n", b"")
    requests = []
    for k in range(300):
        requests.append(c.set_async(at + "/n", b"%d" % k))
        requests.append(c.get_async(at + "/n"))
        requests[-1].rawlink(lambda a, k=k: done.append(k))
    for k in range(300):
        equal(requests[2 * k].get(10).version, k + 1)
        equal(requests[2 * k + 1].get(10)[0], b"%d" % k, "a read sees the write before it")
    until("callbacks", lambda: len(done) == 300)
    equal(done, list(range(300)))
    equal(c.exists_async(at + "/none").get(5), None)
    raises(e.NoNodeError, c.get_async(at + "/none").get, timeout=5)
    equal(c.get_children_async(at).get(5), ["n"])
    assert c.get_acls_async(at).get(5)[0] == OPEN_ACL_UNSAFE
    equal(c.set_acls_async(at + "/n", READ_ACL_UNSAFE).get(5).aversion, 1)
    equal(c.sync_async(at).get(5), at)
    assert c.delete_async(at + "/n").get(5)
    c.stop()


@test()
def transaction_all_or_nothing():
    c = client()
    at = root(c, "multi")
    c.create(at + "/a", b"1")
    t = c.transaction()
    t.check(at + "/a", version=0)
    t.create(at + "/b", b"b")
    t.create(at + "/s-", sequence=True, ephemeral=True)
    t.set_data(at + "/a", b"2", version=0)
    t.set_data(at + "/b", b"bb", version=0)
    t.delete(at + "/b", version=1)
    results = t.commit()
    equal(results[:3], [True, at + "/b", at + "/s-0000000002"])
    equal((results[3].version, results[4].version, results[5]), (1, 1, True))
    stat = c.exists(at + "/a")
    assert c.exists(at + "/b") is None
    t = c.transaction()
    t.create(at + "/x")
    t.set_data(at + "/a", b"3", version=0)
    t.delete(at + "/a")
    results = t.commit()
    equal([type(r) for r in results], [e.RolledBackError, e.BadVersionError, e.RuntimeInconsistency])
    assert c.exists(at + "/x") is None
    equal(c.exists(at + "/a"), stat, "a refused transaction leaves no trace")
    raises(ValueError, t.commit)
    with c.transaction() as t:
        t.create(at + "/with")
        t.create(at + "/with/child")
    assert c.exists(at + "/with/child")
    equal([type(r) for r in c.transaction().commit()], [], "an empty transaction is no error")
    c.stop()


@test()
def transaction_is_one_change():
    c = client()
    at = root(c, "multi-zxid")
    t = c.transaction()
    for k in range(200):
        t.create(at + "/n%03d" % k, b"v")
    equal(len(t.commit()), 200)
    equal(len({c.exists(at + "/n%03d" % k).czxid for k in (0, 77, 199)}), 1)
    t = c.transaction()
    for k in range(200):
        t.delete(at + "/n%03d" % k)
    t.create(at + "/end")
    t.commit()
    equal(c.get_children(at), ["end"])
    c.stop()


@test()
def acl_of_digest_users():
    alice, mallory = client(), client()
    at = root(alice, "acl")
    alice.add_auth("digest", "alice:secret")
    alice.create(at + "/private", b"p", acl=CREATOR_ALL_ACL)
    acls, stat = alice.get_acls(at + "/private")
    equal(acls, [make_digest_acl("alice", "secret", all=True)], "auth stands for the users of the connection")
    equal(stat.aversion, 0)
    mallory.sync(at)
    for call in (lambda: mallory.get(at + "/private"), lambda: mallory.set(at + "/private", b""),
                 lambda: mallory.get_children(at + "/private"), lambda: mallory.create(at + "/private/x"),
                 lambda: mallory.set_acls(at + "/private", OPEN_ACL_UNSAFE)):
        raises(e.NoAuthError, call)
    assert mallory.exists(at + "/private"), "exists needs no permission"
    mallory.add_auth("digest", "alice:wrong")
    raises(e.NoAuthError, mallory.get, at + "/private")
    mallory.add_auth("digest", "alice:secret")
    equal(mallory.get(at + "/private")[0], b"p", "a connection may have several identities")
    equal(alice.set_acls(at + "/private", [make_acl("world", "anyone", read=True)], version=0).aversion, 1)
    third = client()
    third.sync(at)
    equal(third.get(at + "/private")[0], b"p")
    raises(e.NoAuthError, third.set, at + "/private", b"q")
    for c in (alice, mallory, third):
        c.stop()


@test()
def acl_permissions_one_by_one():
    admin, user = client(), client()
    at = root(admin, "acl-bits")
    admin.add_auth("digest", "admin:a")
    user.add_auth("digest", "user:u")
    credential = make_digest_acl_credential("user", "u")

    def may(**bits):
        admin.retry(admin.set_acls, at, [make_digest_acl("admin", "a", all=True),
                                         make_acl("digest", credential, **bits)])
        user.sync(at)

    may(create=True)
    user.create(at + "/c", acl=OPEN_ACL_UNSAFE)
    raises(e.NoAuthError, user.delete, at + "/c")
    raises(e.NoAuthError, user.get_children, at)
    may(delete=True)
    user.delete(at + "/c")
    raises(e.NoAuthError, user.create, at + "/d")
    may(read=True)
    user.get(at), user.get_children(at), user.get_acls(at)
    raises(e.NoAuthError, user.set, at, b"")
    may(write=True)
    user.set(at, b"w")
    raises(e.NoAuthError, user.get, at)
    may(admin=True)
    user.set_acls(at, OPEN_ACL_UNSAFE)
    user.get(at)
    admin.stop(), user.stop()


@test()
def acl_that_are_refused():
    c = client()
    at = root(c, "acl-bad")
    raises(e.InvalidACLError, c.create, at + "/n", acl=[ACL(Permissions.ALL, Id("nosuch", "x"))])
    raises(e.InvalidACLError, c.create, at + "/n", acl=[ACL(Permissions.ALL, Id("ip", "not-an-address"))])
    raises(e.InvalidACLError, c.create, at + "/n", acl=CREATOR_ALL_ACL)  # nobody is logged in
    raises(e.InvalidACLError, c.set_acls, at, [])
    c.create(at + "/ip", acl=[ACL(Permissions.ALL, Id("ip", "127.0.0.1"))])
    equal(c.get(at + "/ip")[0], b"")
    c.create(at + "/far", acl=[ACL(Permissions.READ, Id("ip", "10.0.0.0/8"))])
    raises(e.NoAuthError, c.get, at + "/far")
    c.stop()


@test()
def login_at_the_start_and_default_acl():
    c = client(auth_data=[("digest", "bob:b")], default_acl=[make_digest_acl("bob", "b", all=True)])
    other = client()
    at = root(other, "default-acl")
    c.sync(at)
    c.create(at + "/n", b"1")
    equal(c.get_acls(at + "/n")[0], [make_digest_acl("bob", "b", all=True)])
    other.sync(at)
    raises(e.NoAuthError, other.get, at + "/n")
    c.transaction().commit()
    c._connection._socket.shutdown(2)  # the login is repeated on the next connection
    equal(c.retry(c.get, at + "/n")[0], b"1")
    c.stop(), other.stop()


@test()
def unknown_scheme_fails_the_login():
    c = client()
    raises((e.AuthFailedError, e.ConnectionLoss, e.SessionExpiredError), c.add_auth, "nosuch", "x:y")
    c.stop()


@test()
def chroot_is_a_world_of_its_own():
    plain = client()
    at = root(plain, "chroot")
    c = client(chroot=at)
    c.sync("/")
    equal(c.create("/a", b"1"), "/a")
    plain.sync(at)
    equal(plain.get(at + "/a")[0], b"1")
    equal(c.get_children("/"), ["a"])
    equal(c.create("/s-", sequence=True), "/s-0000000001")
    events = []
    c.get("/a", watch=events.append)
    plain.set(at + "/a", b"2")
    until("the event", lambda: events)
    equal((events[0].type, events[0].path), (EventType.CHANGED, "/a"))
    t = c.transaction()
    t.create("/t")
    t.check("/a", version=1)
    equal(t.commit(), ["/t", True])
    equal(c.sync("/a"), "/a")
    c.chroot = at + "/missing"
    c.ensure_path("/x/y")
    plain.sync(at)
    assert plain.exists(at + "/missing/x/y")
    equal(c.unchroot(at + "/missing/x"), "/x")
    c.stop(), plain.stop()


@test()
def sync_shows_what_others_acknowledged():
    writer, reader = client(node=0), client(node=1)
    at = root(writer, "sync")
    for k in range(40):
        writer.create(at + "/n%d" % k)
        reader.sync(at)
        assert reader.exists(at + "/n%d" % k), k
    writer.stop(), reader.stop()


@test()
def commands_of_four_letters():
    c = client()
    equal(c.command(b"ruok"), "imok")
    text = c.command(b"srvr")
    for word in ("Zookeeper version: 3.8", "Latency min/avg/max:", "Zxid: 0x", "Mode: ", "Node count: "):
        assert word in text, (word, text)
    assert "Clients:" in c.command(b"stat")
    assert "\t" in c.command(b"mntr") and "zk_server_state" in c.command(b"mntr")
    assert c.command(b"isro").strip() == "rw"
    assert "clientPort" in c.command(b"conf")
    assert "environment" in c.command(b"envi").lower()
    assert "sid=" in c.command(b"cons")
    for word in (b"wchs", b"wchc", b"wchp", b"dump", b"dirs"):
        assert c.command(word), word
    equal(c.server_version()[:2], (3, 8))
    c.stop()


@test()
def configuration_and_reconfig():
    c = client()
    data, stat = c.get("/zookeeper/config")
    assert isinstance(data, bytes) and stat.czxid >= 0
    if len(HOSTS) > 1:
        assert data.count(b"server.") == 3, data
    error = raises(e.ZookeeperError, c.reconfig, "server.9=127.0.0.1:1:2:participant;127.0.0.1:3", None, None)
    assert isinstance(error, (e.ReconfigDisabledError, e.UnimplementedError)), error
    assert c.exists("/zookeeper")
    c.stop()


@test()
def read_only_client_of_a_full_server():
    c = client(read_only=True)
    equal(c.client_state, KeeperState.CONNECTED)
    at = root(c, "read-only")
    c.create(at + "/n")
    c.stop()


@test()
def set_hosts_while_connected():
    c = client(node=0)
    at = root(c, "hosts")
    session = c.client_id[0]
    c.create(at + "/e", ephemeral=True)
    states = []
    c.add_listener(states.append)
    c.set_hosts(HOSTS[-1])
    c._connection._socket.shutdown(2)
    until("suspended and back", lambda: states[-1:] == [KazooState.CONNECTED])
    equal(c.client_id[0], session)
    assert c.retry(c.exists, at + "/e")
    c.stop()


@test()
def stop_start_close():
    c = client()
    at = root(c, "restart")
    c.create(at + "/e", ephemeral=True)
    first = c.client_id[0]
    c.restart()
    assert c.client_id[0] != first
    assert c.exists(at + "/e") is None
    c.stop()
    raises(e.ConnectionClosedError, c.get, at)
    c.start()
    assert c.exists(at)
    c.stop()
    c.close()
