// Partitioned topics: random commands held against a naive model, which keeps plain arrays and knows nothing of
// records, heaps or prefixes; and copies by save and load that go on alike.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/hash.h"
#include "topic_kit.h"

#define PARTITIONS_MAX 9u
#define MEMBERS 6u
#define BODIES 4000u
#define NEVER UINT64_MAX

struct naive_member {
    bool lives;
    uint64_t number, session, ttl_ms, due_ms;
    uint32_t configured; // bits
    char room;
};
struct naive_slot {
    int owner, target; // -1: nobody
    uint64_t token, committed, due_ms;
};
struct naive {
    uint32_t partitions, keep; // keep: retention by count; 0: all
    enum topic_strategy strategy;
    uint64_t handover_ms, now_ms, turn;
    char rooms[PARTITIONS_MAX];
    uint64_t first[PARTITIONS_MAX], end[PARTITIONS_MAX];
    uint32_t bodies[PARTITIONS_MAX][BODIES];
    struct naive_slot slots[PARTITIONS_MAX];
    struct naive_member members[MEMBERS]; // a to f
    bool grouped;
    uint64_t last_token;
};

static uint32_t living(const struct naive *m, uint32_t *who) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < MEMBERS; i++)
        if (m->members[i].lives) who[count++] = i;
    return count;
}

// ---- the strategies once more, in another way: by dealing out, one after the other

static int nearest(const struct naive *m, uint32_t p) {
    uint64_t from = hash_u64(0x746f70696372696eull ^ p), best = 0;
    int found = -1;
    for (int i = 0; i < (int)MEMBERS; i++) {
        char name = (char)('a' + i);
        uint64_t base = hash_bytes(&name, 1, 0x746f70696372696eull);
        for (uint32_t k = 0; m->members[i].lives && k < TOPIC_RING_POINTS; k++) {
            uint64_t way = hash_u64(base + k) - from; // modulo 2^64: clockwise
            if (found < 0 || way < best) {
                best = way;
                found = i;
            }
        }
    }
    return found;
}

static void deal(const uint32_t *of, uint32_t count, const uint32_t *who, uint32_t many, int *out) {
    uint32_t at = 0;
    for (uint32_t i = 0; i < many; i++)
        for (uint32_t k = count / many + (i < count % many ? 1 : 0); k > 0; k--) out[of[at++]] = (int)who[i];
}

static void by_rooms(const struct naive *m, const uint32_t *who, uint32_t many, int *out) {
    uint32_t left[PARTITIONS_MAX], left_count = 0;
    for (char room = 'w'; room <= 'z'; room++) {
        uint32_t of[PARTITIONS_MAX], count = 0, mates[MEMBERS], mate_count = 0;
        for (uint32_t p = 0; p < m->partitions; p++)
            if (m->rooms[p] == room) of[count++] = p;
        for (uint32_t i = 0; i < many; i++)
            if (m->members[who[i]].room == room) mates[mate_count++] = who[i];
        if (mate_count > 0) deal(of, count, mates, mate_count, out);
    }
    for (uint32_t p = 0; p < m->partitions; p++)
        if (out[p] < 0) left[left_count++] = p;
    deal(left, left_count, who, many, out);
}

static void allocate(const struct naive *m, int *out) {
    uint32_t who[MEMBERS], many = living(m, who), all[PARTITIONS_MAX];
    for (uint32_t p = 0; p < m->partitions; p++) {
        all[p] = p;
        out[p] = -1;
        for (uint32_t i = 0; m->strategy == TOPIC_BY_CONFIG && i < many && out[p] < 0; i++)
            if (m->members[who[i]].configured >> p & 1) out[p] = (int)who[i];
        if (m->strategy == TOPIC_BY_CIRCLE && many > 0) out[p] = (int)who[p % many];
        if (m->strategy == TOPIC_CONSISTENT_HASH) out[p] = nearest(m, p);
    }
    if (m->strategy == TOPIC_AVERAGELY && many > 0) deal(all, m->partitions, who, many, out);
    if (m->strategy == TOPIC_BY_MACHINE_ROOM && many > 0) by_rooms(m, who, many, out);
}

// ---- who reads what

static void end_member(struct naive *m, int who) {
    for (uint32_t p = 0; p < m->partitions; p++) {
        if (m->slots[p].owner != who) continue;
        m->slots[p].owner = -1;
        m->slots[p].due_ms = NEVER;
    }
    m->members[who].lives = false;
}

static void rebalance(struct naive *m) {
    int wanted[PARTITIONS_MAX];
    allocate(m, wanted);
    for (uint32_t p = 0; p < m->partitions; p++) {
        struct naive_slot *slot = &m->slots[p];
        slot->target = wanted[p];
        if (slot->owner < 0 || wanted[p] < 0) {
            slot->owner = wanted[p];
            slot->token = 0; // a new one, or none: `check` takes it over
            slot->due_ms = NEVER;
        } else if (slot->owner == wanted[p]) {
            slot->due_ms = NEVER;
        } else if (slot->due_ms == NEVER) {
            slot->due_ms = m->now_ms + m->handover_ms;
        }
    }
}

static void hand_over(struct naive_slot *slot) {
    slot->owner = slot->target;
    slot->token = 0;
    slot->due_ms = NEVER;
}

// Ends one thing that is due: slots before members, members by number. False: nothing is.
static bool end_due(struct naive *m) {
    uint64_t first = NEVER;
    for (uint32_t p = 0; p < m->partitions; p++)
        if (m->slots[p].due_ms < first) first = m->slots[p].due_ms;
    for (uint32_t i = 0; i < MEMBERS; i++)
        if (m->members[i].lives && m->members[i].due_ms < first) first = m->members[i].due_ms;
    if (first > m->now_ms) return false;
    for (uint32_t p = 0; p < m->partitions; p++) {
        if (m->slots[p].due_ms != first) continue;
        hand_over(&m->slots[p]);
        return true;
    }
    int who = -1;
    for (int i = 0; i < (int)MEMBERS; i++)
        if (m->members[i].lives && m->members[i].due_ms == first &&
            (who < 0 || m->members[i].number < m->members[who].number))
            who = i;
    end_member(m, who);
    rebalance(m);
    return true;
}

// ---- the comparison

struct comparison {
    struct naive *m;
    uint32_t slots, messages;
};

static void same_slot(void *context, const struct topic_slot_info *info) {
    struct comparison *c = context;
    struct naive *m = c->m;
    struct naive_slot *slot = &m->slots[info->partition];
    c->slots++;
    assert_int_equal(info->owner, slot->owner < 0 ? 0 : m->members[slot->owner].number);
    assert_true((info->token == 0) == (slot->owner < 0));
    assert_true(info->revoked == (slot->due_ms != NEVER));
    if (info->revoked) assert_int_equal(info->handover_until_ms, slot->due_ms);
    assert_true(info->committed == slot->committed && info->first == m->first[info->partition]);
    assert_int_equal(info->end, m->end[info->partition]);
    if (slot->token != 0) assert_int_equal(info->token, slot->token);
    if (slot->token == 0 && info->token != 0) assert_true(info->token > m->last_token); // a new reader, a new token
    slot->token = info->token;
}

static void same_message(void *context, const struct topic_message *message) {
    struct comparison *c = context;
    char body[16];
    snprintf(body, sizeof body, "%u", c->m->bodies[message->partition][message->offset]);
    assert_true(bytes_equal(message->body, bytes_of_text(body)));
    c->messages++;
}

static void check(struct native *n, struct naive *m) {
    struct comparison c = {.m = m};
    struct result result;
    struct topic_query query = {.name = T, .group = G, .slot = same_slot, .context = &c};
    n->ops->query(n->state, &query, &result);
    assert_int_equal(c.slots, m->grouped ? m->partitions : 0);
    uint64_t newest = m->last_token;
    for (uint32_t p = 0; p < m->partitions; p++) {
        const struct naive_slot *slot = &m->slots[p];
        if (slot->token > newest) newest = slot->token;
        for (uint32_t q = 0; q < p; q++) assert_true(slot->token == 0 || slot->token != m->slots[q].token);
        if (slot->token == 0) continue;
        struct topic_fetch fetch = {.token = slot->token, .partition = p, .max = 1000, .max_bytes = 1 << 20};
        query = (struct topic_query){.name = T, .group = G, .message = same_message, .context = &c, .fetch = &fetch};
        c.messages = 0;
        n->ops->query(n->state, &query, &result);
        uint64_t from = slot->committed > m->first[p] ? slot->committed : m->first[p];
        uint64_t more = slot->due_ms != NEVER ? 0 : m->end[p] - from; // nothing of what is wanted back
        assert_true(fetch.error == 0 && c.messages == (more < 1000 ? more : 1000));
        fetch.token = slot->token + 1;
        n->ops->query(n->state, &query, &result);
        assert_int_equal(fetch.error, TOPIC_NOT_ASSIGNED);
    }
    m->last_token = newest;
    native_check(n);
}

// ---- random commands

static void random_publish(struct native *n, struct naive *m, struct prng *prng) {
    struct topic_entry entries[4] = {0};
    char bodies[4][16], keys[4][2];
    uint32_t count = 1 + (uint32_t)prng_below(prng, 4);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t body = (uint32_t)prng_below(prng, 1000000);
        snprintf(bodies[i], sizeof bodies[i], "%u", body);
        keys[i][0] = (char)('a' + prng_below(prng, 26));
        uint32_t how = (uint32_t)prng_below(prng, 3), p = (uint32_t)prng_below(prng, m->partitions);
        entries[i].body = bytes_of_text(bodies[i]);
        entries[i].by_key = how > 0;
        entries[i].partition = p;
        if (how == 1) entries[i].key = bytes_of(keys[i], 1);
        if (how == 1) p = topic_partition_of_key(entries[i].key, m->partitions);
        if (how == 2) p = (uint32_t)(m->turn++ % m->partitions);
        m->bodies[p][m->end[p]++] = body;
        if (m->keep > 0 && m->end[p] - m->first[p] > m->keep) m->first[p]++;
    }
    assert_int_equal(publish_all(n, (struct topic_publish){.entries = entries, .count = count}), 0);
}

static void random_join(struct native *n, struct naive *m, struct prng *prng) {
    uint32_t who = (uint32_t)prng_below(prng, MEMBERS), partitions[PARTITIONS_MAX], count = 0;
    struct naive_member *member = &m->members[who];
    char name = (char)('a' + who), room = (char)('w' + prng_below(prng, 4));
    uint64_t session = prng_below(prng, 3) > 0 ? 1 + prng_below(prng, 4) : 0;
    struct topic_join join = {.member = bytes_of(&name, 1), .room = bytes_of(&room, 1), .strategy = m->strategy};
    if (session == 0) join.ttl_ms = 500 + prng_below(prng, 3000);
    uint32_t configured = 0;
    for (uint32_t p = 0; p < m->partitions; p++) {
        if (prng_below(prng, 2)) continue;
        configured |= 1u << p;
        partitions[count++] = p;
    }
    join.partitions = partitions;
    join.partition_count = count;
    join.handover_ms = m->handover_ms;
    assert_int_equal(join_with(n, session, join), 0);
    if (member->lives && (session == 0 || member->session != session)) end_member(m, (int)who);
    if (member->lives) assert_int_equal(member->number, out(n)->member);
    if (!m->grouped) // reads from the first message on
        for (uint32_t p = 0; p < m->partitions; p++) m->slots[p].committed = m->first[p];
    m->grouped = true;
    *member = (struct naive_member){.lives = true,
                                    .number = out(n)->member,
                                    .session = session,
                                    .ttl_ms = join.ttl_ms,
                                    .due_ms = session ? NEVER : m->now_ms + join.ttl_ms,
                                    .configured = configured,
                                    .room = room};
    rebalance(m);
}

static void random_of_member(struct native *n, struct naive *m, struct prng *prng) {
    int who = (int)prng_below(prng, MEMBERS);
    struct naive_member *member = &m->members[who];
    bool leaves = prng_below(prng, 2);
    int error = leaves ? leave(n, member->number) : heartbeat(n, member->number);
    bool can = member->lives && (leaves || member->session == 0);
    assert_int_equal(error, can ? 0 : member->lives ? TOPIC_BAD_ARGUMENTS : TOPIC_NOT_MEMBER);
    if (!can) return;
    member->due_ms = m->now_ms + member->ttl_ms;
    if (!leaves) return;
    end_member(m, who);
    rebalance(m);
}

static void random_of_slot(struct native *n, struct naive *m, struct prng *prng) {
    uint32_t p = (uint32_t)prng_below(prng, m->partitions);
    struct naive_slot *slot = &m->slots[p];
    uint64_t token = prng_below(prng, 4) == 0 ? slot->token - 1 : slot->token;
    bool good = slot->token != 0 && token == slot->token;
    if (!m->grouped) return;
    if (prng_below(prng, 3) == 0) {
        assert_int_equal(release(n, p, token), good ? 0 : TOPIC_NOT_ASSIGNED);
        if (good) hand_over(slot);
        return;
    }
    uint64_t offset = prng_below(prng, m->end[p] + 2);
    int error = commit(n, p, token, offset);
    assert_int_equal(error, !good ? TOPIC_NOT_ASSIGNED : offset > m->end[p] ? TOPIC_OFFSET : 0);
    if (error == 0 && offset > slot->committed) slot->committed = offset;
}

static void random_end(struct native *n, struct naive *m, struct prng *prng) {
    uint64_t session = 1 + prng_below(prng, 4);
    native_end_session(n, session);
    for (;;) { // one after the other, in the order of their joining: each rebalance is seen
        int who = -1;
        for (int i = 0; i < (int)MEMBERS; i++)
            if (m->members[i].lives && m->members[i].session == session &&
                (who < 0 || m->members[i].number < m->members[who].number))
                who = i;
        if (who < 0) return;
        end_member(m, who);
        rebalance(m);
    }
}

static void pass_time(struct native *n, struct naive *m, struct prng *prng) {
    uint64_t ms = prng_below(prng, 700);
    native_pass(n, ms);
    m->now_ms += ms;
    while (end_due(m)) {
    }
}

static void one_run(uint64_t seed, enum topic_strategy strategy) {
    struct naive *m = test_calloc(1, sizeof *m);
    struct native n, copy;
    struct prng prng;
    struct bytes rooms[PARTITIONS_MAX];
    prng_seed(&prng, seed);
    native_open(&n, &topic_model, NULL);
    m->strategy = strategy;
    m->partitions = 1 + (uint32_t)prng_below(&prng, PARTITIONS_MAX);
    m->keep = prng_below(&prng, 2) ? 5 : 0;
    m->handover_ms = 1 + prng_below(&prng, 1000);
    m->now_ms = n.apply.log_time_ms;
    for (uint32_t p = 0; p < m->partitions; p++) {
        m->rooms[p] = (char)('w' + prng_below(&prng, 4));
        rooms[p] = bytes_of(&m->rooms[p], 1);
        m->slots[p] = (struct naive_slot){.owner = -1, .target = -1, .due_ms = NEVER};
    }
    create(&n, (struct topic_options){.partitions = m->partitions, .retention_count = m->keep, .rooms = rooms});
    for (int i = 0; i < 1200; i++) {
        static void (*const does[])(struct native *, struct naive *, struct prng *) = {
            random_publish, random_publish, random_join, random_of_member, random_of_slot,
            random_of_slot, random_of_slot, random_end,  pass_time,        pass_time};
        uint64_t what = prng_below(&prng, i % 7 == 0 ? 10 : 7);
        does[what](&n, m, &prng);
        check(&n, m);
        if (i % 100 != 99) continue;
        native_ends_alike(&n);
        native_pass(&n, 0);
        m->now_ms = n.apply.log_time_ms;
        while (end_due(m)) {
        }
        native_copy(&n, &copy, 4096 + prng_below(&prng, 100));
        native_close(&n);
        n = copy;
        n.apply.emit_context = &n;
        check(&n, m);
    }
    native_close(&n);
    test_free(m);
}

static void random_commands_do_as_the_naive_model(void **state) {
    for (uint64_t seed = 1; seed <= 15; seed++) one_run(seed, (enum topic_strategy)(TOPIC_AVERAGELY + seed % 5));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_commands_do_as_the_naive_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
