// Sets. Their forms: keys_elements.h.
#include "base/alloc.h"
#include "base/prng.h"
#include "model/keys/keys_elements.h"

static const struct bytes NO_VALUE = {NULL, 0};

static struct key *find_set(struct keys_call *call, size_t argument, bool *wrong) {
    return key_find_typed(call, call->argv[argument], KEY_SET, wrong);
}

// As the first member of a set has it.
static enum key_encoding encoding_for(struct bytes member) {
    int64_t number;
    return number_read(member, &number) ? ENCODING_INTSET : ENCODING_HASHTABLE;
}

static bool contains(const struct keys_call *call, const struct key *key, struct bytes member) {
    struct item item;
    return key != NULL && elements_find(call->keys, key, member, &item);
}

// ---- members

void set_add(struct keys_call *call) {
    bool wrong;
    int64_t added = 0;
    struct key *key = find_set(call, 1, &wrong);
    if (wrong) return;
    for (size_t i = 2; i < call->argc; i++)
        if (value_too_long(call, call->argv[i].len)) return;
    if (key == NULL) key = key_make(call, call->argv[1], KEY_SET, encoding_for(call->argv[2]));
    elements_begin(call, key);
    for (size_t i = 2; i < call->argc; i++) added += elements_put(call->keys, key, call->argv[i], NO_VALUE);
    elements_end(call, key, added > 0);
    if (added > 0) key_notify(call, KEYS_NOTIFY_SET, "sadd", call->database, call->argv[1]);
    reply_number(&call->out, added);
}

void set_rem(struct keys_call *call) {
    bool wrong;
    int64_t removed = 0;
    struct item item;
    struct key *key = find_set(call, 1, &wrong);
    if (wrong) return;
    if (key != NULL) {
        elements_begin(call, key);
        for (size_t i = 2; i < call->argc && elements_count(key) > 0; i++) {
            if (!elements_find(call->keys, key, call->argv[i], &item)) continue;
            elements_take(call->keys, key, &item);
            removed++;
        }
        if (removed > 0) key_notify(call, KEYS_NOTIFY_SET, "srem", call->database, call->argv[1]);
        elements_end(call, key, removed > 0);
    }
    reply_number(&call->out, removed);
}

void set_ismember(struct keys_call *call) {
    bool wrong;
    struct key *key = find_set(call, 1, &wrong);
    if (!wrong) reply_number(&call->out, contains(call, key, call->argv[2]));
}

void set_mismember(struct keys_call *call) {
    bool wrong;
    struct key *key = find_set(call, 1, &wrong);
    if (wrong) return;
    reply_array(&call->out, call->argc - 2);
    for (size_t i = 2; i < call->argc; i++) reply_number(&call->out, contains(call, key, call->argv[i]));
}

void set_card(struct keys_call *call) {
    bool wrong;
    struct key *key = find_set(call, 1, &wrong);
    if (!wrong) reply_number(&call->out, key == NULL ? 0 : elements_count(key));
}

static void reply_all(struct keys_call *call, const struct key *key) {
    struct walk walk = {0};
    struct item item;
    reply_set(&call->out, key == NULL ? 0 : elements_count(key));
    while (key != NULL && elements_next(key, &walk, &item)) reply_bulk(&call->out, item.name);
}

void set_members(struct keys_call *call) {
    bool wrong;
    struct key *key = find_set(call, 1, &wrong);
    if (!wrong) reply_all(call, key);
}

void set_scan(struct keys_call *call) {
    elements_scan(call, KEY_SET);
}

static void move_member(struct keys_call *call, struct key *from, struct key *to, struct item *item) {
    struct bytes member = call->argv[3];
    bool fresh = !contains(call, to, member);
    elements_begin(call, from);
    elements_take(call->keys, from, item);
    key_notify(call, KEYS_NOTIFY_SET, "srem", call->database, call->argv[1]);
    elements_end(call, from, true);
    if (!fresh) return;
    if (to == NULL) to = key_make(call, call->argv[2], KEY_SET, encoding_for(member));
    elements_begin(call, to);
    elements_put(call->keys, to, member, NO_VALUE);
    elements_end(call, to, true);
    key_notify(call, KEYS_NOTIFY_SET, "sadd", call->database, call->argv[2]);
}

void set_move(struct keys_call *call) {
    bool wrong;
    struct item item;
    struct key *from = find_set(call, 1, &wrong), *to;
    if (wrong) return;
    if (from == NULL) {
        reply_number(&call->out, 0);
        return;
    }
    to = find_set(call, 2, &wrong);
    if (wrong) return;
    bool found = elements_find(call->keys, from, call->argv[3], &item);
    if (found && from != to) move_member(call, from, to, &item);
    reply_number(&call->out, found);
}

// ---- by chance: from the entry's seed only

static void pop(struct keys_call *call, struct key *key, uint64_t count) {
    struct prng random;
    struct item item;
    prng_seed(&random, call->seed);
    elements_begin(call, key);
    for (; count > 0; count--) {
        elements_get(key, (uint32_t)prng_below(&random, elements_count(key)), &item);
        reply_bulk(&call->out, item.name);
        elements_take(call->keys, key, &item);
    }
    key_notify(call, KEYS_NOTIFY_SET, "spop", call->database, call->argv[1]);
    elements_end(call, key, true);
}

static void pop_several(struct keys_call *call, struct key *key, uint64_t count) {
    if (key == NULL || count == 0) {
        reply_set(&call->out, 0);
    } else if (count >= elements_count(key)) {
        reply_all(call, key);
        key_notify(call, KEYS_NOTIFY_SET, "spop", call->database, call->argv[1]);
        key_delete(call, key);
        key_notify(call, KEYS_NOTIFY_GENERIC, "del", call->database, call->argv[1]);
    } else {
        reply_set(&call->out, count);
        pop(call, key, count);
    }
}

void set_pop(struct keys_call *call) {
    bool wrong;
    int64_t count = 0;
    if (call->argc > 3) {
        reply_syntax(&call->out);
        return;
    }
    if (call->argc == 3 && (!number_read(call->argv[2], &count) || count < 0)) {
        reply_error(&call->out, "ERR value is out of range, must be positive");
        return;
    }
    struct key *key = find_set(call, 1, &wrong);
    if (wrong) return;
    if (call->argc == 3)
        pop_several(call, key, (uint64_t)count);
    else if (key == NULL)
        reply_null(&call->out);
    else
        pop(call, key, 1);
}

void set_randmember(struct keys_call *call) {
    elements_random(call, KEY_SET, false);
}

// ---- of several sets

// The sets at argv[first] and behind; NULL: the error is replied.
static struct key **find_sets(struct keys_call *call, size_t first, size_t count) {
    struct key **sets = mem_alloc(count * sizeof(struct key *));
    bool wrong = false;
    for (size_t i = 0; i < count && !wrong; i++) sets[i] = find_set(call, first + i, &wrong);
    if (!wrong) return sets;
    mem_free(sets);
    return NULL;
}

// Calls `found` for what all of them hold, in the order of the smallest; limit 0: none. Gives how many.
static uint64_t intersect(struct keys_call *call, struct key *const *sets, size_t count, uint64_t limit,
                          void (*found)(struct keys_call *call, void *context, struct bytes member), void *context) {
    size_t least = 0;
    uint64_t common = 0;
    struct walk walk = {0};
    struct item item;
    for (size_t i = 0; i < count; i++) {
        if (sets[i] == NULL) return 0;
        if (elements_count(sets[i]) < elements_count(sets[least])) least = i;
    }
    while ((limit == 0 || common < limit) && elements_next(sets[least], &walk, &item)) {
        bool all = true;
        for (size_t i = 0; i < count && all; i++) all = i == least || contains(call, sets[i], item.name);
        if (!all) continue;
        common++;
        if (found != NULL) found(call, context, item.name);
    }
    return common;
}

static void put_member(struct keys_call *call, void *context, struct bytes member) {
    elements_put(call->keys, context, member, NO_VALUE);
}

static void tell_member(struct keys_call *call, void *context, struct bytes member) {
    reply_bulk(&call->out, member);
}

static void unite(struct keys_call *call, struct key *const *sets, size_t count, struct key *into) {
    for (size_t i = 0; i < count; i++) {
        struct walk walk = {0};
        struct item item;
        while (sets[i] != NULL && elements_next(sets[i], &walk, &item)) put_member(call, into, item.name);
    }
}

static void subtract(struct keys_call *call, struct key *const *sets, size_t count, struct key *into) {
    struct walk walk = {0};
    struct item item;
    while (sets[0] != NULL && elements_next(sets[0], &walk, &item)) {
        bool other = false;
        for (size_t i = 1; i < count && !other; i++) other = contains(call, sets[i], item.name);
        if (!other) put_member(call, into, item.name);
    }
}

enum operation { INTERSECT, UNITE, SUBTRACT };

static void combine(struct keys_call *call, enum operation operation, struct key *const *sets, size_t count,
                    struct key *into) {
    if (operation == INTERSECT)
        intersect(call, sets, count, 0, put_member, into);
    else if (operation == UNITE)
        unite(call, sets, count, into);
    else
        subtract(call, sets, count, into);
}

static void tell(struct keys_call *call, enum operation operation) {
    size_t count = call->argc - 1;
    struct key **sets = find_sets(call, 1, count);
    if (sets == NULL) return;
    if (operation == INTERSECT) {
        size_t begun = reply_begin(&call->out);
        uint64_t common = intersect(call, sets, count, 0, tell_member, NULL);
        reply_end(&call->out, begun, '~', common);
    } else {
        struct key *result = elements_temporary(call->keys, KEY_SET, ENCODING_INTSET);
        combine(call, operation, sets, count, result);
        reply_all(call, result);
        elements_discard(result);
    }
    mem_free(sets);
}

// What stood under the first argument goes; its event is told only if nothing comes instead.
static void store(struct keys_call *call, enum operation operation) {
    size_t count = call->argc - 2;
    struct key **sets = find_sets(call, 2, count);
    if (sets == NULL) return;
    struct key *result = key_draft(call, call->argv[1], KEY_SET, ENCODING_INTSET);
    combine(call, operation, sets, count, result);
    mem_free(sets);
    struct key *old = key_find(call, call->database, call->argv[1]);
    uint32_t members = elements_count(result);
    if (members > 0) {
        elements_settle(result);
        key_replace(call, old, result);
        key_notify(call, KEYS_NOTIFY_SET, call->row->name, call->database, call->argv[1]);
    } else {
        elements_discard(result);
        if (old != NULL) {
            key_delete(call, old);
            key_notify(call, KEYS_NOTIFY_GENERIC, "del", call->database, call->argv[1]);
        }
    }
    reply_number(&call->out, members);
}

void set_inter(struct keys_call *call) {
    tell(call, INTERSECT);
}
void set_union(struct keys_call *call) {
    tell(call, UNITE);
}
void set_diff(struct keys_call *call) {
    tell(call, SUBTRACT);
}
void set_interstore(struct keys_call *call) {
    store(call, INTERSECT);
}
void set_unionstore(struct keys_call *call) {
    store(call, UNITE);
}
void set_diffstore(struct keys_call *call) {
    store(call, SUBTRACT);
}

// SINTERCARD numkeys key ... [LIMIT limit]
void set_intercard(struct keys_call *call) {
    int64_t count, limit = 0;
    if (!number_read(call->argv[1], &count) || count < 1) {
        reply_error(&call->out, "ERR numkeys should be greater than 0");
        return;
    }
    if ((uint64_t)count > call->argc - 2) {
        reply_error(&call->out, "ERR Number of keys can't be greater than number of args");
        return;
    }
    for (size_t i = 2 + (size_t)count; i < call->argc; i += 2) {
        if (!text_is(call->argv[i], "limit") || i + 1 >= call->argc) {
            reply_syntax(&call->out);
            return;
        }
        if (!number_read(call->argv[i + 1], &limit) || limit < 0) {
            reply_error(&call->out, "ERR LIMIT can't be negative");
            return;
        }
    }
    struct key **sets = find_sets(call, 2, (size_t)count);
    if (sets == NULL) return;
    reply_number(&call->out, (int64_t)intersect(call, sets, (size_t)count, (uint64_t)limit, NULL, NULL));
    mem_free(sets);
}
