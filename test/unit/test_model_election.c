// Elections (locks of mode election): named cases, and random commands held against a naive model.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/prng.h"
#include "model/lock/lock.h"
#include <stdio.h>
#include <string.h>

enum { NAMES = 2, OWNERS = 5, LINE_MAX = 32 };
static const char *const names[NAMES] = {"x", "y"};
static const char *const owners[NAMES * OWNERS] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};

struct heard { // what an observer of one election knows
    uint64_t version, token, count;
    char value[64];
};
struct kit {
    void *state;
    struct apply apply;
    struct lock_result out;
    struct heard heard[NAMES];
    char events[1 << 14];
};

static void on_event(void *context, uint8_t model, const void *event) {
    static const char *const types[] = {"granted", "lost", "timed out", "cancelled", "superseded", "leads"};
    struct kit *k = context;
    const struct lock_event *e = event;
    size_t len = strlen(k->events), name = e->name.data[0] == 'x' ? 0 : 1;
    bool nobody = e->type == LOCK_EVENT_LEADER && e->version == 0;
    assert_int_equal(model, MODEL_LOCK);
    snprintf(k->events + len, sizeof k->events - len, "%.*s %s %.*s%s%.*s\n", nobody ? 6 : (int)e->owner.len,
             nobody ? "nobody" : (const char *)e->owner.data, types[e->type], (int)e->name.len, e->name.data,
             e->type == LOCK_EVENT_LEADER && !nobody ? ": " : "", e->type == LOCK_EVENT_LEADER ? (int)e->value.len : 0,
             e->value.data);
    if (e->type != LOCK_EVENT_LEADER) return;
    k->heard[name].version = e->version;
    k->heard[name].token = e->token;
    k->heard[name].count++;
    snprintf(k->heard[name].value, sizeof k->heard[name].value, "%.*s", (int)e->value.len, e->value.data);
}

static void kit_open(struct kit *k) {
    memset(k, 0, sizeof *k);
    k->state = lock_model.create();
    k->apply = (struct apply){.index = 100, .log_time_ms = 1000, .apply_level = 2, .emit = on_event};
    k->apply.emit_context = k;
}

static void check(const struct kit *k) {
    assert_true(digest_equal(lock_model.digest(k->state), lock_model.digest_recount(k->state)));
}

static void kit_close(struct kit *k) {
    check(k);
    lock_model.destroy(k->state);
}

static int run(struct kit *k, struct writer *w) {
    struct command command;
    struct result result = {0};
    assert_true(command_read(&command, bytes_of(w->data, w->len)));
    k->apply.index++;
    k->events[0] = '\0';
    lock_model.apply(k->state, &k->apply, &command, &result);
    k->out = *(const struct lock_result *)result.value;
    writer_free(w);
    return result.error;
}

static int campaign_for(struct kit *k, const char *name, uint64_t session, const char *owner, const char *value,
                        uint64_t wait_ms) {
    struct writer w = {0};
    struct lock_request q = {.name = bytes_of_text(name),
                             .owner = bytes_of_text(owner),
                             .mode = LOCK_ELECTION,
                             .permits = 1,
                             .wait_ms = wait_ms,
                             .value = bytes_of_text(value)};
    lock_write_acquire(&w, session, 1, &q);
    return run(k, &w);
}
static int campaign(struct kit *k, uint64_t session, const char *owner, const char *value) {
    return campaign_for(k, "x", session, owner, value, LOCK_WAIT_FOREVER);
}
static int resign(struct kit *k, const char *name, uint64_t session, const char *owner, uint64_t token) {
    struct writer w = {0};
    lock_write_release(&w, session, 1, bytes_of_text(name), bytes_of_text(owner), token, true);
    return run(k, &w);
}
static int proclaim(struct kit *k, const char *name, uint64_t session, const char *owner, uint64_t token,
                    const char *value) {
    struct writer w = {0};
    lock_write_proclaim(&w, session, 1, bytes_of_text(name), bytes_of_text(owner), token, bytes_of_text(value));
    return run(k, &w);
}
static void end_session(struct kit *k, uint64_t session) {
    k->apply.index++;
    k->events[0] = '\0';
    lock_model.session_end(k->state, &k->apply, session);
}
static void pass(struct kit *k, uint64_t ms) {
    k->apply.log_time_ms += ms;
    k->apply.index++;
    k->events[0] = '\0';
    lock_model.expire(k->state, &k->apply, 1000);
}

static void leads_until_it_resigns(void **state) {
    struct kit k;
    kit_open(&k);
    assert_int_equal(campaign(&k, 1, "a", "host-a"), 0);
    assert_string_equal(k.events, "a leads x: host-a\n");
    uint64_t token = k.out.token;
    assert_true(k.out.granted && k.out.version == token && k.heard[0].version == token);
    assert_int_equal(campaign(&k, 2, "b", "host-b"), 0);
    assert_false(k.out.granted);
    assert_string_equal(k.events, ""); // observers see no candidates
    assert_int_equal(campaign_for(&k, "x", 3, "c", "", 0), LOCK_BUSY);
    assert_int_equal(proclaim(&k, "x", 1, "a", token, "elsewhere"), 0);
    assert_string_equal(k.events, "a leads x: elsewhere\n");
    assert_true(k.out.version > token && k.heard[0].version == k.out.version && k.heard[0].token == token);
    uint64_t version = k.out.version;
    assert_int_equal(proclaim(&k, "x", 1, "a", token, "elsewhere"), 0); // a retry tells nobody
    assert_true(k.out.version == version);
    assert_string_equal(k.events, "");
    assert_int_equal(proclaim(&k, "x", 2, "b", token, "mine"), LOCK_NOT_HELD);
    assert_int_equal(proclaim(&k, "x", 1, "a", token + 1, "mine"), LOCK_NOT_HELD);
    assert_int_equal(resign(&k, "x", 1, "a", token), 0);
    assert_string_equal(k.events, "b leads x: host-b\nb granted x\n");
    assert_true(k.heard[0].version > version && k.heard[0].token == k.heard[0].version);
    assert_int_equal(proclaim(&k, "x", 1, "a", token, "late"), LOCK_NOT_HELD);
    assert_int_equal(resign(&k, "x", 2, "b", k.heard[0].token), 0);
    assert_string_equal(k.events, "nobody leads x\n");
    kit_close(&k);
}

static void leader_dies_with_its_session(void **state) {
    struct kit k;
    kit_open(&k);
    campaign(&k, 1, "a", "1");
    uint64_t token = k.out.token;
    campaign(&k, 1, "b", "2"); // of the session that ends
    campaign(&k, 2, "c", "3");
    assert_true(lock_verify(k.state, bytes_of_text("x"), token));
    end_session(&k, 1);
    assert_string_equal(k.events, "a lost x\nc leads x: 3\nc granted x\n");
    assert_false(lock_verify(k.state, bytes_of_text("x"), token));
    assert_true(lock_verify(k.state, bytes_of_text("x"), k.heard[0].token));
    end_session(&k, 2);
    assert_string_equal(k.events, "c lost x\nnobody leads x\n");
    kit_close(&k);
}

static void campaign_once_more_changes_the_value(void **state) {
    struct kit k;
    kit_open(&k);
    campaign(&k, 1, "a", "1");
    uint64_t token = k.out.token;
    campaign(&k, 2, "b", "2");
    assert_int_equal(campaign(&k, 2, "b", "3"), 0);
    assert_string_equal(k.events, "b superseded x\n"); // the older request; its place stays
    assert_int_equal(campaign(&k, 1, "a", "1"), 0);
    assert_string_equal(k.events, "");
    assert_true(k.out.token == token && k.out.version == token);
    assert_int_equal(campaign(&k, 1, "a", "4"), 0);
    assert_string_equal(k.events, "a leads x: 4\n");
    assert_true(k.out.token == token && k.out.version > token);
    assert_int_equal(resign(&k, "x", 1, "a", token), 0); // once is enough
    assert_string_equal(k.events, "b leads x: 3\nb granted x\n");
    kit_close(&k);
}

static void tokens_grow_over_elections_and_locks(void **state) {
    struct kit k;
    struct writer w = {0};
    kit_open(&k);
    uint64_t newest = 0;
    for (int i = 0; i < 5; i++) {
        campaign_for(&k, names[i % 2], 1, "a", "", 0);
        assert_true(k.out.token > newest);
        newest = k.out.token;
        proclaim(&k, names[i % 2], 1, "a", newest, i % 2 ? "1" : "2");
        assert_true(k.out.version > newest);
        newest = k.out.version;
        struct lock_request q = {.name = bytes_of_text("lock"), .permits = 1};
        lock_write_acquire(&w, 2, 1, &q);
        assert_int_equal(run(&k, &w), 0);
        assert_true(k.out.token > newest);
        newest = k.out.token;
        end_session(&k, 1);
        end_session(&k, 2);
    }
    kit_close(&k);
}

static void election_is_no_lock(void **state) {
    struct kit k;
    struct writer w = {0};
    char big[LOCK_VALUE_BYTES_MAX + 2];
    kit_open(&k);
    campaign(&k, 1, "a", "");
    uint64_t token = k.out.token;
    struct lock_request q = {.name = bytes_of_text("x"), .owner = bytes_of_text("b"), .permits = 1, .ttl_ms = 1000};
    lock_write_acquire(&w, 2, 1, &q);
    assert_int_equal(run(&k, &w), LOCK_KIND);
    q.name = bytes_of_text("lock");
    lock_write_acquire(&w, 2, 1, &q);
    assert_int_equal(run(&k, &w), 0);
    lock_write_proclaim(&w, 2, 1, q.name, q.owner, k.out.token, bytes_of_text("v"));
    assert_int_equal(run(&k, &w), LOCK_BAD_ARGUMENTS);
    assert_int_equal(campaign_for(&k, "lock", 1, "a", "", LOCK_WAIT_FOREVER), LOCK_KIND);
    memset(big, 'v', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    assert_int_equal(campaign(&k, 3, "a", big), LOCK_BAD_ARGUMENTS);
    assert_int_equal(proclaim(&k, "x", 1, "a", token, big), LOCK_BAD_ARGUMENTS);
    big[sizeof big - 2] = '\0';
    assert_int_equal(proclaim(&k, "x", 1, "a", token, big), 0);
    struct bytes all[] = {bytes_of_text("x")};
    enum lock_mode modes[] = {LOCK_ELECTION};
    lock_write_acquire_all(&w, 1, 1, bytes_of_text("z"), 0, 0, all, modes, 1);
    assert_int_equal(run(&k, &w), LOCK_BAD_ARGUMENTS);
    kit_close(&k);
}

// ---- random commands against a naive model: for each election the line of its candidates, the first of whom leads

struct naive {
    struct {
        size_t owner;
        uint64_t session, until_ms;
        char value[8];
    } line[NAMES][LINE_MAX];
    size_t len[NAMES];
    uint64_t changes[NAMES]; // of leader or value
    uint64_t newest;         // version
};

static void naive_remove(struct naive *m, size_t name, size_t i) {
    memmove(&m->line[name][i], &m->line[name][i + 1], (m->len[name] - i - 1) * sizeof m->line[name][0]);
    m->len[name]--;
    m->changes[name] += i == 0;
}

static size_t naive_find(const struct naive *m, size_t name, uint64_t session, size_t owner) {
    size_t i = 0;
    while (i < m->len[name] && (m->line[name][i].session != session || m->line[name][i].owner != owner)) i++;
    return i;
}

static void random_campaign(struct kit *k, struct naive *m, struct prng *prng) {
    size_t name = prng_below(prng, NAMES);
    size_t owner = name * OWNERS + prng_below(prng, OWNERS); // in one election only: no circles
    uint64_t session = 1 + prng_below(prng, 3), wait_ms = prng_below(prng, 3) * prng_below(prng, 200);
    char value[8];
    snprintf(value, sizeof value, "%u", (unsigned)prng_below(prng, 4));
    size_t i = naive_find(m, name, session, owner);
    int error = campaign_for(k, names[name], session, owners[owner], value, wait_ms);
    if (i == m->len[name] && i > 0 && wait_ms == 0) {
        assert_int_equal(error, LOCK_BUSY);
        return;
    }
    assert_int_equal(error, 0);
    assert_int_equal(k->out.granted, i == 0);
    if (i == m->len[name]) {
        assert_true(i < LINE_MAX);
        m->line[name][i].owner = owner;
        m->line[name][i].session = session;
        m->line[name][i].until_ms = k->apply.log_time_ms + wait_ms;
        m->len[name]++;
        m->changes[name] += i == 0;
    } else if (i == 0) {
        m->changes[name] += strcmp(m->line[name][0].value, value) != 0;
    }
    snprintf(m->line[name][i].value, sizeof m->line[name][i].value, "%s", value);
}

static void random_leader_acts(struct kit *k, struct naive *m, struct prng *prng) {
    size_t name = prng_below(prng, NAMES);
    uint64_t token = k->heard[name].token - prng_below(prng, 8) / 7;
    bool good = m->len[name] > 0 && token != 0 && token == k->heard[name].token;
    size_t owner = m->len[name] > 0 ? m->line[name][0].owner : 0;
    uint64_t session = m->len[name] > 0 ? m->line[name][0].session : 1;
    char value[8];
    snprintf(value, sizeof value, "%u", (unsigned)prng_below(prng, 4));
    if (prng_below(prng, 2)) {
        assert_int_equal(resign(k, names[name], session, owners[owner], token), good ? 0 : LOCK_NOT_HELD);
        if (good) naive_remove(m, name, 0);
        return;
    }
    assert_int_equal(proclaim(k, names[name], session, owners[owner], token, value), good ? 0 : LOCK_NOT_HELD);
    if (!good) return;
    m->changes[name] += strcmp(m->line[name][0].value, value) != 0;
    snprintf(m->line[name][0].value, sizeof m->line[name][0].value, "%s", value);
}

static void naive_ends(struct naive *m, uint64_t session, uint64_t now_ms) { // session 0: waiting that is over
    for (size_t name = 0; name < NAMES; name++) {
        bool led = m->len[name] > 0;
        uint64_t changes = m->changes[name];
        for (size_t i = 0; i < m->len[name];) {
            bool over = session ? m->line[name][i].session == session : i > 0 && m->line[name][i].until_ms <= now_ms;
            if (over)
                naive_remove(m, name, i);
            else
                i++;
        }
        if (led && m->changes[name] > changes) m->changes[name] = changes + 1; // told once for the entry
    }
}

struct seen {
    const struct naive *m;
    size_t name, at;
    struct lock_claim_info leader;
};
static void see_claim(void *context, const struct lock_claim_info *claim) {
    struct seen *seen = context;
    assert_true(seen->at < seen->m->len[seen->name]);
    assert_string_equal(owners[seen->m->line[seen->name][seen->at].owner],
                        ((const char[]){(char)claim->owner.data[0], '\0'}));
    assert_true(claim->session == seen->m->line[seen->name][seen->at].session);
    assert_true(bytes_equal(claim->value, bytes_of_text(seen->m->line[seen->name][seen->at].value)));
    assert_true((claim->token != 0) == (seen->at == 0) && (claim->version != 0) == (seen->at == 0));
    if (seen->at++ == 0) seen->leader = *claim;
}

// What an observer heard is what is: no change was kept from it, and none was told twice.
static void holds_the_same(struct kit *k, struct naive *m) {
    for (size_t name = 0; name < NAMES; name++) {
        struct seen seen = {.m = m, .name = name};
        struct lock_query query = {.name = bytes_of_text(names[name]), .claim = see_claim, .context = &seen};
        struct result result;
        lock_model.query(k->state, &query, &result);
        assert_int_equal(seen.at, m->len[name]);
        assert_int_equal(k->heard[name].count, m->changes[name]);
        assert_true(k->heard[name].version == seen.leader.version && k->heard[name].token == seen.leader.token);
        assert_string_equal(k->heard[name].value, m->len[name] > 0 ? m->line[name][0].value : "");
        assert_true(seen.leader.version >= seen.leader.token);
        if (seen.leader.version > m->newest) m->newest = seen.leader.version;
    }
}

static void goes_on_from_a_copy(struct kit *k) {
    static uint8_t chunk[4096];
    struct save_cursor cursor = {0};
    void *copy = lock_model.create();
    for (size_t len; (len = lock_model.save(k->state, &cursor, chunk, sizeof chunk)) > 0;)
        assert_int_equal(lock_model.load(copy, chunk, len), 0);
    assert_true(digest_equal(lock_model.digest(k->state), lock_model.digest(copy)));
    assert_true(lock_model.memory(k->state) == lock_model.memory(copy));
    lock_model.destroy(k->state);
    k->state = copy;
}

static void damaged(const struct kit *k, struct prng *prng) {
    static uint8_t saved[1 << 15], bad[1 << 15];
    struct save_cursor cursor = {0};
    size_t len = lock_model.save(k->state, &cursor, saved, sizeof saved);
    for (int i = 0; i < 3000; i++) {
        size_t cut = i % 4 == 0 ? (size_t)prng_below(prng, len) : len;
        memcpy(bad, saved, len);
        if (i % 4 != 0) bad[prng_below(prng, len)] ^= (uint8_t)(1u << prng_below(prng, 8));
        struct kit other;
        kit_open(&other);
        if (lock_model.load(other.state, bad, cut) == 0) {
            end_session(&other, 1);
            check(&other);
        }
        lock_model.destroy(other.state);
    }
}

static void random_commands_match_a_naive_model(void **state) {
    struct naive *m = test_malloc(sizeof *m);
    struct kit *k = test_malloc(sizeof *k);
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct prng prng;
        prng_seed(&prng, seed);
        memset(m, 0, sizeof *m);
        kit_open(k);
        for (int i = 0; i < 1000; i++) {
            uint64_t newest[NAMES] = {k->heard[0].version, k->heard[1].version}, before = m->newest, session;
            switch (prng_below(&prng, 10)) {
            case 0:
                pass(k, prng_below(&prng, 100));
                naive_ends(m, 0, k->apply.log_time_ms);
                break;
            case 1:
                session = 1 + prng_below(&prng, 3);
                end_session(k, session);
                naive_ends(m, session, 0);
                break;
            case 2:
            case 3:
            case 4:
                random_leader_acts(k, m, &prng);
                break;
            default:
                random_campaign(k, m, &prng);
            }
            holds_the_same(k, m);
            for (size_t n = 0; n < NAMES; n++) // a change has a version that was never seen
                assert_true(k->heard[n].version == newest[n] || k->heard[n].version == 0 ||
                            k->heard[n].version > before);
            if (i % 16 == 0) check(k);
            if (prng_below(&prng, 50) == 0) goes_on_from_a_copy(k);
        }
        if (seed <= 3) damaged(k, &prng);
        kit_close(k);
    }
    test_free(k);
    test_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leads_until_it_resigns),
        cmocka_unit_test(leader_dies_with_its_session),
        cmocka_unit_test(campaign_once_more_changes_the_value),
        cmocka_unit_test(tokens_grow_over_elections_and_locks),
        cmocka_unit_test(election_is_no_lock),
        cmocka_unit_test(random_commands_match_a_naive_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
