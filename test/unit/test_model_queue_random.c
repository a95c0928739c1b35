// Random commands on an ordered queue, beside a naive one: arrays, walked from end to end, that say beforehand what the
// model will answer, line by line. Apart from it, what the queue promises is followed from the deliveries alone: per
// key in order and one at a time, nothing lost, nothing doubled, never more than the caps.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/prng.h"
#include "support/queue_kit.h"
#include <stdio.h>
#include <string.h>

#define NEVER UINT64_MAX
#define MESSAGES_MAX 6000u // of one run
#define LANES_MAX 3000u
#define FEW_MAX 600u // waiters, deduplication ids

enum message_state { GONE, QUEUED, HELD, DEAD };
enum fate { OPEN, ACKED, MERGED, GAPPED, DROPPED };
struct message {
    uint64_t id, not_before, number, session, due;
    unsigned lane;
    enum message_state state;
    uint32_t order;
    uint8_t priority, sign;
    char body[12];
    enum fate fate;
    bool delivered, requeued;
};
enum lane_state { EMPTY, READY, DELAYED, CLAIMED };
struct lane { // a key
    bool used;
    char name;
    enum lane_state state;
    uint64_t number, turn, next, token, session, due;
    uint32_t tries;
};
struct waiter {
    uint64_t session, ticket, due, visibility;
    uint32_t max;
};
struct dedup {
    char text[8];
    uint64_t id, number, due;
};
struct naive {
    struct queue_kit said; // only its log is used
    struct queue_options options;
    struct message messages[MESSAGES_MAX];
    struct lane lanes[LANES_MAX];
    struct waiter waiters[FEW_MAX];
    struct dedup dedups[FEW_MAX];
    uint64_t deliveries[4 * MESSAGES_MAX]; // when
    size_t message_count, lane_count, waiter_count, dedup_count, delivery_count;
    uint64_t number, token, now, index, pace, pace_number;
    uint32_t orders;
};

// ---- the naive queue

static struct message *naive_end(struct naive *n, unsigned lane, bool last) { // first or last of a key; NULL: none
    struct message *found = NULL;
    for (size_t i = 0; i < n->message_count; i++) {
        struct message *m = &n->messages[i];
        if (m->state != QUEUED || m->lane != lane) continue;
        if (found == NULL || (m->order > found->order) == last) found = m;
    }
    return found;
}

static size_t count_of(const struct naive *n, unsigned lane, enum message_state state) {
    size_t count = 0;
    for (size_t i = 0; i < n->message_count; i++) count += n->messages[i].state == state && n->messages[i].lane == lane;
    return count;
}

static uint64_t grid(uint64_t ms) {
    return ms - ms % 1000 + 1000;
}

static void naive_settle(struct naive *n, unsigned at) {
    struct lane *lane = &n->lanes[at];
    bool was_ready = lane->state == READY;
    struct message *first = naive_end(n, at, false);
    if (lane->state == CLAIMED) return;
    lane->state = EMPTY;
    lane->due = NEVER;
    if (first == NULL) {
        size_t held = count_of(n, at, HELD);
        lane->used = held > 0 || lane->next > 0;
        if (lane->used && held == 0) lane->due = grid(n->now + n->options.numbering_ms);
    } else if (first->not_before > n->now) {
        lane->state = DELAYED;
        lane->due = first->not_before;
    } else {
        lane->state = READY;
        if (!was_ready) lane->turn = ++n->number;
    }
}

static uint64_t naive_pace(const struct naive *n) {
    uint64_t level = 0, at = 0, rate = n->options.rate, window = n->options.window_ms;
    if (rate == 0) return 0;
    for (size_t i = 0; i < n->delivery_count; i++) {
        uint64_t leaked = (n->deliveries[i] - at) * rate;
        level = (level > leaked ? level - leaked : 0) + window;
        at = n->deliveries[i];
    }
    uint64_t wait = 0;
    for (; level > (n->now + wait - at) * rate + (n->options.burst - 1) * window;) wait++;
    return wait;
}

static unsigned naive_best(const struct naive *n) { // the ready key whose turn it is; LANES_MAX: none
    unsigned best = LANES_MAX;
    for (unsigned i = 0; i < n->lane_count; i++) {
        if (!n->lanes[i].used || n->lanes[i].state != READY) continue;
        if (best == LANES_MAX) best = i;
        uint8_t mine = naive_end((struct naive *)(uintptr_t)n, i, false)->priority;
        uint8_t its = naive_end((struct naive *)(uintptr_t)n, best, false)->priority;
        if (mine > its || (mine == its && n->lanes[i].turn < n->lanes[best].turn)) best = i;
    }
    return best;
}

static bool naive_may(const struct naive *n) {
    size_t claimed = 0;
    for (unsigned i = 0; i < n->lane_count; i++) claimed += n->lanes[i].used && n->lanes[i].state == CLAIMED;
    return naive_best(n) != LANES_MAX && (n->options.concurrency_max == 0 || claimed < n->options.concurrency_max);
}

static size_t naive_deliver(struct naive *n, uint64_t session, uint32_t max, uint64_t visibility) {
    size_t count = 0;
    for (; count < max && naive_may(n) && naive_pace(n) == 0; count++) {
        unsigned at = naive_best(n);
        struct lane *lane = &n->lanes[at];
        struct message *m = naive_end(n, at, false);
        n->token = n->token + 1 > n->index ? n->token + 1 : n->index;
        lane->state = CLAIMED;
        lane->token = n->token;
        lane->session = session;
        lane->due = visibility > 0 ? n->now + visibility : NEVER;
        lane->tries++;
        n->deliveries[n->delivery_count++] = n->now;
        queue_kit_say(&n->said, " [%llu %llu %s %s %u %u]", (unsigned long long)m->id, (unsigned long long)n->token,
                      lane->name ? (char[]){lane->name, '\0'} : "", m->body, lane->tries, m->priority);
    }
    return count;
}

static void naive_serve(struct naive *n) {
    while (n->waiter_count > 0 && naive_may(n) && naive_pace(n) == 0) {
        struct waiter w = n->waiters[0];
        memmove(n->waiters, n->waiters + 1, --n->waiter_count * sizeof w);
        queue_kit_say(&n->said, "delivered %llu to %llu:", (unsigned long long)w.ticket, (unsigned long long)w.session);
        naive_deliver(n, w.session, w.max, w.visibility);
        queue_kit_say(&n->said, "\n");
    }
    n->pace = n->waiter_count > 0 && naive_may(n) ? n->now + naive_pace(n) : NEVER;
}

static unsigned naive_lane(struct naive *n, char name) { // LANES_MAX: none
    for (unsigned i = 0; i < n->lane_count && name != '\0'; i++)
        if (n->lanes[i].used && n->lanes[i].name == name) return i;
    return LANES_MAX;
}

static unsigned naive_lane_for(struct naive *n, char name) {
    unsigned at = naive_lane(n, name);
    if (at != LANES_MAX) return at;
    assert_true(n->lane_count < LANES_MAX);
    n->lanes[n->lane_count] = (struct lane){.used = true, .name = name, .number = ++n->number, .due = NEVER};
    return (unsigned)n->lane_count++;
}

// Merges, or gives the message its place in its key. What it is merged with; NULL: nothing.
static struct message *naive_accept(struct naive *n, struct message *m) {
    struct lane *lane = &n->lanes[m->lane];
    struct message *last = naive_end(n, m->lane, true), *first = naive_end(n, m->lane, false);
    bool free = last && lane->name && !(lane->state == CLAIMED && last == first);
    bool latest = free && n->options.merge == QUEUE_MERGE_LATEST;
    bool pair = free && n->options.merge == QUEUE_MERGE_CANCEL && last->sign + m->sign == 3 && last->sign && m->sign;
    if (last == first && lane->tries > 0) pair = false;
    if (latest) m->not_before = last->not_before;
    if (latest || pair) {
        last->state = GONE;
        last->fate = MERGED;
        if (last == first) lane->tries = 0;
    }
    if (pair) {
        m->state = GONE;
        m->fate = MERGED;
        return last;
    }
    m->state = QUEUED;
    m->order = ++n->orders;
    n->number++;
    return latest ? last : NULL;
}

static struct message *naive_held(struct naive *n, unsigned lane, uint64_t number) {
    for (size_t i = 0; i < n->message_count; i++) {
        struct message *m = &n->messages[i];
        if (m->state == HELD && m->lane == lane && m->number == number) return m;
    }
    return NULL;
}

static bool naive_repeats(struct naive *n, unsigned at, const struct queue_push *q, const char *dedup) {
    for (size_t i = 0; i < n->dedup_count && dedup[0]; i++) {
        if (strcmp(n->dedups[i].text, dedup) != 0) continue;
        queue_kit_say(&n->said, "push %llu again\n", (unsigned long long)n->dedups[i].id);
        return true;
    }
    if (q->number == 0 || at == LANES_MAX) return false;
    const struct message *held = naive_held(n, at, q->number);
    if (held) queue_kit_say(&n->said, "push %llu again waits\n", (unsigned long long)held->id);
    if (held) return true;
    if (q->number >= n->lanes[at].next) return false;
    queue_kit_say(&n->said, "push 0 again\n");
    return true;
}

static void naive_push(struct naive *n, char name, const char *body, const struct queue_push *q, const char *dedup) {
    unsigned at = naive_lane(n, name);
    if (naive_repeats(n, at, q, dedup)) return;
    at = naive_lane_for(n, name);
    struct lane *lane = &n->lanes[at];
    assert_true(n->message_count < MESSAGES_MAX);
    struct message *m = &n->messages[n->message_count++];
    *m = (struct message){.id = ++n->number, .lane = at, .priority = q->priority, .sign = (uint8_t)q->sign};
    m->number = q->number;
    m->not_before = q->delay_ms > 0 ? n->now + q->delay_ms : 0;
    snprintf(m->body, sizeof m->body, "%s", body);
    if (dedup[0]) {
        struct dedup *d = &n->dedups[n->dedup_count++];
        *d = (struct dedup){.id = m->id, .number = ++n->number, .due = grid(n->now + q->dedup_ms)};
        snprintf(d->text, sizeof d->text, "%s", dedup);
    }
    const struct message *other = NULL;
    bool waits = q->number > (lane->next > 0 ? lane->next : 1);
    if (waits) {
        m->state = HELD;
        m->due = n->now + n->options.gap_ms;
    } else {
        other = naive_accept(n, m);
        if (q->number > 0) lane->next = q->number + 1;
        for (struct message *held; q->number > 0 && (held = naive_held(n, at, lane->next)) != NULL; lane->next++) {
            queue_kit_say(&n->said, "pushed %llu\n", (unsigned long long)held->id);
            naive_accept(n, held);
        }
    }
    naive_settle(n, at);
    naive_serve(n);
    queue_kit_say(&n->said, "push %llu%s", (unsigned long long)m->id, waits ? " waits" : "");
    if (other)
        queue_kit_say(&n->said, " %s %llu", n->options.merge == QUEUE_MERGE_CANCEL ? "with" : "for",
                      (unsigned long long)other->id);
    queue_kit_say(&n->said, "\n");
}

static void naive_claim(struct naive *n, uint64_t session, uint32_t max, uint64_t visibility, uint64_t wait) {
    char before[sizeof n->said.log];
    snprintf(before, sizeof before, "%s", n->said.log);
    queue_kit_say(&n->said, "claim");
    size_t count = n->waiter_count == 0 ? naive_deliver(n, session, max, visibility) : 0;
    uint64_t pace = count == 0 && naive_best(n) != LANES_MAX ? naive_pace(n) : 0;
    if (count == 0 && wait > 0) {
        n->waiters[n->waiter_count++] = (struct waiter){session, ++n->number, n->now + wait, visibility, max};
        queue_kit_say(&n->said, " waits %llu", (unsigned long long)n->number);
    }
    if (pace > 0) queue_kit_say(&n->said, " in %llu ms", (unsigned long long)pace);
    queue_kit_say(&n->said, "\n");
    naive_serve(n);
}

enum how { HOW_ACK, HOW_BACK, HOW_UNREAD };
static void naive_end_claim(struct naive *n, unsigned at, enum how how, uint64_t delay) {
    struct lane *lane = &n->lanes[at];
    struct message *m = naive_end(n, at, false);
    lane->state = EMPTY;
    lane->tries -= how == HOW_UNREAD;
    bool dies = how != HOW_ACK && n->options.tries_max > 0 && lane->tries >= n->options.tries_max;
    bool old = n->options.merge == QUEUE_MERGE_LATEST && lane->name && count_of(n, at, QUEUED) > 1;
    if (dies) queue_kit_say(&n->said, "dead %llu\n", (unsigned long long)m->id);
    if (how == HOW_ACK || dies || old) {
        m->state = dies ? DEAD : GONE;
        if (!dies) m->fate = how == HOW_ACK ? ACKED : MERGED;
        lane->tries = 0;
    }
    m = naive_end(n, at, false);
    if (how != HOW_ACK && m && delay > 0 && m->not_before < n->now + delay) m->not_before = n->now + delay;
    naive_settle(n, at);
}

// The due one: what it is, and where it stands; by time, then by number.
static bool naive_expire_one(struct naive *n) {
    uint64_t time = NEVER, number = NEVER;
    enum { NONE, LANE, WAITER, HELD_ONE, DEDUP, PACE } kind = NONE;
    size_t at = 0;
#define SEE(what, due_ms, tie, place)                                                                                  \
    if ((due_ms) < time || ((due_ms) == time && (due_ms) != NEVER && (tie) < number))                                  \
        time = (due_ms), number = (tie), kind = (what), at = (place);
    for (size_t i = 0; i < n->lane_count; i++)
        if (n->lanes[i].used) SEE(LANE, n->lanes[i].due, n->lanes[i].number, i)
    for (size_t i = 0; i < n->waiter_count; i++) SEE(WAITER, n->waiters[i].due, n->waiters[i].ticket, i)
    for (size_t i = 0; i < n->message_count; i++)
        if (n->messages[i].state == HELD) SEE(HELD_ONE, n->messages[i].due, n->messages[i].id, i)
    for (size_t i = 0; i < n->dedup_count; i++) SEE(DEDUP, n->dedups[i].due, n->dedups[i].number, i)
    SEE(PACE, n->pace, n->pace_number, 0)
#undef SEE
    if (time > n->now) return false;
    struct lane *lane = &n->lanes[kind == HELD_ONE ? n->messages[at].lane : at];
    switch (kind) {
    case LANE:
        if (lane->state == CLAIMED) {
            naive_end_claim(n, (unsigned)at, HOW_BACK, 0);
            break;
        }
        if (lane->state == EMPTY) lane->next = 0;
        naive_settle(n, (unsigned)at);
        break;
    case WAITER:
        queue_kit_say(&n->said, "timed out %llu\n", (unsigned long long)n->waiters[at].ticket);
        memmove(n->waiters + at, n->waiters + at + 1, (--n->waiter_count - at) * sizeof *n->waiters);
        break;
    case HELD_ONE:
        queue_kit_say(&n->said, "gap %llu\n", (unsigned long long)n->messages[at].id);
        n->messages[at].state = GONE;
        n->messages[at].fate = GAPPED;
        naive_settle(n, n->messages[at].lane);
        break;
    case DEDUP:
        n->dedups[at] = n->dedups[--n->dedup_count];
        break;
    case NONE:
    case PACE:
        break;
    }
    naive_serve(n);
    return true;
}

static void naive_session_end(struct naive *n, uint64_t session) {
    for (size_t i = 0; i < n->waiter_count;) {
        if (n->waiters[i].session != session) {
            i++;
            continue;
        }
        memmove(n->waiters + i, n->waiters + i + 1, (--n->waiter_count - i) * sizeof *n->waiters);
        naive_serve(n);
    }
    for (;;) {
        unsigned first = LANES_MAX;
        for (unsigned i = 0; i < n->lane_count; i++)
            if (n->lanes[i].used && n->lanes[i].state == CLAIMED && n->lanes[i].session == session &&
                (first == LANES_MAX || n->lanes[i].token < n->lanes[first].token))
                first = i;
        if (first == LANES_MAX) return;
        naive_end_claim(n, first, HOW_BACK, 0);
        naive_serve(n);
    }
}

// ---- what is promised, followed from the deliveries alone

struct seen {
    struct queue_kit *k;
    struct naive *n; // for the message behind an id only
    struct {
        uint64_t id, token, session, due;
        char key;
    } out[64]; // claims that consumers hold, as far as they know
    size_t count;
    uint64_t newest_token, visibility;
    uint64_t first_seen[128]; // by key: the largest id, or number, delivered first so far
};

static void on_delivery(void *context, uint64_t session, const struct queue_delivery *d) {
    struct seen *s = context;
    struct message *m = NULL;
    for (size_t i = 0; i < s->n->message_count; i++)
        if (s->n->messages[i].id == d->id) m = &s->n->messages[i];
    assert_non_null(m);
    assert_true(m->fate != ACKED); // never again after its acknowledgement
    assert_true(d->token > s->newest_token);
    s->newest_token = d->token;
    unsigned key = d->key.len > 0 ? d->key.data[0] : 0;
    for (size_t i = 0; i < s->count;) { // one at a time: who had one of this key, or this very one, has lost it
        bool ended = s->out[i].due <= s->k->apply.log_time_ms;
        bool same = s->out[i].id == d->id || (key != 0 && (unsigned char)s->out[i].key == key);
        assert_true(!same || ended);
        if (same || ended)
            s->out[i] = s->out[--s->count];
        else
            i++;
    }
    uint64_t place = m->number > 0 ? m->number : m->id;
    if (key != 0 && !m->delivered && !m->requeued) {
        assert_true(place > s->first_seen[key]);
        s->first_seen[key] = place;
    }
    m->delivered = true;
    assert_true(s->count < 64);
    s->out[s->count].id = d->id;
    s->out[s->count].token = d->token;
    s->out[s->count].session = session;
    s->out[s->count].due = NEVER; // known when its claim's visibility is looked up
    s->out[s->count++].key = (char)key;
}

static void see_claimed(void *context, const struct queue_info *info) {
    uint32_t max = info->options.concurrency_max;
    assert_true(max == 0 || info->claimed <= max);
}

static void check_concurrency(const struct queue_kit *kit) {
    struct queue_query query = {.name = bytes_of_text("q"), .max = 1, .queue = see_claimed};
    struct result result;
    queue_model.query(kit->state, &query, &result);
}

static void check_rate(const struct naive *n) { // in any stretch of time
    const struct queue_options *o = &n->options;
    for (size_t from = 0; o->rate > 0 && from < n->delivery_count; from++)
        for (size_t to = from; to < n->delivery_count; to++)
            assert_true((to - from + 1) * o->window_ms <=
                        o->burst * o->window_ms + (n->deliveries[to] - n->deliveries[from]) * o->rate);
}

// ---- steps

static struct queue_kit *k;
static struct naive *n;
static struct seen *s;

static void start_step(void) {
    n->said.log[0] = '\0';
    n->index = k->apply.index + 1;
}

static void know_dues(void) { // the consumers know their claims' times
    for (size_t i = 0; i < s->count; i++)
        for (unsigned l = 0; l < n->lane_count; l++)
            if (n->lanes[l].used && n->lanes[l].state == CLAIMED && n->lanes[l].token == s->out[i].token)
                s->out[i].due = n->lanes[l].due;
}

static void step_push(struct prng *prng) {
    static unsigned serial;
    static const char keys[] = {0, 'a', 'b', 'c', 'n', 'm'};
    char name = keys[prng_below(prng, 6)], body[12], dedup[8] = "", key[2] = {name, '\0'};
    struct queue_push q = {.name = bytes_of_text("q"), .priority = (uint8_t)(prng_below(prng, 4) == 0)};
    snprintf(body, sizeof body, "%u", ++serial);
    if (n->options.merge == QUEUE_MERGE_CANCEL) q.sign = (enum queue_sign)prng_below(prng, 3);
    if (prng_below(prng, 8) == 0) q.delay_ms = 1 + prng_below(prng, 100);
    if (name == 'n' || name == 'm') {
        unsigned at = naive_lane(n, name);
        uint64_t next = at != LANES_MAX && n->lanes[at].next > 0 ? n->lanes[at].next : 1;
        q.number = next + prng_below(prng, 4) - (next > 1 ? prng_below(prng, 2) : 0);
        if (at == LANES_MAX) s->first_seen[(unsigned char)name] = 0; // its numbering begins anew
    } else if (prng_below(prng, 3) == 0 && n->dedup_count < FEW_MAX) {
        snprintf(dedup, sizeof dedup, "d%u", (unsigned)prng_below(prng, 30));
        q.dedup_ms = 1 + prng_below(prng, 1500);
    }
    q.key = bytes_of_text(key);
    q.body = bytes_of_text(body);
    q.dedup = bytes_of_text(dedup);
    naive_push(n, name, body, &q, dedup);
    struct writer w = {0};
    queue_write_push(&w, 0, 0, &q);
    queue_kit_run(k, &w, 0);
}

static void step_claim(struct prng *prng) {
    uint64_t session = prng_below(prng, 4), visibility = 1 + prng_below(prng, 200), wait = 0;
    uint32_t max = 1 + (uint32_t)prng_below(prng, 3);
    if (session > 0 && prng_below(prng, 2)) visibility = 0;
    if (prng_below(prng, 3) == 0) wait = 1 + prng_below(prng, 150);
    naive_claim(n, session, max, visibility, wait);
    struct writer w = {0};
    queue_write_claim(&w, session, 1, bytes_of_text("q"), max, visibility, wait);
    queue_kit_run(k, &w, session);
}

static unsigned lane_of_token(uint64_t session, uint64_t token) {
    for (unsigned i = 0; i < n->lane_count; i++)
        if (n->lanes[i].used && n->lanes[i].state == CLAIMED && n->lanes[i].token == token &&
            n->lanes[i].session == session)
            return i;
    return LANES_MAX;
}

// A consumer ends one of its claims, which it may have lost meanwhile.
static void step_end(struct prng *prng) {
    if (s->count == 0) return;
    size_t i = prng_below(prng, s->count);
    uint64_t token = s->out[i].token, session = s->out[i].session,
             delay = prng_below(prng, 2) ? prng_below(prng, 90) : 0;
    unsigned at = lane_of_token(session, token);
    uint64_t what = prng_below(prng, 8);
    struct writer w = {0};
    if (what < 5) {
        queue_write_ack(&w, session, 1, bytes_of_text("q"), &token, 1);
        if (at == LANES_MAX)
            queue_kit_say(&n->said, "error %d token %llu\n", QUEUE_NOT_CLAIMED, (unsigned long long)token);
        if (at != LANES_MAX) naive_end_claim(n, at, HOW_ACK, 0);
    } else if (what == 5) {
        queue_write_extend(&w, session, 1, bytes_of_text("q"), token, 60);
        if (at == LANES_MAX) queue_kit_say(&n->said, "error %d\n", QUEUE_NOT_CLAIMED);
        if (at != LANES_MAX) n->lanes[at].due = n->now + 60;
    } else {
        queue_write_nack(&w, session, 1, bytes_of_text("q"), token, delay, what == 6);
        if (at == LANES_MAX) queue_kit_say(&n->said, "error %d\n", QUEUE_NOT_CLAIMED);
        if (at != LANES_MAX) naive_end_claim(n, at, what == 6 ? HOW_UNREAD : HOW_BACK, delay);
    }
    if (what != 5) s->out[i] = s->out[--s->count];
    if (at != LANES_MAX && what != 5) naive_serve(n);
    if (at != LANES_MAX) queue_kit_say(&n->said, "ok\n");
    queue_kit_run(k, &w, session);
}

static void step_dead(struct prng *prng, bool requeue) {
    struct message *m = NULL;
    for (size_t i = 0; i < n->message_count; i++)
        if (n->messages[i].state == DEAD && (m == NULL || prng_below(prng, 2))) m = &n->messages[i];
    if (m == NULL) return;
    struct writer w = {0};
    if (requeue) {
        m->lane = naive_lane_for(n, n->lanes[m->lane].name);
        m->state = QUEUED;
        m->order = ++n->orders;
        m->not_before = 0;
        m->requeued = true;
        n->number++;
        naive_settle(n, m->lane);
        naive_serve(n);
        queue_write_requeue(&w, bytes_of_text("q"), m->id);
    } else {
        m->state = GONE;
        m->fate = DROPPED;
        naive_serve(n);
        queue_write_drop(&w, bytes_of_text("q"), m->id);
    }
    queue_kit_say(&n->said, "ok\n");
    queue_kit_run(k, &w, 0);
}

static void step_cancel(struct prng *prng) {
    if (n->waiter_count == 0) return;
    size_t i = prng_below(prng, n->waiter_count);
    struct writer w = {0};
    struct waiter waiter = n->waiters[i];
    queue_write_cancel(&w, waiter.session, 1, bytes_of_text("q"), waiter.ticket);
    memmove(n->waiters + i, n->waiters + i + 1, (--n->waiter_count - i) * sizeof waiter);
    naive_serve(n);
    queue_kit_say(&n->said, "ok\n");
    queue_kit_run(k, &w, waiter.session);
}

static void step_session_end(uint64_t session) {
    for (size_t i = 0; i < s->count;)
        if (s->out[i].session == session)
            s->out[i] = s->out[--s->count];
        else
            i++;
    naive_session_end(n, session);
    queue_kit_session_end(k, session);
}

static void step_pass(uint64_t ms) {
    n->now += ms;
    while (naive_expire_one(n)) {
    }
    queue_kit_pass(k, ms);
}

static void step(struct prng *prng) {
    start_step();
    k->log[0] = '\0';
    uint64_t what = prng_below(prng, 32);
    if (what < 12)
        step_push(prng);
    else if (what < 18)
        step_claim(prng);
    else if (what < 25)
        step_end(prng);
    else if (what < 29)
        step_pass(prng_below(prng, 40));
    else if (what == 29)
        step_dead(prng, prng_below(prng, 3) > 0);
    else if (what == 30)
        step_cancel(prng);
    else if (prng_below(prng, 4) == 0)
        step_session_end(1 + prng_below(prng, 3));
    assert_string_equal(k->log, n->said.log);
    check_concurrency(k);
    know_dues();
}

static const struct queue_options variants[] = {
    {.gap_ms = 150, .numbering_ms = 400},
    {.gap_ms = 150, .numbering_ms = 400, .tries_max = 2},
    {.gap_ms = 150, .numbering_ms = 400, .rate = 7, .burst = 3, .window_ms = 130, .concurrency_max = 3},
    {.gap_ms = 150, .numbering_ms = 400, .merge = QUEUE_MERGE_LATEST, .tries_max = 3},
    {.gap_ms = 150, .numbering_ms = 400, .merge = QUEUE_MERGE_CANCEL},
    {.gap_ms = 90, .numbering_ms = 9000, .rate = 30, .burst = 2, .window_ms = 1000, .tries_max = 3},
};

static void open_run(uint64_t seed) {
    struct writer w = {0};
    k = test_calloc(1, sizeof *k);
    n = test_calloc(1, sizeof *n);
    s = test_calloc(1, sizeof *s);
    queue_kit_open(k);
    *s = (struct seen){.k = k, .n = n};
    k->delivered = on_delivery;
    k->context = s;
    n->options = variants[seed % (sizeof variants / sizeof variants[0])];
    n->number = n->pace_number = 1; // the queue's own
    n->pace = NEVER;
    n->now = k->apply.log_time_ms;
    queue_write_configure(&w, bytes_of_text("q"), &n->options);
    assert_int_equal(queue_kit_run(k, &w, 0), 0);
}

static void close_run(void) {
    k->delivered = NULL;
    queue_kit_close(k);
    test_free(k);
    test_free(n);
    test_free(s);
}

// Everything is read to the end: each message was acknowledged, or has a fate that was asked for.
static void drain(void) {
    for (int i = 0; i < 20000 && (s->count > 0 || n->waiter_count > 0 || naive_best(n) != LANES_MAX || i < 50); i++) {
        start_step();
        k->log[0] = '\0';
        if (i % 3 == 0)
            step_pass(60);
        else if (i % 3 == 1)
            step_claim(&(struct prng){{(uint64_t)i + 1, 2, 3, 4}});
        else if (s->count > 0) {
            uint64_t token = s->out[0].token, session = s->out[0].session;
            unsigned at = lane_of_token(session, token);
            struct writer w = {0};
            queue_write_ack(&w, session, 1, bytes_of_text("q"), &token, 1);
            s->out[0] = s->out[--s->count];
            if (at == LANES_MAX)
                queue_kit_say(&n->said, "error %d token %llu\n", QUEUE_NOT_CLAIMED, (unsigned long long)token);
            if (at != LANES_MAX) naive_end_claim(n, at, HOW_ACK, 0);
            if (at != LANES_MAX) naive_serve(n);
            if (at != LANES_MAX) queue_kit_say(&n->said, "ok\n");
            queue_kit_run(k, &w, session);
        }
        assert_string_equal(k->log, n->said.log);
        know_dues();
    }
    for (size_t i = 0; i < n->message_count; i++) {
        assert_true(n->messages[i].state == GONE || n->messages[i].state == DEAD);
        assert_true(n->messages[i].state == DEAD || n->messages[i].fate != OPEN);
    }
}

static void random_commands_are_answered_as_foreseen(void **state) {
    for (uint64_t seed = 0; seed < 36; seed++) {
        struct prng prng;
        prng_seed(&prng, seed + 1);
        open_run(seed);
        for (int i = 0; i < 1500; i++) {
            step(&prng);
            if (prng_below(&prng, 200) == 0) queue_kit_reload(k);
            if (i % 16 == 0)
                assert_true(digest_equal(queue_model.digest(k->state), queue_model.digest_recount(k->state)));
        }
        drain();
        check_rate(n);
        close_run();
    }
}

// Few removals an entry: a copy by save and load ends the same things first.
static void copy_ends_the_same_ones_first(void **state) {
    static uint8_t chunk[SAVE_RECORD_BYTES_MAX];
    for (uint64_t seed = 0; seed < 24; seed++) {
        struct prng prng;
        prng_seed(&prng, seed + 100);
        open_run(seed);
        for (int i = 0; i < 300; i++) step(&prng);
        struct save_cursor cursor = {0};
        void *copy = queue_model.create();
        for (size_t len; (len = queue_model.save(k->state, &cursor, chunk, sizeof chunk)) > 0;)
            assert_int_equal(queue_model.load(copy, chunk, len), 0);
        k->delivered = NULL;
        k->apply.log_time_ms += 30000;
        struct apply silent = k->apply;
        silent.emit = NULL;
        for (k->log[0] = '\0'; queue_model.expire(k->state, &k->apply, 1) > 0; k->log[0] = '\0') {
            assert_int_equal(queue_model.expire(copy, &silent, 1), 1);
            assert_true(digest_equal(queue_model.digest(k->state), queue_model.digest(copy)));
        }
        queue_model.destroy(copy);
        close_run();
    }
}

static void damaged_records_are_refused_or_load_whole(void **state) {
    static uint8_t saved[SAVE_RECORD_BYTES_MAX], bad[SAVE_RECORD_BYTES_MAX];
    struct prng prng;
    prng_seed(&prng, 77);
    open_run(1);
    for (int i = 0; i < 300; i++) step(&prng);
    struct save_cursor cursor = {0};
    size_t len = queue_model.save(k->state, &cursor, saved, sizeof saved), loaded = 0;
    assert_true(len > 2000);
    for (size_t i = 0; i < 8 * len; i++) {
        memcpy(bad, saved, len);
        bad[i / 8] ^= (uint8_t)(1u << (i & 7));
        void *other = queue_model.create();
        if (queue_model.load(other, bad, len) == 0) {
            assert_true(digest_equal(queue_model.digest(other), queue_model.digest_recount(other)));
            loaded++;
        }
        queue_model.destroy(other);
    }
    assert_true(loaded > 0 && loaded < 8 * len);
    for (size_t cut = 0; cut < len; cut++) {
        void *other = queue_model.create();
        queue_model.load(other, saved, cut);
        queue_model.destroy(other);
    }
    close_run();
}

static void damaged_commands_do_no_harm(void **state) {
    struct prng prng;
    prng_seed(&prng, 78);
    open_run(1);
    k->delivered = NULL;
    for (int i = 0; i < 30000; i++) {
        struct writer w = {0};
        struct queue_push q = {.name = bytes_of_text("q"), .key = bytes_of_text("a"), .body = bytes_of_text("body")};
        uint64_t token = k->first.token, kind = prng_below(&prng, 6);
        q.number = prng_below(&prng, 3);
        if (kind == 0) queue_write_configure(&w, q.name, &variants[prng_below(&prng, 6)]);
        if (kind == 1) queue_write_push(&w, 1, 1, &q);
        if (kind == 2) queue_write_claim(&w, 1, 1, q.name, 2, 50, prng_below(&prng, 50));
        if (kind == 3) queue_write_ack(&w, 1, 1, q.name, &token, 1);
        if (kind == 4) queue_write_nack(&w, 1, 1, q.name, token, 5, false);
        if (kind == 5) queue_write_requeue(&w, q.name, k->out.id);
        size_t head = 4; // model, operation, session and attach stay
        for (uint64_t flips = prng_below(&prng, 4); flips > 0; flips--)
            w.data[head + prng_below(&prng, w.len - head)] ^= (uint8_t)(1u << prng_below(&prng, 8));
        if (prng_below(&prng, 8) == 0) w.len = head + prng_below(&prng, w.len - head);
        queue_kit_run(k, &w, 1);
        if (i % 8 == 0) queue_kit_pass(k, prng_below(&prng, 40));
    }
    close_run();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_commands_are_answered_as_foreseen),
        cmocka_unit_test(copy_ends_the_same_ones_first),
        cmocka_unit_test(damaged_records_are_refused_or_load_whole),
        cmocka_unit_test(damaged_commands_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
