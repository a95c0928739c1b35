// Drives go-zookeeper/zk, unmodified, against the servers in ZK_HOSTS. All tests run at once; in its middle a test may call kill(), where
// all wait for each other: then `KILL LEADER` is printed, a line read, and all go on.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

const (
	sessionTimeout = 15 * time.Second // longer than any election
	untilTimeout   = 25 * time.Second // for one condition
	phaseTimeout   = 50 * time.Second // for each half of all tests
)

type test struct {
	name string
	run  func(s *stage)
}

// stage is what a test gets: its place in the tree, connections that are closed at its end, conditions with a deadline.
type stage struct {
	name     string
	base     string
	hosts    []string
	arrived  sync.Once
	meeting  *sync.WaitGroup
	released chan struct{}
	mutex    sync.Mutex
	based    bool
	closing  []func()
}

type failure struct{ text string }
type skip struct{ reason string }

func (s *stage) kill() {
	s.arrived.Do(s.meeting.Done)
	<-s.released
}

func fail(format string, args ...interface{}) {
	panic(failure{fmt.Sprintf(format, args...)})
}

func must(err error, what string) {
	if err != nil {
		fail("%s: %v", what, err)
	}
}

func check(truth bool, format string, args ...interface{}) {
	if !truth {
		fail(format, args...)
	}
}

func equal(expected, actual interface{}, what string) {
	if !reflect.DeepEqual(expected, actual) {
		fail("%s: expected %v, got %v", what, expected, actual)
	}
}

func fails(expected, actual error, what string) {
	if !errors.Is(actual, expected) {
		fail("%s: expected %v, got %v", what, expected, actual)
	}
}

func until(what string, condition func() bool) {
	end := time.Now().Add(untilTimeout)
	for !condition() {
		if time.Now().After(end) {
			fail("in vain for %v: %s", untilTimeout, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// again repeats what may be repeated while the connection is lost.
func again(what string, work func() error) {
	end := time.Now().Add(untilTimeout)
	for {
		err := work()
		var network *net.OpError // the client's own writing failed
		lost := errors.Is(err, zk.ErrConnectionClosed) || errors.Is(err, zk.ErrNoServer) || errors.As(err, &network)
		if err == nil || !lost || time.Now().After(end) {
			must(err, what)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func within(what string, done <-chan struct{}) {
	select {
	case <-done:
	case <-time.After(untilTimeout):
		fail("in vain for %v: %s", untilTimeout, what)
	}
}

// async gives a channel that is closed when work is done; a failure of it is the test's.
func (s *stage) async(work func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer func() {
			if r := recover(); r == nil {
				close(done) // after a failure the test's deadline tells
			} else {
				fmt.Printf("%s, helper: %v\n", s.name, r)
			}
		}()
		work()
	}()
	return done
}

func event(events <-chan zk.Event, kind zk.EventType, path string) {
	select {
	case e := <-events:
		equal(fmt.Sprint(kind, " ", path, " ", nil), fmt.Sprint(e.Type, " ", e.Path, " ", e.Err), "event")
	case <-time.After(untilTimeout):
		fail("no event %v %s", kind, path)
	}
}

func noEvent(events <-chan zk.Event, what string) {
	select {
	case e := <-events:
		fail("%s: event %v", what, e)
	default:
	}
}

type silent struct{}

func (silent) Printf(string, ...interface{}) {}

func (s *stage) connect(hosts []string, timeout time.Duration, dialer zk.Dialer) (*zk.Conn, <-chan zk.Event) {
	var conn *zk.Conn
	var events <-chan zk.Event
	var err error
	if dialer == nil {
		conn, events, err = zk.Connect(hosts, timeout, zk.WithLogger(silent{}))
	} else {
		conn, events, err = zk.Connect(hosts, timeout, zk.WithLogger(silent{}), zk.WithDialer(dialer))
	}
	must(err, "connect")
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.closing = append(s.closing, conn.Close)
	until("a session", func() bool { return conn.State() == zk.StateHasSession })
	if !s.based {
		s.based = true
		_, err = conn.Create(s.base, nil, zk.FlagPersistent, world)
		must(err, "create the base")
	}
	return conn, events
}

func (s *stage) client() *zk.Conn {
	conn, _ := s.connect(s.hosts, sessionTimeout, nil)
	return conn
}

// settle returns when the cluster takes writes of this session (again).
func (s *stage) settle(conns ...*zk.Conn) {
	for _, conn := range conns {
		again("settle", func() error {
			_, err := conn.Set(s.base, []byte("settled"), -1)
			return err
		})
	}
}

func syncAt(conn *zk.Conn, path string) {
	again("sync", func() error {
		_, err := conn.Sync(path)
		return err
	})
}

type outcome struct {
	kind, text string
}

func (s *stage) perform(run func(*stage)) (result outcome) {
	began := time.Now()
	defer func() {
		switch r := recover().(type) {
		case nil:
			result = outcome{"ok", fmt.Sprintf("%s (%.1f s)", s.name, time.Since(began).Seconds())}
		case skip:
			result = outcome{"skipped", s.name + ": " + r.reason}
		case failure:
			result = outcome{"FAILED", s.name + ": " + r.text}
		default:
			result = outcome{"FAILED", fmt.Sprintf("%s: %v", s.name, r)}
		}
		s.arrived.Do(s.meeting.Done)
		for _, c := range s.closing {
			c()
		}
	}()
	run(s)
	return
}

func wanted(name string) bool {
	for _, arg := range os.Args[1:] {
		if strings.Contains(name, arg) {
			return true
		}
	}
	return len(os.Args) == 1
}

func main() {
	hosts := strings.Split(os.Getenv("ZK_HOSTS"), ",")
	released := make(chan struct{})
	var meeting sync.WaitGroup
	type running struct {
		name   string
		result chan outcome
	}
	var all []running
	for _, t := range tests {
		if !wanted(t.name) {
			continue
		}
		meeting.Add(1)
		s := &stage{name: t.name, base: fmt.Sprintf("/go-%d-%s", os.Getpid(), t.name), hosts: hosts, meeting: &meeting, released: released}
		r := running{t.name, make(chan outcome, 1)}
		all = append(all, r)
		go func(run func(*stage)) { r.result <- s.perform(run) }(t.run)
	}
	met := make(chan struct{})
	go func() {
		meeting.Wait()
		close(met)
	}()
	select {
	case <-met:
	case <-time.After(phaseTimeout):
	}
	fmt.Println("KILL LEADER")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	close(released)
	counts := map[string]int{}
	deadline := time.After(phaseTimeout)
	late := false
	for _, r := range all {
		var o outcome
		if !late {
			select {
			case o = <-r.result:
			case <-deadline:
				late = true
			}
		}
		if late {
			select {
			case o = <-r.result:
			default:
				o = outcome{"FAILED", r.name + ": not done in time"}
			}
		}
		fmt.Printf("%-7s %s\n", o.kind, o.text)
		counts[o.kind]++
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", counts["ok"], counts["FAILED"], counts["skipped"])
	if counts["FAILED"] != 0 {
		os.Exit(1)
	}
}
