// sim/check/linear against a search that knows nothing of it: every order of a small history is executed on a model of
// its own, all keys together, without splitting, memory or short cuts. Histories come from a correct object (they must
// be accepted), then one answer or time is changed (both must say the same).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "sim/check/linear.h"

enum { KEYS = 2, OPERATIONS = 8, QUEUE = 16, VALUES = 3 };
enum flavour { VALUES_ONLY, NODES, MULTIS, SETS, QUEUES, FLAVOURS };

// ---- the plain model: executes, then its answer is compared

struct node {
    record_text value; // RECORD_NULL: none
    int64_t version;
};
struct model {
    struct node nodes[KEYS];
    record_text queue[QUEUE];
    size_t queued;
    record_text keys[KEYS], names[VALUES]; // as interned
    bool in[KEYS][VALUES];
};
struct answer {
    enum record_error error;
    record_text value;
    int64_t version;
    bool found;
};

static size_t key_of(const struct model *model, record_text key) {
    return model->keys[0] == key ? 0 : 1;
}

static size_t name_of(const struct model *model, record_text name) {
    size_t at = 0;
    while (at < VALUES && model->names[at] != name) at++;
    assert_true(at < VALUES);
    return at;
}

static struct answer put(struct node *node, record_text value) {
    node->version = node->value == RECORD_NULL ? 0 : node->version + 1;
    node->value = value;
    return (struct answer){.value = value, .version = node->version};
}

static struct answer on_node(struct node *node, const struct record_operation *o) {
    bool none = node->value == RECORD_NULL, wants = o->expect_version != RECORD_NO_VERSION;
    if (o->op == RECORD_READ) return (struct answer){.value = node->value, .version = none ? -1 : node->version};
    if (o->op == RECORD_WRITE) return put(node, o->value);
    if (o->op == RECORD_CREATE) return none ? put(node, o->value) : (struct answer){.error = RECORD_NODE_EXISTS};
    if (none && (wants || o->op == RECORD_DELETE)) return (struct answer){.error = RECORD_NO_NODE};
    if (wants && o->expect_version != node->version) return (struct answer){.error = RECORD_BAD_VERSION};
    if (!wants && o->op == RECORD_CAS && o->expect != node->value) return (struct answer){.error = RECORD_BAD_VERSION};
    if (o->op == RECORD_CAS) return put(node, o->value);
    node->value = RECORD_NULL; // delete
    return (struct answer){.version = -1};
}

static struct answer execute(struct model *model, const struct record_operation *o) {
    size_t key = key_of(model, o->key);
    bool *in = NULL;
    switch (o->op) {
    case RECORD_ADD:
    case RECORD_REMOVE:
    case RECORD_CONTAINS:
        in = &model->in[key][name_of(model, o->value)];
        if (o->op != RECORD_CONTAINS) *in = o->op == RECORD_ADD;
        return (struct answer){.value = o->value, .version = -1, .found = *in};
    case RECORD_ENQUEUE:
        model->queue[model->queued++] = o->value;
        return (struct answer){.value = o->value};
    case RECORD_DEQUEUE: {
        struct answer answer = {.value = model->queued == 0 ? RECORD_NULL : model->queue[0]};
        if (model->queued > 0) memmove(model->queue, model->queue + 1, --model->queued * sizeof *model->queue);
        return answer;
    }
    default:
        return on_node(&model->nodes[key], o);
    }
}

static bool same_answer(const struct record_operation *o, const struct answer *answer) {
    if (o->outcome == RECORD_FAIL) return answer->error == o->error;
    if (answer->error != RECORD_NO_ERROR) return false;
    if ((o->op == RECORD_READ || o->op == RECORD_DEQUEUE) && answer->value != o->value) return false;
    if (o->op == RECORD_CONTAINS) return answer->found == o->found;
    return o->version == RECORD_NO_VERSION || answer->version == o->version;
}

// ---- every order

struct brute {
    const struct record *record;
    bool done[2 * OPERATIONS];
};

// All of a multi, or the one; false: it cannot be here.
static bool place(const struct brute *brute, struct model *model, size_t from, size_t to) {
    struct model before = *model;
    for (size_t i = from; i < to; i++) {
        const struct record_operation *o = &brute->record->operations[i];
        struct answer answer = execute(model, o);
        if (o->outcome == RECORD_UNKNOWN) {
            if (answer.error == RECORD_NO_ERROR) continue;
            *model = before;
            return false; // as if it never happened, which is tried too
        }
        if (!same_answer(o, &answer)) return false;
    }
    return true;
}

static bool is_nothing(const struct record_operation *o) {
    bool empty_fail = o->outcome == RECORD_FAIL && (o->error == RECORD_NO_ERROR || o->multi != 0);
    return empty_fail || (o->outcome == RECORD_UNKNOWN && o->multi == 0 && o->op == RECORD_READ);
}

static bool any_order(struct brute *brute, const struct model *model) {
    const struct record_operation *all = brute->record->operations;
    uint64_t deadline_us = RECORD_NEVER;
    bool left = false;
    for (size_t i = 0; i < brute->record->count; i++) {
        if (brute->done[i] || is_nothing(&all[i]) || all[i].outcome == RECORD_UNKNOWN) continue;
        left = true;
        if (all[i].return_us < deadline_us) deadline_us = all[i].return_us;
    }
    if (!left) return true;
    for (size_t from = 0, to; from < brute->record->count; from = to) {
        for (to = from + 1; to < brute->record->count && all[from].multi != 0;)
            if (all[to].multi == all[from].multi && all[to].client == all[from].client)
                to++;
            else
                break;
        if (brute->done[from] || is_nothing(&all[from]) || all[from].call_us > deadline_us) continue;
        struct model next = *model;
        if (!place(brute, &next, from, to)) continue;
        memset(brute->done + from, true, to - from);
        bool found = any_order(brute, &next);
        memset(brute->done + from, false, to - from);
        if (found) return true;
    }
    return false;
}

// ---- histories of a correct object

struct maker {
    struct prng random;
    struct record record;
    struct model model;
    enum flavour flavour;
    uint64_t points[2 * OPERATIONS]; // when each takes effect; RECORD_NEVER: not at all
    uint64_t multis;
    uint64_t span, unknown_one_in; // how long operations take, how many lose their answer
};

static uint64_t below(struct maker *maker, uint64_t bound) {
    return prng_below(&maker->random, bound);
}

static enum record_op draw_op(struct maker *maker) {
    static const enum record_op ops[FLAVOURS][5] = {
        [VALUES_ONLY] = {RECORD_READ, RECORD_READ, RECORD_WRITE, RECORD_WRITE, RECORD_CAS},
        [NODES] = {RECORD_READ, RECORD_WRITE, RECORD_CAS, RECORD_CREATE, RECORD_DELETE},
        [MULTIS] = {RECORD_READ, RECORD_WRITE, RECORD_CAS, RECORD_CREATE, RECORD_DELETE},
        [SETS] = {RECORD_ADD, RECORD_REMOVE, RECORD_CONTAINS, RECORD_CONTAINS, RECORD_ADD},
        [QUEUES] = {RECORD_ENQUEUE, RECORD_ENQUEUE, RECORD_DEQUEUE, RECORD_DEQUEUE, RECORD_DEQUEUE},
    };
    return ops[maker->flavour][below(maker, 5)];
}

static void draw_condition(struct maker *maker, struct record_operation *o) {
    bool nodes = maker->flavour == NODES || maker->flavour == MULTIS;
    if (o->op == RECORD_CAS) o->expect = below(maker, 5) == 0 ? RECORD_NULL : maker->model.names[below(maker, VALUES)];
    if (nodes && (o->op == RECORD_CAS || o->op == RECORD_DELETE) && below(maker, 2) == 0) {
        o->expect = RECORD_ANY;
        o->expect_version = (int64_t)below(maker, 3);
    }
}

// One operation, or the two parts of a multi on both keys; what it asks, not yet what it is told.
static void draw(struct maker *maker, uint64_t client, uint64_t seq, uint64_t call_us) {
    bool multi = maker->flavour == MULTIS && below(maker, 3) == 0;
    bool queue = maker->flavour == QUEUES;
    uint64_t return_us = call_us + below(maker, maker->span), first_key = below(maker, KEYS);
    bool unknown = below(maker, maker->unknown_one_in) == 0;
    uint64_t point = unknown ? call_us + below(maker, 40) : call_us + below(maker, return_us - call_us + 1);
    if (unknown && below(maker, 3) == 0) point = RECORD_NEVER;
    if (multi) maker->multis++;
    for (uint64_t part = 0; part < (multi ? 2 : 1); part++) {
        record_text key = maker->model.keys[queue ? 0 : (first_key + part) % KEYS];
        struct record_operation o = record_operation_of(client, seq + part, draw_op(maker), key);
        o.call_us = call_us;
        o.return_us = unknown ? RECORD_NEVER : return_us;
        o.outcome = unknown ? RECORD_UNKNOWN : RECORD_OK;
        o.multi = multi ? maker->multis : 0;
        if (o.op != RECORD_READ && o.op != RECORD_DELETE && o.op != RECORD_DEQUEUE)
            o.value = maker->model.names[below(maker, VALUES)];
        draw_condition(maker, &o);
        maker->points[record_append(&maker->record, &o)] = point;
    }
}

static void answer(struct maker *maker, struct record_operation *o, const struct answer *told) {
    if (o->outcome == RECORD_UNKNOWN) return;
    if (told->error != RECORD_NO_ERROR) {
        o->outcome = RECORD_FAIL;
        o->error = below(maker, 4) == 0 ? RECORD_NO_ERROR : told->error;
        return;
    }
    if (o->op == RECORD_READ || o->op == RECORD_DEQUEUE) o->value = told->value;
    if (o->op == RECORD_CONTAINS) o->found = told->found;
    bool versions = (maker->flavour == NODES || maker->flavour == MULTIS) && told->version >= 0;
    if (versions && below(maker, 2) == 0) o->version = told->version;
}

// A multi with a part that fails has no effect.
static void take_effect(struct maker *maker, size_t from, size_t to) {
    struct model before = maker->model;
    struct answer told[2];
    bool failed = false;
    for (size_t i = from; i < to; i++) {
        told[i - from] = execute(&maker->model, &maker->record.operations[i]);
        failed = failed || told[i - from].error != RECORD_NO_ERROR;
    }
    if (failed) maker->model = before;
    for (size_t i = from; i < to; i++) {
        struct record_operation *o = &maker->record.operations[i];
        if (to - from == 1 || !failed)
            answer(maker, o, &told[i - from]);
        else if (o->outcome == RECORD_OK)
            o->outcome = RECORD_FAIL;
    }
}

static void perform(struct maker *maker) {
    bool done[2 * OPERATIONS] = {false};
    for (;;) {
        size_t next = SIZE_MAX, to;
        for (size_t i = 0; i < maker->record.count; i++)
            if (!done[i] && maker->points[i] != RECORD_NEVER &&
                (next == SIZE_MAX || maker->points[i] < maker->points[next]))
                next = i;
        if (next == SIZE_MAX) return;
        const struct record_operation *o = &maker->record.operations[next];
        for (to = next + 1; to < maker->record.count && o->multi != 0 && o[to - next].multi == o->multi;) to++;
        take_effect(maker, next, to);
        memset(done + next, true, to - next);
    }
}

static void make(struct maker *maker, uint64_t seed) {
    static const char *const keys[KEYS] = {"x", "y"}, *const names[VALUES] = {"a", "b", "c"};
    *maker = (struct maker){.flavour = seed % FLAVOURS};
    prng_seed(&maker->random, seed);
    record_init(&maker->record);
    for (size_t i = 0; i < KEYS; i++) maker->model.keys[i] = record_intern(&maker->record, keys[i]);
    for (size_t i = 0; i < VALUES; i++) maker->model.names[i] = record_intern(&maker->record, names[i]);
    maker->span = below(maker, 2) == 0 ? 8 : 40;
    maker->unknown_one_in = 2 + below(maker, 5);
    uint64_t clients = 2 + below(maker, 4), count = 3 + below(maker, OPERATIONS - 3), free_us[5] = {0};
    for (uint64_t i = 0; i < count; i++) {
        uint64_t client = below(maker, clients);
        uint64_t call_us = free_us[client] + below(maker, 6);
        draw(maker, client, 2 * i, call_us);
        uint64_t return_us = maker->record.operations[maker->record.count - 1].return_us;
        free_us[client] = (return_us == RECORD_NEVER ? call_us + 5 : return_us) + 1;
    }
    perform(maker);
}

// ---- one lie

static void mutate_time(struct maker *maker, struct record_operation *o) {
    if (o->return_us == RECORD_NEVER || o->multi != 0) return;
    if (below(maker, 2) == 0) {
        o->call_us += 8;
        o->return_us += 8;
    } else {
        o->return_us = o->call_us;
    }
}

static void mutate(struct maker *maker) {
    struct record_operation *o = &maker->record.operations[below(maker, maker->record.count)];
    record_text other = maker->model.names[below(maker, VALUES)];
    uint64_t what = below(maker, 4);
    bool shows = o->op == RECORD_READ || o->op == RECORD_DEQUEUE;
    if (what == 0 || o->outcome == RECORD_UNKNOWN) {
        mutate_time(maker, o);
    } else if (o->outcome == RECORD_FAIL) {
        if (o->error != RECORD_NO_ERROR && o->op != RECORD_READ && o->multi == 0) {
            o->outcome = RECORD_OK;
            o->error = RECORD_NO_ERROR;
        }
    } else if (o->op == RECORD_CONTAINS) {
        o->found = !o->found;
    } else if (what == 1 && o->version != RECORD_NO_VERSION) {
        o->version++;
    } else if (shows && what == 2 && o->version == RECORD_NO_VERSION) {
        o->value = RECORD_NULL;
    } else if (shows || o->op == RECORD_WRITE || o->op == RECORD_ENQUEUE) {
        if (!shows || o->version == RECORD_NO_VERSION || o->value != RECORD_NULL) o->value = other;
    }
}

// ---- comparison

static struct model beginning(const struct maker *maker) {
    struct model model = {.queued = 0};
    memcpy(model.keys, maker->model.keys, sizeof model.keys);
    memcpy(model.names, maker->model.names, sizeof model.names);
    return model;
}

static bool brute_accepts(const struct maker *maker, const struct record *record) {
    struct brute brute = {.record = record};
    struct model model = beginning(maker);
    return any_order(&brute, &model);
}

// Whatever stood there before: each node any value and version.
static bool brute_accepts_anything(const struct maker *maker, const struct record *record) {
    struct model model = beginning(maker);
    for (uint64_t choice = 0; choice < 40 * 40; choice++) {
        struct brute brute = {.record = record};
        uint64_t node_choice[KEYS] = {choice % 40, choice / 40};
        for (size_t i = 0; i < KEYS; i++) {
            uint64_t value = node_choice[i] % 4;
            model.nodes[i].value = value == 3 ? RECORD_NULL : maker->model.names[value];
            model.nodes[i].version = (int64_t)(node_choice[i] / 4);
            for (uint64_t j = 0; j < VALUES; j++) model.in[i][j] = (node_choice[i] >> j & 1) != 0;
        }
        if (any_order(&brute, &model)) return true;
    }
    return false;
}

static void tell(const struct maker *maker, uint64_t seed, const char *what) {
    fprintf(stderr, "seed %llu: %s\n", (unsigned long long)seed, what);
    record_save(&maker->record, stderr);
    check_all(&maker->record, stderr, check_limits_default());
}

// What is shown convicts the history by itself.
static void check_finding(const struct maker *maker, uint64_t seed, const struct check_finding *finding) {
    struct record shown = maker->record; // borrows the strings
    shown.operations = NULL;
    shown.count = shown.capacity = 0;
    for (size_t i = 0; i < finding->count; i++)
        record_append(&shown, &maker->record.operations[finding->operations[i]]);
    bool anything = strstr(finding->reason, "anything") != NULL;
    bool accepted = anything ? brute_accepts_anything(maker, &shown) : brute_accepts(maker, &shown);
    if (accepted) tell(maker, seed, "what is shown is no violation");
    assert_false(accepted);
    free(shown.operations);
}

static bool compare(const struct maker *maker, uint64_t seed, bool look_at_findings) {
    struct check_limits limits = check_limits_default();
    struct check_result result = {.verdict = CHECK_OK};
    linear_check(&maker->record, &limits, &result);
    bool accepted = brute_accepts(maker, &maker->record);
    if ((result.verdict == CHECK_OK) != accepted)
        tell(maker, seed, accepted ? "there is an order" : "there is no order");
    assert_int_equal(result.verdict, accepted ? CHECK_OK : CHECK_VIOLATION);
    for (size_t i = 0; look_at_findings && i < result.count; i++) check_finding(maker, seed, &result.findings[i]);
    check_result_free(&result);
    return accepted;
}

static void random_histories_are_judged_as_by_trying_all_orders(void **state) {
    enum { HISTORIES = 20000 };
    unsigned refused[FLAVOURS] = {0};
    for (uint64_t seed = 1; seed <= HISTORIES; seed++) {
        struct maker maker;
        make(&maker, seed);
        if (!compare(&maker, seed, false)) {
            tell(&maker, seed, "made by a correct object");
            fail();
        }
        mutate(&maker);
        if (!compare(&maker, seed, seed % 7 == 0)) refused[maker.flavour]++;
        record_free(&maker.record);
    }
    for (int i = 0; i < FLAVOURS; i++) // each kind of lie was caught often: the comparison had something to compare
        assert_in_range(refused[i], HISTORIES / FLAVOURS / 20, HISTORIES / FLAVOURS);
}

// A long correct history is accepted by every checker; the same with one stale read is not.
static void a_long_history_of_many_keys(void **state) {
    enum { CLIENTS = 10, LONG_KEYS = 50, COUNT = 20000 };
    struct record record;
    struct prng random;
    uint64_t free_us[CLIENTS] = {0};
    record_text values[LONG_KEYS] = {0};
    char text[32];
    record_init(&record);
    prng_seed(&random, 7);
    for (uint64_t i = 0; i < COUNT; i++) {
        uint64_t client = i % CLIENTS, key = prng_below(&random, LONG_KEYS), now_us = 10 * i;
        snprintf(text, sizeof text, "k%llu", (unsigned long long)key);
        bool write = prng_below(&random, 2) == 0;
        struct record_operation o =
            record_operation_of(client, i, write ? RECORD_WRITE : RECORD_READ, record_intern(&record, text));
        o.outcome = RECORD_OK;
        o.call_us = now_us - prng_below(&random, now_us - free_us[client] + 1); // takes effect now
        o.return_us = now_us + prng_below(&random, 90);
        free_us[client] = o.return_us + 1;
        snprintf(text, sizeof text, "v%llu", (unsigned long long)i);
        if (write) values[key] = record_intern(&record, text);
        o.value = values[key];
        record_append(&record, &o);
    }
    assert_int_equal(check_all(&record, NULL, check_limits_default()), CHECK_OK);
    struct record_operation stale = record.operations[0];
    stale.op = RECORD_READ;
    stale.call_us = 10 * COUNT + 1000;
    stale.return_us = stale.call_us + 1;
    stale.client = CLIENTS;
    stale.value = RECORD_NULL;
    record_append(&record, &stale);
    assert_int_equal(check_all(&record, NULL, check_limits_default()), CHECK_VIOLATION);
    record_free(&record);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_histories_are_judged_as_by_trying_all_orders),
        cmocka_unit_test(a_long_history_of_many_keys),
    };
    return cmocka_run_group_tests_name("check_random", tests, NULL, NULL);
}
