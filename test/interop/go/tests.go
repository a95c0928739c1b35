package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
)

var world = zk.WorldACL(zk.PermAll)

var tests = []test{
	{"operations", operations},
	{"createModes", createModes},
	{"multi", multi},
	{"watches", watches},
	{"watchesCatchUp", watchesCatchUp},
	{"authAndAcl", authAndAcl},
	{"syncThenRead", syncThenRead},
	{"pipelined", pipelined},
	{"compareAndSet", compareAndSet},
	{"lockHeldOverTheKill", lockHeldOverTheKill},
	{"lockContended", lockContended},
	{"protectedCreate", protectedCreate},
	{"election", election},
	{"queue", queue},
	{"sessionSurvives", sessionSurvives},
	{"sessionExpires", sessionExpires},
	{"readAfterReconnect", readAfterReconnect},
	{"fourLetterWords", fourLetterWords},
	{"reconfigIsOff", reconfigIsOff},
}

func create(c *zk.Conn, path, data string, flags int32) string {
	name, err := c.Create(path, []byte(data), flags, world)
	must(err, "create "+path)
	return name
}

func operations(s *stage) {
	c := s.client()
	a := s.base + "/a"
	equal(a, create(c, a, "one", zk.FlagPersistent), "name")
	_, err := c.Create(a, nil, 0, world)
	fails(zk.ErrNodeExists, err, "create twice")
	_, err = c.Create(s.base+"/no/parent", nil, 0, world)
	fails(zk.ErrNoNode, err, "create without parent")
	found, _, err := c.Exists(s.base + "/nothing")
	check(err == nil && !found, "exists of nothing: %v", err)
	_, _, err = c.Get(s.base + "/nothing")
	fails(zk.ErrNoNode, err, "get")
	_, err = c.Set(s.base+"/nothing", nil, -1)
	fails(zk.ErrNoNode, err, "set")
	_, err = c.Set(a, []byte("x"), 7)
	fails(zk.ErrBadVersion, err, "set at a version")
	stat, err := c.Set(a, []byte("second"), 0)
	must(err, "set")
	check(stat.Version == 1 && stat.DataLength == 6 && stat.Mzxid > stat.Czxid && stat.EphemeralOwner == 0, "stat %+v", stat)
	data, read, err := c.Get(a)
	must(err, "get")
	equal("second", string(data), "data")
	equal(stat, read, "stat")
	create(c, a+"/c", "", 0)
	create(c, a+"/d", "", 0)
	names, parent, err := c.Children(a)
	must(err, "children")
	sort.Strings(names)
	equal([]string{"c", "d"}, names, "children")
	check(parent.NumChildren == 2 && parent.Cversion == 2, "stat of the parent %+v", parent)
	fails(zk.ErrNotEmpty, c.Delete(a, -1), "delete of a parent")
	fails(zk.ErrBadVersion, c.Delete(a+"/c", 4), "delete at a version")
	must(c.Delete(a+"/c", 0), "delete")
	s.kill()
	s.settle(c)
	data, after, err := c.Get(a)
	must(err, "get after the kill")
	equal("second", string(data), "data after the kill")
	check(after.Mzxid == stat.Mzxid && after.Czxid == stat.Czxid && after.Mtime == stat.Mtime && after.Cversion == 3, "stat %+v", after)
	stat, err = c.Set(a, []byte("third"), 1)
	must(err, "set after the kill")
	check(stat.Mzxid > after.Pzxid, "zxid grows over the kill")
}

func createModes(s *stage) {
	c, other := s.client(), s.client()
	n := s.base + "/n"
	equal(n+"0000000000", create(c, n, "", zk.FlagSequence), "first")
	equal(n+"0000000001", create(c, n, "", zk.FlagEphemeralSequential), "second")
	e := create(c, s.base+"/e", "", zk.FlagEphemeral)
	_, err := c.Create(e+"/c", nil, 0, world)
	fails(zk.ErrNoChildrenForEphemerals, err, "child of an ephemeral")
	_, err = c.CreateContainer(s.base+"/box", nil, zk.FlagContainer, world)
	must(err, "container")
	create(c, s.base+"/box/c", "", 0)
	brief, err := c.CreateTTL(s.base+"/brief", nil, zk.FlagTTL, world, 300*time.Millisecond)
	must(err, "TTL")
	long, err := c.CreateTTL(s.base+"/long-", nil, zk.FlagPersistentSequentialWithTTL, world, time.Hour)
	must(err, "sequential TTL")
	check(regexp.MustCompile(`/long-\d{10}$`).MatchString(long), "name %s", long)
	exists := func(path string) bool {
		found, _, err := c.Exists(path)
		must(err, "exists")
		return found
	}
	until("the TTL node ends", func() bool { return !exists(brief) })
	s.kill()
	s.settle(c, other)
	check(exists(long) && exists(e) && exists(s.base+"/box"), "what should stay stays")
	_, stat, err := c.Get(e)
	must(err, "get")
	equal(c.SessionID(), stat.EphemeralOwner, "owner")
	check(create(c, n, "", zk.FlagSequence) > n+"0000000004", "the sequence goes on")
	c.Close()
	until("ephemerals go with their session", func() bool {
		one, _, err := other.Exists(e)
		two, _, err2 := other.Exists(n + "0000000001")
		return err == nil && err2 == nil && !one && !two
	})
}

func multi(s *stage) {
	c := s.client()
	a, b := s.base+"/a", s.base+"/b"
	results, err := c.Multi(
		&zk.CreateRequest{Path: a, Data: []byte("1"), Acl: world},
		&zk.CreateRequest{Path: b, Acl: world, Flags: zk.FlagEphemeralSequential},
		&zk.SetDataRequest{Path: a, Data: []byte("2"), Version: 0},
		&zk.CheckVersionRequest{Path: a, Version: 1})
	must(err, "multi")
	equal(4, len(results), "results")
	equal(b+"0000000001", results[1].String, "name")
	equal(int32(1), results[2].Stat.Version, "version")
	results, err = c.Multi(&zk.DeleteRequest{Path: a, Version: -1}, &zk.CheckVersionRequest{Path: s.base, Version: 77},
		&zk.DeleteRequest{Path: b, Version: -1})
	fails(zk.ErrBadVersion, err, "failed multi")
	equal(3, len(results), "results of a failed multi")
	check(results[0].Error == nil && errors.Is(results[1].Error, zk.ErrBadVersion) && results[2].Error != nil, "errors %v", results)
	s.kill()
	s.settle(c)
	data, _, err := c.Get(a)
	must(err, "get")
	equal("2", string(data), "nothing of the failed one happened")
	_, err = c.Multi(&zk.DeleteRequest{Path: a, Version: 1}, &zk.CreateRequest{Path: a, Acl: world})
	must(err, "multi after the kill")
}

func watches(s *stage) {
	c, other := s.client(), s.client()
	a := create(c, s.base+"/a", "", 0)
	set := func() (data, children, later <-chan zk.Event) {
		_, _, data, err := c.GetW(a)
		must(err, "GetW")
		_, _, children, err = c.ChildrenW(a)
		must(err, "ChildrenW")
		_, _, later, err = c.ExistsW(s.base + "/later")
		must(err, "ExistsW")
		return
	}
	for half := 0; half < 2; half++ {
		data, children, later := set()
		if half == 1 {
			s.kill() // watches that stand over the kill
			s.settle(other)
		}
		_, err := other.Set(a, []byte("1"), -1)
		must(err, "set")
		event(data, zk.EventNodeDataChanged, a)
		create(other, a+"/c", "", 0)
		event(children, zk.EventNodeChildrenChanged, a)
		create(other, s.base+"/later", "", 0)
		event(later, zk.EventNodeCreated, s.base+"/later")
		s.settle(c)
		data, children, later = set()
		must(other.Delete(a+"/c", -1), "delete")
		event(children, zk.EventNodeChildrenChanged, a)
		must(other.Delete(s.base+"/later", -1), "delete")
		event(later, zk.EventNodeDeleted, s.base+"/later")
		noEvent(data, "nothing happened to the data")
		must(other.Delete(a, -1), "delete")
		event(data, zk.EventNodeDeleted, a)
		create(other, a, "", 0)
		syncAt(c, a)
	}
}

// line is a dialer whose connections can be cut, refused and made deaf.
type line struct {
	mutex   sync.Mutex
	conns   []net.Conn
	refuse  bool
	deaf    int32
	targets []string
	next    int
}

type lineConn struct {
	net.Conn
	line *line
}

func (c lineConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || atomic.LoadInt32(&c.line.deaf) == 0 {
			return n, err
		}
	}
}

func (l *line) dial(network, address string, timeout time.Duration) (net.Conn, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.refuse {
		return nil, errors.New("the line is cut")
	}
	if l.targets != nil {
		address = l.targets[l.next%len(l.targets)]
		l.next++
	}
	conn, err := net.DialTimeout(network, address, timeout)
	if err != nil {
		return nil, err
	}
	l.conns = append(l.conns, conn)
	return lineConn{conn, l}, nil
}

func (l *line) cut(refuse bool) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.refuse = refuse
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

func (l *line) restore() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.refuse = false
	atomic.StoreInt32(&l.deaf, 0)
}

// watchesCatchUp: what happened while the connection was lost is told on the next one.
func watchesCatchUp(s *stage) {
	other := s.client()
	l := &line{}
	c, _ := s.connect(s.hosts, sessionTimeout, l.dial)
	a, gone := create(other, s.base+"/a", "", 0), create(other, s.base+"/gone", "", 0)
	same := create(other, s.base+"/same", "", 0)
	syncAt(c, a)
	_, _, data, err := c.GetW(a)
	must(err, "GetW")
	_, _, children, err := c.ChildrenW(a)
	must(err, "ChildrenW")
	_, _, deleted, err := c.ExistsW(gone)
	must(err, "ExistsW")
	_, _, quiet, err := c.GetW(same)
	must(err, "GetW")
	s.kill()
	l.cut(true)
	s.settle(other)
	_, err = other.Set(a, []byte("1"), -1)
	must(err, "set")
	create(other, a+"/c", "", 0)
	must(other.Delete(gone, -1), "delete")
	l.restore()
	event(data, zk.EventNodeDataChanged, a)
	event(children, zk.EventNodeChildrenChanged, a)
	event(deleted, zk.EventNodeDeleted, gone)
	noEvent(quiet, "an unchanged node tells nothing")
	_, err = other.Set(same, nil, -1)
	must(err, "set")
	event(quiet, zk.EventNodeDataChanged, same)
}

func authAndAcl(s *stage) {
	owner, anyone := s.client(), s.client()
	must(owner.AddAuth("digest", []byte("carl:pw")), "auth")
	path := s.base + "/secret"
	_, err := owner.Create(path, []byte("s"), 0, zk.AuthACL(zk.PermAll))
	must(err, "create")
	acl, stat, err := owner.GetACL(path)
	must(err, "get ACL")
	equal(zk.DigestACL(zk.PermAll, "carl", "pw"), acl, "ACL")
	equal(int32(0), stat.Aversion, "version")
	syncAt(anyone, path)
	_, _, err = anyone.Get(path)
	fails(zk.ErrNoAuth, err, "get")
	_, err = anyone.Set(path, nil, -1)
	fails(zk.ErrNoAuth, err, "set")
	_, err = anyone.Create(s.base+"/x", nil, 0, nil)
	fails(zk.ErrInvalidACL, err, "empty ACL")
	_, err = anyone.Create(s.base+"/x", nil, 0, zk.AuthACL(zk.PermAll))
	fails(zk.ErrInvalidACL, err, "auth without identity")
	s.kill()
	s.settle(owner, anyone)
	_, _, err = owner.Get(path) // said its password again on the new connection
	must(err, "get after the kill")
	_, _, err = anyone.Get(path)
	fails(zk.ErrNoAuth, err, "get after the kill")
	_, err = owner.SetACL(path, world, 3)
	fails(zk.ErrBadVersion, err, "set ACL at a version")
	_, err = owner.SetACL(path, append(world[:1:1], zk.ACL{Perms: zk.PermRead, Scheme: "ip", ID: "127.0.0.1"}), 0)
	must(err, "set ACL")
	syncAt(anyone, path)
	_, _, err = anyone.Get(path)
	must(err, "get")
}

func syncThenRead(s *stage) {
	writer := s.client()
	path := create(writer, s.base+"/n", "", 0)
	var readers []*zk.Conn
	for _, host := range s.hosts {
		conn, _ := s.connect([]string{host}, sessionTimeout, nil)
		readers = append(readers, conn)
	}
	for i := 0; i < 40; i++ {
		if i == 20 {
			s.kill()
			s.settle(writer)
		}
		value := strconv.Itoa(i)
		again("set", func() error {
			_, err := writer.Set(path, []byte(value), -1)
			return err
		})
		for _, reader := range readers {
			reader := reader
			again("sync and get", func() error {
				if _, err := reader.Sync(path); err != nil {
					return err
				}
				data, _, err := reader.Get(path)
				if err == nil {
					equal(value, string(data), "read after sync")
				}
				return err
			})
		}
	}
}

// pipelined: many goroutines on one connection.
func pipelined(s *stage) {
	c := s.client()
	var group sync.WaitGroup
	var bad int32
	for g := 0; g < 20; g++ {
		g := g
		group.Add(1)
		go func() {
			defer group.Done()
			for i := 0; i < 50; i++ {
				name := fmt.Sprintf("%s/%d-%d", s.base, g, i)
				_, err := c.Create(name, []byte(name), 0, world)
				data, _, err2 := c.Get(name)
				if err != nil || err2 != nil || string(data) != name {
					atomic.AddInt32(&bad, 1)
				}
			}
		}()
	}
	within("all created", s.async(group.Wait))
	equal(int32(0), bad, "failures")
	s.kill()
	s.settle(c)
	names, _, err := c.Children(s.base)
	must(err, "children")
	equal(1000, len(names), "nodes")
}

func compareAndSet(s *stage) {
	first := s.client()
	path := create(first, s.base+"/counter", "0", 0)
	for half := 1; half <= 2; half++ {
		var group sync.WaitGroup
		for w := 0; w < 3; w++ {
			c := s.client()
			syncAt(c, path)
			group.Add(1)
			go func() {
				defer group.Done()
				for done := 0; done < 20; {
					data, stat, err := c.Get(path)
					if err != nil {
						return
					}
					value, _ := strconv.Atoi(string(data))
					if _, err = c.Set(path, []byte(strconv.Itoa(value+1)), stat.Version); err == nil {
						done++
					}
				}
			}()
		}
		within("all counted", s.async(group.Wait))
		syncAt(first, path)
		data, stat, err := first.Get(path)
		must(err, "get")
		equal(strconv.Itoa(60*half), string(data), "sum")
		equal(int32(60*half), stat.Version, "version")
		if half == 1 {
			s.kill()
			s.settle(first)
		}
	}
}

func lockHeldOverTheKill(s *stage) {
	first, second := s.client(), s.client()
	held, wanted := zk.NewLock(first, s.base+"/locks/one", world), zk.NewLock(second, s.base+"/locks/one", world)
	fails(zk.ErrNotLocked, held.Unlock(), "unlock of nothing")
	must(held.LockWithData([]byte("holder")), "lock")
	fails(zk.ErrDeadlock, held.Lock(), "lock twice")
	var released, early int32
	acquired := s.async(func() {
		must(wanted.Lock(), "second lock")
		early = 1 - atomic.LoadInt32(&released)
	})
	until("the second waits", func() bool {
		names, _, err := first.Children(s.base + "/locks/one")
		return err == nil && len(names) == 2
	})
	id := first.SessionID()
	s.kill()
	s.settle(first, second)
	equal(id, first.SessionID(), "session")
	select {
	case <-acquired:
		fail("the second got it while the first held it")
	default:
	}
	names, _, err := first.Children(s.base + "/locks/one")
	must(err, "children")
	equal(2, len(names), "places in the queue")
	atomic.StoreInt32(&released, 1)
	must(held.Unlock(), "unlock")
	within("the second gets it", acquired)
	equal(int32(0), early, "acquired too early")
	must(wanted.Unlock(), "second unlock")
	must(held.Lock(), "lock again")
	must(held.Unlock(), "unlock again")
}

func lockContended(s *stage) {
	var inside, most, entered int32
	var group sync.WaitGroup
	var clients []*zk.Conn
	for i := 0; i < 3; i++ {
		clients = append(clients, s.client())
	}
	round := func() {
		for w := 0; w < 8; w++ {
			c := clients[w%3]
			group.Add(1)
			go func() {
				defer group.Done()
				lock := zk.NewLock(c, s.base+"/lock", world)
				for i := 0; i < 5; i++ {
					if lock.Lock() != nil {
						return
					}
					if n := atomic.AddInt32(&inside, 1); n > atomic.LoadInt32(&most) {
						atomic.StoreInt32(&most, n)
					}
					atomic.AddInt32(&entered, 1)
					atomic.AddInt32(&inside, -1)
					if lock.Unlock() != nil {
						return
					}
				}
			}()
		}
		within("all had the lock", s.async(group.Wait))
	}
	round()
	s.kill()
	s.settle(clients...)
	round()
	equal(int32(1), most, "holders at one time")
	equal(int32(80), entered, "times held")
}

// protectedCreate: the reply of a create gets lost; the client finds its node again and makes no second one.
func protectedCreate(s *stage) {
	other := s.client()
	l := &line{}
	c, _ := s.connect(s.hosts, sessionTimeout, l.dial)
	p := create(other, s.base+"/p", "", 0)
	syncAt(c, p)
	for half := 1; half <= 2; half++ {
		atomic.StoreInt32(&l.deaf, 1)
		name := ""
		made := s.async(func() {
			var err error
			name, err = c.CreateProtectedEphemeralSequential(p+"/lock-", nil, world)
			must(err, "protected create")
		})
		until("the node is there", func() bool {
			syncAt(other, p)
			names, _, err := other.Children(p)
			return err == nil && len(names) == half
		})
		l.cut(false)
		l.restore()
		within("created", made)
		syncAt(other, p)
		names, _, err := other.Children(p)
		must(err, "children")
		equal(half, len(names), "nodes")
		found := false
		for _, n := range names {
			found = found || p+"/"+n == name
		}
		check(found, "%s is not among %v", name, names)
		if half == 1 {
			s.kill()
			s.settle(other, c)
		}
	}
}

// election by sequence numbers: the least is the leader, each watches the one before it.
func election(s *stage) {
	create(s.client(), s.base+"/e", "", 0)
	type candidate struct {
		conn *zk.Conn
		name string
	}
	var all []candidate
	for i := 0; i < 3; i++ {
		c := s.client()
		all = append(all, candidate{c, create(c, s.base+"/e/c-", "", zk.FlagEphemeralSequential)})
	}
	s.kill()
	for i := range all {
		s.settle(all[i].conn)
	}
	for i := 0; i < 2; i++ {
		found, _, gone, err := all[i+1].conn.ExistsW(all[i].name)
		must(err, "exists")
		check(found, "candidate %d is alive", i)
		all[i].conn.Close()
		event(gone, zk.EventNodeDeleted, all[i].name)
		names, _, err := all[i+1].conn.Children(s.base + "/e")
		must(err, "children")
		sort.Strings(names)
		equal(all[i+1].name, s.base+"/e/"+names[0], "the next leader")
	}
}

func queue(s *stage) {
	producer, consumer := s.client(), s.client()
	create(producer, s.base+"/q", "", 0)
	for i := 0; i < 10; i++ {
		create(producer, s.base+"/q/item-", strconv.Itoa(i), zk.FlagSequence)
	}
	syncAt(consumer, s.base+"/q")
	take := func() string {
		for {
			names, _, changed, err := consumer.ChildrenW(s.base + "/q")
			must(err, "children")
			sort.Strings(names)
			if len(names) == 0 {
				select {
				case <-changed:
				case <-time.After(untilTimeout):
					fail("nothing came")
				}
				continue
			}
			path := s.base + "/q/" + names[0]
			data, stat, err := consumer.Get(path)
			must(err, "get")
			must(consumer.Delete(path, stat.Version), "delete")
			return string(data)
		}
	}
	for i := 0; i < 12; i++ {
		if i == 5 {
			s.kill()
			s.settle(producer, consumer)
		}
		if i >= 10 {
			create(producer, s.base+"/q/item-", strconv.Itoa(i), zk.FlagSequence)
		}
		equal(strconv.Itoa(i), take(), "first in, first out")
	}
}

func sessionSurvives(s *stage) {
	c, _ := s.connect(s.hosts, sessionTimeout, nil)
	other := s.client()
	e := create(c, s.base+"/e", "", zk.FlagEphemeral)
	id := c.SessionID()
	s.kill()
	s.settle(c, other)
	equal(id, c.SessionID(), "session")
	syncAt(other, e)
	found, stat, err := other.Exists(e)
	check(err == nil && found && stat.EphemeralOwner == id, "the ephemeral is there")
	c.Close()
	until("gone with its session", func() bool {
		syncAt(other, e)
		found, _, err := other.Exists(e)
		return err == nil && !found
	})
}

func sessionExpires(s *stage) {
	other := s.client()
	l := &line{}
	c, events := s.connect(s.hosts, 4*time.Second, l.dial)
	e := create(c, s.base+"/e", "", zk.FlagEphemeral)
	id := c.SessionID()
	s.kill()
	s.settle(other)
	syncAt(other, e)
	_, _, gone, err := other.ExistsW(e)
	must(err, "exists")
	l.cut(true)
	event(gone, zk.EventNodeDeleted, e)
	l.restore()
	end := time.After(untilTimeout)
	for expired := false; !expired; {
		select {
		case ev := <-events:
			expired = ev.State == zk.StateExpired
		case <-end:
			fail("the client is not told")
		}
	}
	until("a new session", func() bool { return c.State() == zk.StateHasSession && c.SessionID() != id })
}

// readAfterReconnect: a client that goes from node to node never sees less than it saw.
func readAfterReconnect(s *stage) {
	l := &line{targets: s.hosts}
	c, _ := s.connect(s.hosts, sessionTimeout, l.dial)
	path := create(c, s.base+"/n", "0", 0)
	for i := 1; i <= 6; i++ {
		if i == 3 {
			s.kill()
		}
		value := strconv.Itoa(i)
		again("set", func() error {
			_, err := c.Set(path, []byte(value), -1)
			return err
		})
		l.cut(false)
		again("get", func() error {
			data, _, err := c.Get(path)
			if err == nil {
				equal(value, string(data), "own write after a reconnect")
			}
			return err
		})
	}
}

func fourLetterWords(s *stage) {
	c := s.client()
	for half := 0; half < 2; half++ {
		if half == 1 {
			s.kill()
			s.settle(c)
		}
		until("all nodes say imok", func() bool {
			for _, ok := range zk.FLWRuok(s.hosts, time.Second) {
				if !ok {
					return false
				}
			}
			return true
		})
		until("one leader, or one alone", func() bool {
			stats, ok := zk.FLWSrvr(s.hosts, time.Second)
			leaders := 0
			for _, one := range stats {
				if one.Mode == zk.ModeLeader || one.Mode == zk.ModeStandalone {
					leaders++
				}
			}
			return ok && leaders == 1 || os.Getenv("PARLEY_HTTP") == "" // the version of Debian's ZooKeeper is none this client can read
		})
		connections := 0
		clients, _ := zk.FLWCons(s.hosts, 2*time.Second) // never all is well: it cannot read the line of the connection that asks
		for _, node := range clients {
			for _, client := range node.Clients {
				if client.SessionID == c.SessionID() {
					connections++
				}
			}
		}
		equal(1, connections, "connections of this session in cons")
	}
}

func reconfigIsOff(s *stage) {
	c := s.client()
	s.kill()
	s.settle(c)
	_, err := c.IncrementalReconfig([]string{"server.9=127.0.0.1:1:2:participant;3"}, nil, -1)
	fails(zk.ErrReconfigDisabled, err, "reconfig")
}
