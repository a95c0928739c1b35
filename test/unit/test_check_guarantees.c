// sim/check: guarantees, watches, locks, sequences, sets: what must be accepted and what must be refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "support/histories.h"

#define RUN(cases) histories_run(cases, sizeof(cases) / sizeof *(cases))
#define GOOD(name, text)                                                                                               \
    { name, NULL, CHECK_OK, text }
#define BAD(name, text)                                                                                                \
    { name, CHECKER, CHECK_VIOLATION, text }

#define CHECKER "guarantees"
static void answers_and_effects_are_in_order(void **state) {
    static const struct history_case cases[] = {
        GOOD("pipelined, answered in order", "1 0-5 write x a z=1\n1 1-6 write x b z=2\n1 2-7 read x b z=2"),
        GOOD("answered at one moment", "1 0-5 write x a z=1\n1 1-5 write x b z=2\n1 2-5 read x b z=2"),
        GOOD("a lost answer is no disorder", "1 0-5 write x a z=1\n1 1- write x b\n1 8-9 read x a z=1 local"),
        GOOD("a lock is answered when it is granted", "1 0-50 lock l 1\n1 1-2 write x a z=1\n1 3-4 read x a z=1"),
        GOOD("a multi has one zxid", "1 0-5 write x a z=3 m=1\n1 0-5 write y a z=3 m=1\n1 6-7 write x b z=4"),
        BAD("answered out of order", "1 0-7 write x a z=1\n1 1-6 read x a z=1"),
        BAD("answered out of order at one moment", "1 0-7 write x a z=1 r=2\n1 1-7 read x a z=1 r=1"),
        BAD("pipelined writes take effect in another order", "1 0-5 write x a z=2\n1 1-6 write y b z=1"),
        BAD("two writes share a zxid", "1 0-5 write x a z=2\n1 1-6 write y b z=2"),
        BAD("one multi in two steps", "1 0-5 write x a z=3 m=1\n1 0-5 write y a z=4 m=1"),
    };
    RUN(cases);
}

static void a_view_never_goes_back(void **state) {
    static const struct history_case cases[] = {
        GOOD("a plain read may be behind others", "1 0-1 write x a z=1\n1 2-3 write x b z=2\n2 4-5 read x a z=1 local"),
        GOOD("and catch up", "1 0-1 write x a\n1 2-3 write x b\n2 4-5 read x a local\n2 6-7 read x b local"),
        GOOD("another session may be behind the first",
             "1 0-1 write x a z=1\n1 2-3 write x b z=2\n2 4-5 read x b z=2 local\n3 6-7 read x a z=1 local"),
        GOOD("reads beside writes that nobody ordered",
             "1 0-9 write x a\n2 0-9 write x b\n3 10-11 read x a local\n4 10-11 read x b local"),
        GOOD("two zxids of one moment, which nobody ordered", "1 0-5 read x - z=2 local\n1 0-5 read y - z=1 local"),
        BAD("the zxid goes back in a session (moved to a server that is behind)",
            "1 0-1 write x a z=5\n1 2-3 read y - z=4 local"),
        BAD("non-monotonic read, by zxid",
            "1 0-1 write x a z=1\n1 2-3 write x b z=2\n2 4-5 read x b local\n2 6-7 read x a local"),
        BAD("non-monotonic read, by version", "1 0- write x a\n2 4-5 read x a v=7 local\n2 6-7 read x a v=6 local"),
        BAD("non-monotonic read, by time",
            "1 0-1 write x a\n1 2-3 write x b\n2 4-5 read x b local\n2 6-7 read x a local"),
        BAD("non-monotonic read: seen, then not there", "1 0-1 create x a\n2 4-5 read x a local\n2 6-7 read x - local"),
        BAD("an unknown write is seen, then unseen",
            "1 0-1 write x a v=1\n2 2- write x b\n3 4-5 read x b v=2 local\n3 6-7 read x a v=1 local"),
        BAD("does not read its own write", "1 0-1 write x a\n1 2-3 write x b\n1 4-5 read x a local"),
        BAD("does not read its own write, pipelined",
            "1 0-1 write x a z=1\n1 2-8 write x b z=2\n1 3-9 read x a z=2 local"),
        BAD("what nobody wrote", "1 0-1 write x a\n2 2-3 read x q local"),
        BAD("what failed", "1 0-1 write x a\n1 2-3 cas x b e=q !\n2 4-5 read x b local"),
        BAD("what is written later", "2 0-1 read x a local\n1 2-3 write x a"),
        BAD("older than its own reply's zxid", "1 0-1 write x a z=1\n1 2-3 write x b z=2\n2 4-5 read x a z=2 local"),
        BAD("newer than its own reply's zxid", "1 0-1 write x a z=1\n1 2-9 write x b z=2\n2 4-5 read x b z=1 local"),
    };
    RUN(cases);
}

static void sync_is_worth_its_name(void **state) {
    static const struct history_case cases[] = {
        GOOD("a read behind sync", "1 0-1 write x a\n1 2-3 write x b\n2 4-5 sync -\n2 6-7 read x b local"),
        GOOD("a write beside the sync may be missed",
             "1 0-1 write x a\n1 2-9 write x b\n2 4-5 sync -\n2 6-7 read x a local"),
        GOOD("a write behind the sync may be missed",
             "1 0-1 write x a\n2 2-3 sync -\n1 4-5 write x b\n2 6-7 read x a local"),
        GOOD("another client's sync promises nothing",
             "1 0-1 write x a\n1 2-3 write x b\n2 4-5 sync -\n3 6-7 read x a local"),
        GOOD("a sync without an answer promises nothing",
             "1 0-1 write x a\n1 2-3 write x b\n2 4- sync -\n2 6-7 read x a local"),
        BAD("the sync guarantee is broken (a leader that does not ask its followers)",
            "1 0-1 write x a\n1 2-3 write x b\n2 4-5 sync -\n2 6-7 read x a local"),
        BAD("a read that had been shown to another client counts too",
            "1 0-1 write x a v=0\n1 2- write x b\n3 4-5 read x b v=1 local\n2 6-7 sync -\n2 8-9 read x a v=0 local"),
        BAD("a read behind sync, on another key, by zxid",
            "1 0-1 write x a z=5\n2 2-3 sync -\n2 4-5 read y - z=4 local"),
        BAD("a linearizable read that is stale", "1 0-1 write x a\n1 2-3 write x b\n2 4-5 read x a"),
    };
    RUN(cases);
}
#undef CHECKER

#define CHECKER "watches"
static void a_watch_gives_one_event(void **state) {
    static const struct history_case cases[] = {
        GOOD("set, changed, told",
             "1 0-1 create x a z=1\n2 2-3 read x a z=1 data local\n1 4-5 write x b z=2\n2 6 event x changed z=1\n"
             "2 7-8 read x b z=2 local"),
        GOOD("set again behind its event",
             "1 0-1 create x a z=1\n2 2-3 read x a z=1 data local\n1 4-5 write x b z=2\n2 6 event x changed\n"
             "2 7-8 read x b z=2 data local\n1 9-10 write x c z=3\n2 11 event x changed\n2 12-13 read x c z=3 local"),
        GOOD("the session ends before anything is told",
             "1 0-1 create x a z=1\n2 2-3 read x a z=1 data local\n1 4-5 write x b z=2"),
        GOOD("what is told is older than the change",
             "1 0-1 create x a z=1\n2 2-3 read x a z=1 data local\n1 4-5 write x b z=2\n2 6-7 read y - z=1 local"),
        GOOD("made while it was watched for",
             "2 0-1 read x - z=1 data local\n1 2-3 create x a z=2\n2 4 event x created\n"
             "2 5-6 read x a z=2 local"),
        GOOD("the event comes before the writer's own answer",
             "1 0-1 create x a z=1\n1 2-3 read x a z=1 data local\n1 4-6 write x b z=2\n1 5 event x changed"),
        GOOD("an unknown write explains an event",
             "1 0-1 create x a z=1\n2 2-3 read x a z=1 data local\n1 4- write x b\n2 9 event x changed"),
        GOOD("an unknown read may have set a watch",
             "1 0-1 create x a z=1\n2 2- read x data local\n1 4-5 write x b z=2\n2 9 event x changed"),
        GOOD("an ephemeral node ends by itself",
             "1 0-1 create x a z=1\n2 2-3 read x a z=1 data local\n2 9 event x deleted"),
        GOOD("the event and the data at one moment",
             "1 0-1 create x a z=1\n2 2-3 read x a z=1 data local\n1 4-5 write x b z=2\n2 6-7 read x b z=2 local\n"
             "2 7 event x changed z=1"),
        GOOD("children", "1 0-1 create /p a z=1\n2 2-3 read /p - z=1 child local\n1 4-5 create /p/c b z=2\n"
                         "2 6 event /p child\n2 7-8 read /p/c b z=2 local"),
        BAD("one watch, two events",
            "1 0-1 create x a z=1\n2 2-3 read x a z=1 data local\n1 4-5 write x b z=2\n2 6 event x changed\n"
            "1 7-8 write x c z=3\n2 9 event x changed"),
        BAD("an event that nobody asked for", "1 0-1 create x a z=1\n1 2-3 write x b z=2\n2 4 event x changed"),
        BAD("an event without a change", "1 0-1 create x a z=1\n2 2-3 read x a z=1 data local\n2 4 event x changed"),
        BAD("the data before its event",
            "1 0-1 create x a z=1\n2 2-3 read x a z=1 data local\n1 4-5 write x b z=2\n2 6-7 read x b z=2 local\n"
            "2 8 event x changed"),
        BAD("the data before its event, without a zxid",
            "1 0-1 create x a\n2 2-3 read x a data local\n1 4-5 write x b\n2 6-7 read x b local\n2 8 event x changed"),
        BAD("another key's newer zxid before the event",
            "1 0-1 create x a z=1\n2 2-3 read x a z=1 data local\n1 4-5 write x b z=2\n2 6-7 read y - z=2 local\n"
            "2 8 event x changed"),
        BAD("its own write's answer before the event",
            "1 0-1 create x a z=1\n1 2-3 read x a z=1 data local\n1 4-5 write x b z=2\n1 6 event x changed"),
        BAD("a missed watch on reconnect (changed while the client moved to another server)",
            "1 0-1 create x a z=1\n2 2-3 read x a z=1 data local\n2 4 event - disconnected\n1 5-6 write x b z=2\n"
            "2 7 event - connected\n2 8-9 read x b z=2 data local"),
        BAD("a missed watch, shown by a sync",
            "1 0-1 create x a\n2 2-3 read x a data local\n1 4-5 write x b\n2 6-7 sync -\n2 8 event x changed"),
        BAD("a missed child", "1 0-1 create /p a z=1\n2 2-3 read /p - z=1 child local\n1 4-5 create /p/c b z=2\n"
                              "2 6-7 sync - z=2"),
    };
    RUN(cases);
}

static void a_persistent_watch_gives_all(void **state) {
    static const struct history_case cases[] = {
        GOOD("every change, in order",
             "2 0-1 read x - z=1 persistent local\n1 2-3 create x a z=2\n1 4-5 write x b z=3\n1 6-7 delete x z=4\n"
             "2 8 event x created\n2 9 event x changed\n2 10 event x deleted\n2 11-12 read x - z=4 local"),
        GOOD("an unknown change more",
             "2 0-1 read x - z=1 persistent local\n1 2-3 create x a z=2\n3 4- write x b\n1 6-7 write x c z=4\n"
             "2 8 event x created\n2 9 event x changed\n2 10 event x changed\n2 11-12 read x c z=4 local"),
        GOOD("a new connection does not catch up", "2 0-1 read x - z=1 persistent local\n1 2-3 create x a z=2\n2 4 "
                                                   "event - connected\n2 5-6 read x a z=2 local"),
        BAD("one is missing",
            "2 0-1 read x - z=1 persistent local\n1 2-3 create x a z=2\n1 4-5 write x b z=3\n2 8 event x created\n"
            "2 11-12 read x b z=3 local"),
        BAD("in another order",
            "2 0-1 read x - z=1 persistent local\n1 2-3 create x a z=2\n1 4-5 write x b z=3\n2 8 event x changed\n"
            "2 9 event x created\n2 11-12 read x b z=3 local"),
        BAD("one too many", "2 0-1 read x - z=1 persistent local\n1 2-3 create x a z=2\n2 4 event x created\n"
                            "2 5 event x changed"),
    };
    RUN(cases);
}
#undef CHECKER

#define CHECKER "locks"
static void a_lock_has_one_holder(void **state) {
    static const struct history_case cases[] = {
        GOOD("one after the other",
             "1 0-1 lock l 33\n1 2-3 fence l 33\n1 4-5 unlock l 33\n2 0-7 lock l 34\n2 8-9 fence l 34"),
        GOOD("the old holder is refused", "1 0-1 lock l 33\n2 5-6 lock l 34\n2 7-8 fence l 34\n1 9-10 fence l 33 !"),
        GOOD("the old holder was still in time",
             "1 0-1 lock l 33\n2 5-6 lock l 34\n1 7-8 fence l 33\n2 9-10 fence l 34"),
        GOOD("told late of a grant that was given first", "2 0-20 lock l 33\n1 5-6 lock l 34"),
        GOOD("a write beside another may come first",
             "1 0-1 lock l 33\n2 5-6 lock l 34\n1 7-20 fence l 33\n2 9-10 fence l 34"),
        // Kleppmann 2016, "How to do distributed locking": a pause outlasts the lease.
        BAD("Kleppmann: a paused holder writes behind the new one",
            "1 0-1 lock l 33\n2 5-6 lock l 34\n2 7-8 fence l 34\n1 9-10 fence l 33"),
        BAD("the same by the resource's own count",
            "1 0-1 lock l 33\n2 5-6 lock l 34\n2 7-20 fence l 34 v=1\n1 7-20 fence l 33 v=2"),
        BAD("granted twice after a session's expiry", "1 0-1 lock l 33\n2 5-6 lock l 33"),
        BAD("granted twice at once", "1 0-9 lock l 33\n2 0-9 lock l 33"),
        BAD("a released lock is granted with a smaller token", "1 0-1 lock l 33\n1 2-3 unlock l 33\n2 4-5 lock l 32"),
        BAD("a token that nobody was granted", "1 0-1 lock l 33\n1 2-3 fence l 35"),
        BAD("a token is used before it was asked for", "2 0-1 fence l 33\n1 2-3 lock l 33"),
        {"a token that is no number", "locks", CHECK_UNKNOWN, "1 0-1 lock l mine"},
    };
    RUN(cases);
}
#undef CHECKER

#define CHECKER "sequences"
static void numbers_are_given_once(void **state) {
    static const struct history_case cases[] = {
        GOOD("growing, with gaps", "1 0-1 sequence q /q/n-0000000001\n2 2-3 sequence q /q/n-0000000004\n"
                                   "1 4-5 sequence q /q/n-0000000005"),
        GOOD("beside each other in any order", "1 0-9 sequence q 2\n2 1-8 sequence q 1"),
        GOOD("each key counts for itself", "1 0-1 sequence q 1\n1 2-3 sequence r 1"),
        GOOD("a lost answer leaves a gap", "1 0-1 sequence q 1\n2 2- sequence q\n1 4-5 sequence q 3"),
        BAD("repeated", "1 0-1 sequence q 7\n2 2-3 sequence q 7"),
        BAD("repeated at once (two leaders)", "1 0-9 sequence q n-7\n2 0-9 sequence q n-0007"),
        BAD("goes back", "1 0-1 sequence q 7\n2 2-3 sequence q 6"),
        BAD("goes back behind calls that overlap", "1 0-1 sequence q 7\n2 0-9 sequence q 8\n3 2-3 sequence q 5"),
        BAD("pipelined, in another order", "1 0-5 sequence q 2\n1 1-6 sequence q 1"),
    };
    RUN(cases);
}
#undef CHECKER

#define CHECKER "sets"
static void sets_lose_nothing(void **state) {
    static const struct history_case cases[] = {
        GOOD("all that was acknowledged", "1 0-1 add s a\n2 0-1 add s b\n3 2-3 read s a,b"),
        GOOD("an unknown one is there", "1 0-1 add s a\n2 0- add s b\n3 2-3 read s a,b"),
        GOOD("an unknown one is not there", "1 0-1 add s a\n2 0- add s b\n3 2-3 read s a"),
        GOOD("removed", "1 0-1 add s a\n1 2-3 add s b\n1 4-5 remove s a\n3 6-7 read s b"),
        GOOD("perhaps removed", "1 0-1 add s a\n1 4- remove s a\n3 6-7 read s a\n3 8-9 read s"),
        GOOD("a plain read may be behind", "1 0-1 add s a\n3 2-3 read s - local\n3 4-5 read s a local"),
        BAD("lost", "1 0-1 add s a\n2 0-1 add s b\n3 2-3 read s a"),
        BAD("lost all", "1 0-1 add s a\n3 2-3 read s -"),
        BAD("late: a read misses it, a later one shows it", "1 0-1 add s a\n3 2-3 read s -\n3 4-5 read s a"),
        BAD("its own element is missing in a plain read", "1 0-1 add s a\n1 2-3 read s - local"),
        BAD("seen, then unseen in plain reads", "1 0- add s a\n3 2-3 read s a local\n3 4-5 read s - local"),
        BAD("twice", "1 0-1 add s a\n3 2-3 read s a,a"),
        BAD("out of nowhere", "1 0-1 add s a\n3 2-3 read s a,z"),
        BAD("a failed one", "1 0-1 add s a\n1 2-3 add s b !\n3 4-5 read s a,b"),
        BAD("comes back", "1 0-1 add s a\n1 2-3 remove s a\n3 4-5 read s a"),
        BAD("before it was added", "1 0-1 add s a\n3 2-3 read s a,b\n1 4-5 add s b"),
    };
    RUN(cases);
}
#undef CHECKER

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_and_effects_are_in_order), cmocka_unit_test(a_view_never_goes_back),
        cmocka_unit_test(sync_is_worth_its_name),           cmocka_unit_test(a_watch_gives_one_event),
        cmocka_unit_test(a_persistent_watch_gives_all),     cmocka_unit_test(a_lock_has_one_holder),
        cmocka_unit_test(numbers_are_given_once),           cmocka_unit_test(sets_lose_nothing),
    };
    return cmocka_run_group_tests_name("check_guarantees", tests, NULL, NULL);
}
