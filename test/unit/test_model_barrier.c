// Double barriers and countdown latches: named cases, and random commands held against a naive model.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "model/barrier/barrier.h"
#include "native_kit.h"

static const struct barrier_result *out(const struct native *n) {
    return n->result.value;
}

static void on_event(void *context, uint8_t model, const void *event) {
    static const char *const types[] = {"entered", "left", "timed out", "cancelled", "superseded", "latch"};
    struct native *n = context;
    const struct barrier_event *e = event;
    size_t len = strlen(n->events);
    assert_int_equal(model, MODEL_BARRIER);
    if (e->type == BARRIER_EVENT_LATCH)
        snprintf(n->events + len, sizeof n->events - len, "latch %s\n", e->gone ? "gone" : "zero");
    else
        snprintf(n->events + len, sizeof n->events - len, "%llu %s%s\n", (unsigned long long)e->ticket, types[e->type],
                 e->over ? " over" : "");
}

static int enter_for(struct native *n, const char *name, uint64_t session, const char *member, uint32_t size,
                     uint64_t wait_ms) {
    struct writer w = {0};
    barrier_write_enter(&w, session, 1, bytes_of_text(name), bytes_of_text(member), size, wait_ms);
    return native_run(n, &w);
}
static int enter(struct native *n, uint64_t session) {
    return enter_for(n, "x", session, "", 3, 1000);
}
static int leave_for(struct native *n, const char *name, uint64_t session, const char *member, uint64_t round,
                     uint64_t wait_ms) {
    struct writer w = {0};
    barrier_write_leave(&w, session, 1, bytes_of_text(name), bytes_of_text(member), round, wait_ms);
    return native_run(n, &w);
}
static int leave(struct native *n, uint64_t session, uint64_t round) {
    return leave_for(n, "x", session, "", round, 1000);
}
static int cancel(struct native *n, const char *name, uint64_t session, const char *member, uint64_t ticket) {
    struct writer w = {0};
    barrier_write_cancel(&w, session, 1, bytes_of_text(name), bytes_of_text(member), ticket);
    return native_run(n, &w);
}
static int set(struct native *n, const char *name, uint64_t count, uint64_t ttl_ms) {
    struct writer w = {0};
    barrier_write_latch_set(&w, bytes_of_text(name), count, ttl_ms);
    return native_run(n, &w);
}
static int down(struct native *n, const char *name, uint64_t by, const char *request) {
    struct writer w = {0};
    barrier_write_latch_down(&w, bytes_of_text(name), by, bytes_of_text(request), request[0] ? 500 : 0);
    return native_run(n, &w);
}
static int delete (struct native *n, const char *name) {
    struct writer w = {0};
    barrier_write_latch_delete(&w, bytes_of_text(name));
    return native_run(n, &w);
}

static void expect(const struct native *n, const char *format, uint64_t a, uint64_t b) {
    char text[200];
    snprintf(text, sizeof text, format, (unsigned long long)a, (unsigned long long)b);
    assert_string_equal(n->events, text);
}

static void all_enter_and_all_leave(void **state) {
    struct native n;
    uint64_t ticket[5] = {0};
    native_open(&n, &barrier_model, on_event);
    for (uint64_t s = 1; s <= 2; s++) {
        assert_int_equal(enter(&n, s), 0);
        assert_true(out(&n)->waits && out(&n)->round == 0);
        ticket[s] = out(&n)->ticket;
        assert_string_equal(n.events, "");
    }
    assert_int_equal(enter(&n, 3), 0);
    uint64_t round = out(&n)->round;
    assert_true(!out(&n)->waits && round > 0);
    expect(&n, "%llu entered\n%llu entered\n", ticket[1], ticket[2]);
    assert_int_equal(enter(&n, 1), 0); // a retry
    assert_true(!out(&n)->waits && out(&n)->round == round);
    assert_int_equal(enter(&n, 4), 0); // for the next round
    assert_true(out(&n)->waits);
    for (uint64_t s = 1; s <= 2; s++) {
        assert_int_equal(leave(&n, s, round), 0);
        assert_true(out(&n)->waits && !out(&n)->over);
        ticket[s] = out(&n)->ticket;
    }
    assert_int_equal(leave(&n, 3, round), 0);
    assert_true(!out(&n)->waits && out(&n)->over);
    expect(&n, "%llu left over\n%llu left over\n", ticket[1], ticket[2]);
    assert_int_equal(leave(&n, 1, round), 0); // a retry, when the round is over
    assert_true(out(&n)->over);
    assert_int_equal(leave(&n, 1, round + 1000), BARRIER_BAD_ARGUMENTS);
    native_close(&n);
}

static void next_round_begins_when_one_is_over(void **state) {
    struct native n;
    uint64_t ticket[7] = {0};
    native_open(&n, &barrier_model, on_event);
    for (uint64_t s = 1; s <= 6; s++) {
        enter(&n, s);
        ticket[s] = out(&n)->ticket;
    }
    enter(&n, 1);
    uint64_t round = out(&n)->round;
    leave_for(&n, "x", 1, "", round, 0);
    assert_true(!out(&n)->over && !out(&n)->waits); // gone at once
    assert_int_equal(enter(&n, 1), 0);
    assert_true(out(&n)->waits); // in line, behind 4 5 6
    leave_for(&n, "x", 2, "", round, 0);
    leave_for(&n, "x", 3, "", round, 0);
    assert_true(out(&n)->over);
    char text[200];
    snprintf(text, sizeof text, "%llu entered\n%llu entered\n%llu entered\n", (unsigned long long)ticket[4],
             (unsigned long long)ticket[5], (unsigned long long)ticket[6]);
    assert_string_equal(n.events, text);
    enter(&n, 4);
    assert_true(out(&n)->round > round);
    native_close(&n);
}

static void session_that_ends_leaves(void **state) {
    struct native n;
    native_open(&n, &barrier_model, on_event);
    enter(&n, 1);
    native_end_session(&n, 1); // it does not count
    assert_string_equal(n.events, "");
    enter(&n, 2);
    enter(&n, 3);
    assert_true(out(&n)->waits);
    enter(&n, 4);
    uint64_t round = out(&n)->round;
    assert_true(round > 0);
    leave(&n, 2, round);
    uint64_t ticket = out(&n)->ticket;
    native_end_session(&n, 3);
    assert_string_equal(n.events, "");
    native_end_session(&n, 4);
    expect(&n, "%llu left over\n", ticket, 0);
    // One session inside and in line: it is not let in by its own end.
    for (uint64_t s = 1; s <= 2; s++) enter_for(&n, "y", s, "a", 2, 1000);
    for (uint64_t s = 1; s <= 2; s++) enter_for(&n, "y", s, "b", 2, 1000);
    leave_for(&n, "y", 2, "a", out(&n)->ticket - 2, 0);
    native_end_session(&n, 1);
    assert_int_equal(enter_for(&n, "y", 2, "b", 2, 0), 0);
    assert_true(out(&n)->waits);
    native_end_session(&n, 2);
    assert_true(barrier_model.memory(n.state) == 0); // nothing is left
    native_close(&n);
}

static void waiting_ends_in_time_or_by_word(void **state) {
    struct native n;
    native_open(&n, &barrier_model, on_event);
    assert_int_equal(enter_for(&n, "x", 1, "", 3, 0), BARRIER_BUSY);
    enter(&n, 1);
    uint64_t first = out(&n)->ticket;
    assert_int_equal(enter(&n, 1), 0); // asked again: the older request is told
    expect(&n, "%llu superseded\n", first, 0);
    uint64_t ticket = out(&n)->ticket;
    assert_true(ticket > first);
    assert_int_equal(cancel(&n, "x", 1, "", first), BARRIER_NOT_FOUND);
    assert_int_equal(cancel(&n, "x", 2, "", ticket), BARRIER_NOT_FOUND);
    assert_int_equal(cancel(&n, "x", 1, "", ticket), 0);
    expect(&n, "%llu cancelled\n", ticket, 0);
    enter(&n, 2);
    ticket = out(&n)->ticket;
    assert_int_equal(native_pass(&n, 999), 0);
    assert_int_equal(native_pass(&n, 1), 1);
    expect(&n, "%llu timed out\n", ticket, 0);
    for (uint64_t s = 1; s <= 3; s++) enter(&n, s);
    uint64_t round = out(&n)->round;
    native_pass(&n, 5000); // who is inside stays
    leave(&n, 1, round);
    ticket = out(&n)->ticket;
    native_pass(&n, 1000);
    expect(&n, "%llu left\n", ticket, 0); // the others have not
    leave(&n, 1, round);                  // waits once more
    ticket = out(&n)->ticket;
    assert_int_equal(enter(&n, 1), 0); // or goes in line for the next round instead
    expect(&n, "%llu left\n", ticket, 0);
    assert_int_equal(leave(&n, 1, round), 0);
    assert_true(!out(&n)->over && !out(&n)->waits);
    assert_int_equal(enter_for(&n, "x", 5, "", 4, 1000), BARRIER_KIND);
    native_close(&n);
}

static void latch_counts_down_once_a_request(void **state) {
    struct native n;
    native_open(&n, &barrier_model, on_event);
    assert_int_equal(down(&n, "l", 1, ""), BARRIER_NOT_FOUND);
    assert_int_equal(set(&n, "l", 5, 0), 0);
    assert_int_equal(down(&n, "l", 2, "a"), 0);
    assert_int_equal(out(&n)->count, 3);
    assert_int_equal(down(&n, "l", 1, ""), 0);
    assert_int_equal(down(&n, "l", 2, "a"), 0);
    assert_int_equal(out(&n)->count, 3); // its answer of before
    assert_int_equal(down(&n, "l", 1, "a"), BARRIER_MISMATCH);
    assert_string_equal(n.events, "");
    assert_int_equal(down(&n, "l", 7, "b"), 0);
    assert_int_equal(out(&n)->count, 0);
    assert_string_equal(n.events, "latch zero\n");
    assert_int_equal(down(&n, "l", 1, ""), 0); // told once
    assert_string_equal(n.events, "");
    assert_int_equal(set(&n, "l", 1, 0), 0); // anew
    assert_int_equal(down(&n, "l", 2, "a"), 0);
    assert_int_equal(out(&n)->count, 3); // still the same request
    native_pass(&n, 500);
    assert_int_equal(down(&n, "l", 2, "a"), 0);
    assert_string_equal(n.events, "latch zero\n");
    assert_int_equal(delete (&n, "l"), 0);
    assert_string_equal(n.events, "latch gone\n");
    assert_int_equal(delete (&n, "l"), BARRIER_NOT_FOUND);
    set(&n, "t", 1, 300);
    native_pass(&n, 299);
    assert_int_equal(down(&n, "t", 1, ""), 0);
    native_pass(&n, 1);
    assert_string_equal(n.events, "latch gone\n");
    assert_int_equal(set(&n, "z", 0, 0), 0);
    assert_string_equal(n.events, "latch zero\n");
    native_close(&n);
}

static void bad_arguments_are_refused(void **state) {
    struct native n;
    char big[400];
    native_open(&n, &barrier_model, on_event);
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    assert_int_equal(enter_for(&n, "", 1, "", 2, 1), BARRIER_BAD_ARGUMENTS);
    assert_int_equal(enter_for(&n, big, 1, "", 2, 1), BARRIER_BAD_ARGUMENTS);
    assert_int_equal(enter_for(&n, "x", 1, big, 2, 1), BARRIER_BAD_ARGUMENTS);
    assert_int_equal(enter_for(&n, "x", 0, "", 2, 1), BARRIER_BAD_ARGUMENTS);
    assert_int_equal(enter_for(&n, "x", 1, "", 0, 1), BARRIER_BAD_ARGUMENTS);
    assert_int_equal(enter_for(&n, "x", 1, "", BARRIER_SIZE_MAX + 1, 1), BARRIER_BAD_ARGUMENTS);
    assert_int_equal(set(&n, "x", LATCH_COUNT_MAX + 1, 0), BARRIER_BAD_ARGUMENTS);
    assert_int_equal(set(&n, "", 1, 0), BARRIER_BAD_ARGUMENTS);
    for (uint32_t i = 0; i < BARRIER_SESSION_MAX; i++) {
        snprintf(big, sizeof big, "%u", i);
        assert_int_equal(enter_for(&n, big, 1, "", 2, 1), 0);
    }
    assert_int_equal(enter_for(&n, "x", 1, "", 2, 1), BARRIER_LIMIT);
    assert_int_equal(enter_for(&n, "1", 1, "", 2, 1), 0); // has a place already
    native_garbage(&n, 4);
    native_close(&n);
}

// ---- random commands against a naive model: each barrier a list of places in the order in which they came

enum { BARRIERS = 2, MEMBERS = 8, LIST_MAX = 64, LATCHES = 2, REQUESTS = 6 };
static const char *const names[BARRIERS] = {"x", "y"};
static const uint32_t sizes[BARRIERS] = {2, 4};
static const char *const members[2] = {"", "m"};

struct naive {
    struct {
        struct naive_place {
            uint64_t session, until_ms;
            size_t member;
            enum barrier_place_state state;
        } place[LIST_MAX];
        size_t len;
        uint64_t round;
    } barrier[BARRIERS];
    struct {
        bool made;
        uint64_t count, until_ms, generation;
    } latch[LATCHES];
    struct {
        uint64_t by, count, until_ms, generation;
    } request[LATCHES][REQUESTS];
    uint64_t told, newest_round[BARRIERS];
};

static size_t naive_count(const struct naive *m, size_t b, enum barrier_place_state state) {
    size_t count = 0;
    for (size_t i = 0; i < m->barrier[b].len; i++) count += m->barrier[b].place[i].state == state;
    return count;
}

static size_t naive_find(const struct naive *m, size_t b, uint64_t session, size_t member) {
    size_t i = 0;
    const struct naive_place *place = m->barrier[b].place;
    while (i < m->barrier[b].len && (place[i].session != session || place[i].member != member)) i++;
    return i;
}

static void naive_remove(struct naive *m, size_t b, size_t i) {
    struct naive_place *place = m->barrier[b].place;
    memmove(&place[i], &place[i + 1], (--m->barrier[b].len - i) * sizeof *place);
}

static void naive_add(struct naive *m, size_t b, uint64_t session, size_t member, enum barrier_place_state state,
                      uint64_t until_ms) {
    assert_true(m->barrier[b].len < LIST_MAX);
    m->barrier[b].place[m->barrier[b].len++] = (struct naive_place){session, until_ms, member, state};
}

// What follows of the places as they stand: all have left, then the next ones go in. `told` counts events.
static void naive_goes_on(struct naive *m, size_t b) {
    bool inside = naive_count(m, b, PLACE_INSIDE) > 0;
    for (size_t i = 0; !inside && m->barrier[b].round != 0 && i < m->barrier[b].len;) {
        if (m->barrier[b].place[i].state == PLACE_LEAVES) {
            naive_remove(m, b, i);
            m->told++;
        } else {
            i++;
        }
    }
    if (!inside) m->barrier[b].round = 0;
    if (inside || naive_count(m, b, PLACE_WAITS) < sizes[b]) return;
    size_t left = sizes[b];
    for (size_t i = 0; left > 0; i++) {
        if (m->barrier[b].place[i].state != PLACE_WAITS) continue;
        m->barrier[b].place[i].state = PLACE_INSIDE;
        m->told++;
        left--;
    }
    m->barrier[b].round = 1; // learnt from the state
}

static void random_enter(struct native *n, struct naive *m, struct prng *prng) {
    size_t b = prng_below(prng, BARRIERS), member = prng_below(prng, 2);
    uint64_t session = 1 + prng_below(prng, MEMBERS), wait_ms = prng_below(prng, 3) * prng_below(prng, 100);
    uint32_t size = prng_below(prng, 20) ? sizes[b] : 7;
    size_t i = naive_find(m, b, session, member), count = m->barrier[b].len;
    int error = enter_for(n, names[b], session, members[member], size, wait_ms);
    if (size != sizes[b] && count > 0) {
        assert_int_equal(error, BARRIER_KIND);
    } else if (size != sizes[b]) {
        if (error == 0) cancel(n, names[b], session, members[member], out(n)->ticket); // 7 are many
        n->events[0] = '\0';
    } else if (i < count && m->barrier[b].place[i].state == PLACE_INSIDE) {
        assert_true(error == 0 && !out(n)->waits && out(n)->round == m->barrier[b].round);
    } else if (i < count && m->barrier[b].place[i].state == PLACE_WAITS) {
        assert_true(error == 0 && out(n)->waits);
        m->told++;
    } else {
        bool begins = naive_count(m, b, PLACE_INSIDE) == 0 && naive_count(m, b, PLACE_WAITS) + 1 >= sizes[b];
        assert_int_equal(error, begins || wait_ms > 0 ? 0 : BARRIER_BUSY);
        if (error != 0) return;
        assert_int_equal(out(n)->waits, !begins);
        if (i < count) naive_remove(m, b, i);
        m->told += i < count;
        naive_add(m, b, session, member, PLACE_WAITS, n->apply.log_time_ms + wait_ms);
        naive_goes_on(m, b);
        m->told -= begins; // by its result
    }
}

static void random_leave(struct native *n, struct naive *m, struct prng *prng) {
    size_t b = prng_below(prng, BARRIERS), member = prng_below(prng, 2);
    uint64_t session = 1 + prng_below(prng, MEMBERS), wait_ms = prng_below(prng, 2) * (1 + prng_below(prng, 100));
    uint64_t round = m->barrier[b].round, until_ms = n->apply.log_time_ms + wait_ms;
    size_t i = naive_find(m, b, session, member);
    if (round == 0) return;
    struct naive_place *place = i < m->barrier[b].len ? &m->barrier[b].place[i] : NULL;
    assert_int_equal(leave_for(n, names[b], session, members[member], round, wait_ms), 0);
    if (place && place->state == PLACE_WAITS) {
        assert_true(!out(n)->over && !out(n)->waits);
        return;
    }
    m->told += place && place->state == PLACE_LEAVES; // the older request
    if (place) place->state = PLACE_LEAVES;
    if (place) place->until_ms = until_ms;
    bool over = naive_count(m, b, PLACE_INSIDE) == 0;
    assert_int_equal(out(n)->over, over);
    assert_int_equal(out(n)->waits, !over && wait_ms > 0);
    if (place && (over || wait_ms == 0)) naive_remove(m, b, i);
    if (!place && !over && wait_ms > 0) naive_add(m, b, session, member, PLACE_LEAVES, until_ms);
    naive_goes_on(m, b);
}

static void naive_ends(struct naive *m, uint64_t session, uint64_t now_ms) { // session 0: waiting that is over
    for (size_t b = 0; b < BARRIERS; b++) {
        for (size_t i = 0; i < m->barrier[b].len;) {
            const struct naive_place *place = &m->barrier[b].place[i];
            bool waits = place->state != PLACE_INSIDE;
            if (session ? place->session != session : !waits || place->until_ms > now_ms) {
                i++;
                continue;
            }
            m->told += session == 0;
            naive_remove(m, b, i);
        }
        naive_goes_on(m, b);
    }
}

static void random_latch(struct native *n, struct naive *m, struct prng *prng) {
    static const char *const latches[LATCHES] = {"l", "k"};
    static const char *const requests[REQUESTS] = {"", "a", "b", "c", "d", "e"};
    size_t l = prng_below(prng, LATCHES), q = prng_below(prng, REQUESTS);
    uint64_t by = 1 + prng_below(prng, 3), now_ms = n->apply.log_time_ms;
    if (prng_below(prng, 8) == 0) {
        m->latch[l].until_ms = prng_below(prng, 2) * (1 + prng_below(prng, 400));
        m->latch[l].count = prng_below(prng, 12);
        m->latch[l].generation += !m->latch[l].made;
        m->latch[l].made = true;
        assert_int_equal(set(n, latches[l], m->latch[l].count, m->latch[l].until_ms), 0);
        if (m->latch[l].until_ms) m->latch[l].until_ms += now_ms;
        m->told += m->latch[l].count == 0;
    } else if (prng_below(prng, 20) == 0) {
        assert_int_equal(delete (n, latches[l]), m->latch[l].made ? 0 : BARRIER_NOT_FOUND);
        m->told += m->latch[l].made;
        m->latch[l].made = false;
    } else {
        int error = down(n, latches[l], by, requests[q]);
        bool known =
            q > 0 && m->request[l][q].until_ms > now_ms && m->request[l][q].generation == m->latch[l].generation;
        if (!m->latch[l].made) {
            assert_int_equal(error, BARRIER_NOT_FOUND);
        } else if (known) {
            assert_int_equal(error, m->request[l][q].by == by ? 0 : BARRIER_MISMATCH);
            if (error == 0) assert_true(out(n)->count == m->request[l][q].count);
        } else {
            uint64_t count = m->latch[l].count > by ? m->latch[l].count - by : 0;
            assert_true(error == 0 && out(n)->count == count);
            m->told += m->latch[l].count > 0 && count == 0;
            m->latch[l].count = count;
            m->request[l][q].by = by;
            m->request[l][q].count = count;
            m->request[l][q].until_ms = now_ms + 500;
            m->request[l][q].generation = m->latch[l].generation;
        }
    }
}

struct seen {
    struct naive *m;
    size_t b, at;
};
static void see_barrier(void *context, const struct barrier_info *info) {
    struct seen *seen = context;
    assert_int_equal(info->inside, naive_count(seen->m, seen->b, PLACE_INSIDE));
    assert_int_equal(info->waiting, naive_count(seen->m, seen->b, PLACE_WAITS));
    assert_true(info->inside == 0 || info->inside <= info->size);
    assert_true(info->inside > 0 || info->waiting < info->size);
    assert_int_equal(info->round != 0, info->inside > 0);
    if (info->round != seen->m->barrier[seen->b].round) {
        assert_true(info->round > seen->m->newest_round[seen->b]); // rounds grow
        seen->m->newest_round[seen->b] = seen->m->barrier[seen->b].round = info->round;
    }
}
static void see_place(void *context, const struct barrier_place_info *info) {
    struct seen *seen = context;
    const struct naive_place *place = &seen->m->barrier[seen->b].place[seen->at];
    assert_true(seen->at++ < seen->m->barrier[seen->b].len);
    assert_true(info->session == place->session && info->state == place->state);
    assert_true(bytes_equal(info->member, bytes_of_text(members[place->member])));
}

static void holds_the_same(struct native *n, struct naive *m) {
    uint64_t told = 0;
    for (const char *at = n->events; *at; at++) told += *at == '\n';
    assert_int_equal(told, m->told);
    for (size_t b = 0; b < BARRIERS; b++) {
        struct seen seen = {m, b, 0};
        struct barrier_query query = {.page = {.name = bytes_of_text(names[b]), .max = 1},
                                      .barrier = see_barrier,
                                      .place = see_place,
                                      .context = &seen};
        struct result result;
        barrier_model.query(n->state, &query, &result);
        assert_int_equal(seen.at, m->barrier[b].len);
    }
}

static void random_step(struct native *n, struct naive *m, struct prng *prng) {
    uint64_t session;
    n->events[0] = '\0';
    m->told = 0;
    switch (prng_below(prng, 12)) {
    case 0:
        native_pass(n, prng_below(prng, 60));
        for (size_t l = 0; l < LATCHES; l++) {
            bool over = m->latch[l].made && m->latch[l].until_ms && m->latch[l].until_ms <= n->apply.log_time_ms;
            m->told += over;
            m->latch[l].made &= !over;
        }
        naive_ends(m, 0, n->apply.log_time_ms);
        break;
    case 1:
        session = 1 + prng_below(prng, MEMBERS);
        native_end_session(n, session);
        naive_ends(m, session, 0);
        break;
    case 2:
    case 3:
        random_latch(n, m, prng);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
        random_leave(n, m, prng);
        break;
    default:
        random_enter(n, m, prng);
    }
    holds_the_same(n, m);
}

static void random_commands_match_a_naive_model(void **state) {
    struct naive *m = test_malloc(sizeof *m);
    struct native n, copy;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct prng prng;
        prng_seed(&prng, seed);
        memset(m, 0, sizeof *m);
        native_open(&n, &barrier_model, on_event);
        for (int i = 0; i < 1500; i++) {
            random_step(&n, m, &prng);
            if (i % 16 == 0) native_check(&n);
            if (i % 150 == 149) native_ends_alike(&n), naive_ends(m, 0, n.apply.log_time_ms), m->told = 0;
            if (i % 150 == 149)
                for (size_t l = 0; l < LATCHES; l++)
                    if (m->latch[l].until_ms && m->latch[l].until_ms <= n.apply.log_time_ms) m->latch[l].made = false;
            if (prng_below(&prng, 100) != 0) continue;
            native_copy(&n, &copy, 1024); // goes on from what was saved
            native_close(&n);
            n = copy;
            n.apply.emit_context = &n;
        }
        if (seed <= 3) native_damage(&n, seed);
        native_close(&n);
    }
    test_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_enter_and_all_leave),
        cmocka_unit_test(next_round_begins_when_one_is_over),
        cmocka_unit_test(session_that_ends_leaves),
        cmocka_unit_test(waiting_ends_in_time_or_by_word),
        cmocka_unit_test(latch_counts_down_once_a_request),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(random_commands_match_a_naive_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
