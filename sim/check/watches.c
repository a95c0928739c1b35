// One client at a time, in the order of what it was told. For each key that it watches: which one-shot watches stand,
// and how far the persistent one has come.
//
//   answer that sets a watch ---> armed ---> event: gone
//                                   \---> answer that shows a later change: that change's event was missed or is late
#include "sim/check/watches.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "sim/check/places.h"

enum change_type { CHANGE_CREATED, CHANGE_DELETED, CHANGE_CHANGED, CHANGE_CHILD, CHANGE_CONNECTED, CHANGE_OTHER };
static const char *const type_names[] = {"created", "deleted", "changed", "child", "connected"};

enum { ARMED_DATA, ARMED_CHILD, ARMED_KINDS };

// What one client watches at one key.
struct watched {
    record_text key;
    const struct record_operation *armed[ARMED_KINDS]; // the answer that set it; NULL: none
    const struct record_operation *fired[ARMED_KINDS]; // the last event
    bool doubtful[ARMED_KINDS];                        // an operation that would set one has no known outcome
    const struct record_operation *persistent;
    uint64_t reached; // the persistent watch: zxid of the last change that an event told
    size_t extra;     // its events that no acknowledged change explains
};

// Changes of one key (or of its children) by call, with the earliest return from here on.
struct change {
    record_text key;
    const struct record_operation *operation;
    const struct record_operation *returned; // of this and all later calls on the key, the one that returned first
};

// Writes that may have happened, by key and call; until_us: when the last of this and all before was surely over.
struct attempt {
    const struct record_operation *operation;
    uint64_t until_us;
};

struct watches {
    const struct record *record;
    const struct check_limits *limits;
    struct check_result *result;
    struct places places;
    struct change *changes[ARMED_KINDS];
    size_t change_count[ARMED_KINDS];
    struct attempt *attempts;
    size_t attempt_count;
    size_t *unknown;         // by key: changes that may have happened, or whose zxid is not known
    struct watched *watched; // of the client at hand
    size_t watched_count, watched_capacity;
    uint64_t client;
    bool connected_again; // and no answer since
};

static void convict(const struct watches *w, const struct record_operation *const *operations, size_t count,
                    const char *text) {
    size_t indexes[3], known = 0;
    for (size_t i = 0; i < count; i++)
        if (operations[i] != NULL) indexes[known++] = order_index(w->record, operations[i]);
    const struct record_operation *last = operations[count - 1];
    check_report(w->result, w->limits, CHECK_VIOLATION, indexes, known, "client %" PRIu64 ": %s", last->client, text);
}

// ---- changes

static record_text parent_of(const struct record *record, record_text key) {
    const char *path = record_string(record, key), *slash = strrchr(path, '/');
    if (slash == NULL) return RECORD_NULL;
    return slash == path ? record_find(record, "/", 1) : record_find(record, path, (size_t)(slash - path));
}

static int by_key_call(const void *a, const void *b) {
    const struct change *left = a, *right = b;
    int order = order_numbers(left->key, right->key);
    return order != 0 ? order : order_by_call(left->operation, right->operation);
}

static void find_changes(struct watches *w, int kind) {
    const struct record *record = w->record;
    struct change *changes = mem_alloc((record->count + 1) * sizeof *changes);
    size_t count = 0;
    for (size_t i = 0; i < record->count; i++) {
        const struct record_operation *o = &record->operations[i];
        if (!order_is_change(o) || o->outcome != RECORD_OK) continue;
        bool child = o->op == RECORD_CREATE || o->op == RECORD_DELETE;
        if (kind == ARMED_CHILD && !child) continue;
        record_text key = kind == ARMED_DATA ? o->key : parent_of(record, o->key);
        if (key != RECORD_NULL) changes[count++] = (struct change){.key = key, .operation = o, .returned = o};
    }
    qsort(changes, count, sizeof *changes, by_key_call);
    for (size_t i = count; i-- > 1;) {
        struct change *before = &changes[i - 1];
        bool earlier = changes[i].returned->return_us < before->returned->return_us;
        if (before->key == changes[i].key && earlier) before->returned = changes[i].returned;
    }
    w->changes[kind] = changes;
    w->change_count[kind] = count;
}

// Of the changes that were called behind this moment, the one that returned first; NULL: there is none.
static const struct record_operation *first_change(const struct watches *w, int kind, record_text key, uint64_t us) {
    const struct change *changes = w->changes[kind];
    size_t low = 0, high = w->change_count[kind];
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct change *change = &changes[middle];
        if (change->key < key || (change->key == key && change->operation->call_us <= us))
            low = middle + 1;
        else
            high = middle;
    }
    return low < w->change_count[kind] && changes[low].key == key ? changes[low].returned : NULL;
}

static void find_attempts(struct watches *w) {
    struct order order = order_of(w->record, order_is_change, order_by_key_call);
    w->attempts = mem_alloc((order.count + 1) * sizeof *w->attempts);
    for (size_t i = 0; i < order.count; i++) {
        const struct record_operation *o = order.at[i];
        if (o->op == RECORD_DELETE) continue;
        struct attempt *attempt = &w->attempts[w->attempt_count++];
        *attempt = (struct attempt){o, o->outcome == RECORD_OK ? o->return_us : RECORD_NEVER};
        bool same = w->attempt_count > 1 && attempt[-1].operation->key == o->key;
        if (same && attempt[-1].until_us > attempt->until_us) attempt->until_us = attempt[-1].until_us;
    }
    order_free(&order);
}

static void count_unknown(struct watches *w) {
    w->unknown = mem_zalloc(record_strings_count(w->record) * sizeof *w->unknown);
    for (size_t i = 0; i < w->record->count; i++) {
        const struct record_operation *o = &w->record->operations[i];
        bool known = o->outcome == RECORD_OK && o->zxid != 0 && o->multi == 0; // several events may have one zxid
        if (order_is_change(o) && !known) w->unknown[o->key]++;
    }
}

static enum change_type type_of(const struct record_operation *o) {
    if (o->op == RECORD_DELETE) return CHANGE_DELETED;
    return o->op == RECORD_CREATE || o->version == 0 ? CHANGE_CREATED : CHANGE_CHANGED;
}

static enum change_type event_type(const struct record *record, const struct record_operation *event) {
    for (unsigned i = 0; i < sizeof type_names / sizeof *type_names; i++)
        if (strcmp(record_string(record, event->value), type_names[i]) == 0) return i;
    return CHANGE_OTHER;
}

// ---- what a client watches

static struct watched *watched_at(struct watches *w, record_text key, bool make) {
    for (size_t i = 0; i < w->watched_count; i++)
        if (w->watched[i].key == key) return &w->watched[i];
    if (!make) return NULL;
    if (w->watched_count == w->watched_capacity) {
        w->watched_capacity = w->watched_capacity == 0 ? 16 : w->watched_capacity * 2;
        w->watched = mem_realloc(w->watched, w->watched_capacity * sizeof *w->watched);
    }
    w->watched[w->watched_count] = (struct watched){.key = key};
    return &w->watched[w->watched_count++];
}

static void set_watch(struct watches *w, const struct record_operation *o) {
    if (o->watch == RECORD_NO_WATCH || o->key == RECORD_NULL) return;
    struct watched *watched = watched_at(w, o->key, true);
    if (o->watch == RECORD_WATCH_PERSISTENT) {
        if (o->outcome != RECORD_OK || watched->persistent != NULL) return;
        watched->persistent = o;
        watched->reached = o->zxid;
        return;
    }
    int kind = o->watch == RECORD_WATCH_DATA ? ARMED_DATA : ARMED_CHILD;
    if (o->outcome == RECORD_UNKNOWN) watched->doubtful[kind] = true;
    bool missing = o->outcome == RECORD_FAIL && o->error == RECORD_NO_NODE && kind == ARMED_DATA; // exists
    if (o->outcome == RECORD_OK || missing) watched->armed[kind] = o;
}

// ---- events

// Whether anybody may have written after the watch was asked for.
static bool may_have_written(const struct watches *w, const struct record_operation *set,
                             const struct record_operation *event) {
    size_t low = 0, high = w->attempt_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct attempt *attempt = &w->attempts[middle];
        const struct record_operation *o = attempt->operation;
        if (o->key < event->key || (o->key == event->key && o->call_us <= event->call_us))
            low = middle + 1;
        else
            high = middle;
    }
    if (!w->places.changed[event->key]) return true; // keys that only others change
    if (low == 0 || w->attempts[low - 1].operation->key != event->key) return false;
    return w->attempts[low - 1].until_us >= set->call_us;
}

static void fire(struct watches *w, struct watched *watched, int kind, const struct record_operation *event) {
    const struct record_operation *set = watched->armed[kind];
    watched->armed[kind] = NULL;
    watched->fired[kind] = event;
    if (event_type(w->record, event) == CHANGE_CHANGED && !may_have_written(w, set, event)) {
        const struct record_operation *shown[] = {set, event};
        convict(w, shown, 2, "an event without a change");
    }
}

// The persistent watch's next acknowledged change, if the event can be its.
static void follow(struct watches *w, struct watched *watched, const struct record_operation *event) {
    enum change_type type = event_type(w->record, event);
    const struct record_operation *next = places_after(&w->places, watched->key, watched->reached);
    if (type == CHANGE_CHILD || type >= CHANGE_CONNECTED) return;
    if (next != NULL && type_of(next) == type) {
        watched->reached = next->zxid;
        return;
    }
    if (type == CHANGE_DELETED) return; // an ephemeral node's end is in no client's history
    if (++watched->extra <= w->unknown[watched->key] || w->connected_again) return;
    const struct record_operation *shown[] = {watched->persistent, next, event};
    convict(w, shown, 3, "a persistent watch's event that fits no change, or not in the order of the changes");
}

static void on_event(struct watches *w, const struct record_operation *event) {
    enum change_type type = event_type(w->record, event);
    if (type == CHANGE_CONNECTED) w->connected_again = true;
    if (event->key == RECORD_NULL || type >= CHANGE_CONNECTED) return;
    struct watched *watched = watched_at(w, event->key, true);
    bool expected = watched->persistent != NULL;
    if (expected) follow(w, watched, event);
    for (int kind = 0; kind < ARMED_KINDS; kind++) {
        bool fits = kind == ARMED_CHILD ? type == CHANGE_CHILD || type == CHANGE_DELETED : type != CHANGE_CHILD;
        if (!fits) continue;
        expected = expected || watched->doubtful[kind] || watched->armed[kind] != NULL;
        if (watched->armed[kind] != NULL) fire(w, watched, kind, event);
    }
    if (expected) return;
    int kind = type == CHANGE_CHILD ? ARMED_CHILD : ARMED_DATA;
    const struct record_operation *shown[] = {watched->fired[kind], event};
    convict(w, shown, 2, "an event for which no watch stood: one watch gives one event");
}

// ---- answers

// A change behind the watch that this answer shows, or that the client must know of by now; NULL: none.
static const struct record_operation *due(const struct watches *w, const struct watched *watched, int kind,
                                          const struct record_operation *answer) {
    const struct record_operation *set = watched->armed[kind];
    if (kind == ARMED_DATA && set->zxid != 0 && answer->zxid != 0) {
        const struct record_operation *change = places_after(&w->places, watched->key, set->zxid);
        if (change != NULL && change->zxid <= answer->zxid) return change;
    }
    if (kind == ARMED_DATA && answer->key == watched->key) {
        struct place before = places_of(&w->places, set), now = places_of(&w->places, answer);
        if (place_older(&before, &now)) return answer;
    }
    bool newest =
        answer->op == RECORD_SYNC || (answer->op == RECORD_READ && answer->consistency == RECORD_LINEARIZABLE);
    const struct record_operation *change = first_change(w, kind, watched->key, set->return_us);
    return newest && answer->outcome == RECORD_OK && change != NULL && change->return_us < answer->call_us ? change
                                                                                                           : NULL;
}

static void check_persistent(const struct watches *w, struct watched *watched, const struct record_operation *answer) {
    const struct record_operation *next = places_after(&w->places, watched->key, watched->reached);
    if (next == NULL || answer->zxid < next->zxid) return;
    if (!w->connected_again) { // a new connection catches up with one-shot watches only
        const struct record_operation *shown[] = {watched->persistent, next, answer};
        convict(w, shown, 3, "a persistent watch missed a change that the client was told the zxid of");
    }
    watched->reached = answer->zxid;
}

static void on_answer(struct watches *w, const struct record_operation *answer) {
    for (size_t i = 0; i < w->watched_count; i++) {
        struct watched *watched = &w->watched[i];
        for (int kind = 0; kind < ARMED_KINDS; kind++) {
            if (watched->armed[kind] == NULL) continue;
            const struct record_operation *change = due(w, watched, kind, answer);
            if (change == NULL) continue;
            const struct record_operation *shown[] = {watched->armed[kind], change == answer ? NULL : change, answer};
            convict(w, shown, 3, "was told of a state behind a change whose event had not come");
            watched->armed[kind] = NULL; // said once
        }
        if (watched->persistent != NULL && watched->persistent->zxid != 0) check_persistent(w, watched, answer);
    }
    if (answer->zxid != 0) w->connected_again = false;
    set_watch(w, answer);
}

// ---- all clients

static bool is_told(const struct record_operation *o) {
    if (o->op == RECORD_LOCK || o->op == RECORD_UNLOCK || o->op == RECORD_FENCE) return false; // made of several
    return o->outcome != RECORD_UNKNOWN;
}

static bool is_doubt(const struct record_operation *o) {
    return o->outcome == RECORD_UNKNOWN && o->watch != RECORD_NO_WATCH;
}

static void begin_client(struct watches *w, uint64_t client, const struct order *doubts) {
    w->client = client;
    w->watched_count = 0;
    w->connected_again = false;
    for (size_t i = 0; i < doubts->count; i++)
        if (doubts->at[i]->client == client) set_watch(w, doubts->at[i]);
}

static void walk(struct watches *w) {
    struct order order = order_of(w->record, is_told, order_by_received);
    struct order doubts = order_of(w->record, is_doubt, order_by_client);
    for (size_t i = 0; i < order.count; i++) {
        const struct record_operation *o = order.at[i];
        if (i == 0 || w->client != o->client) begin_client(w, o->client, &doubts);
        if (o->watch != RECORD_NO_WATCH || o->op == RECORD_EVENT) w->result->checked++;
        if (o->op == RECORD_EVENT)
            on_event(w, o);
        else
            on_answer(w, o);
    }
    order_free(&order);
    order_free(&doubts);
}

void watches_check(const struct record *record, const struct check_limits *limits, struct check_result *result) {
    struct watches w = {.record = record, .limits = limits, .result = result};
    places_init(&w.places, record);
    find_changes(&w, ARMED_DATA);
    find_changes(&w, ARMED_CHILD);
    find_attempts(&w);
    count_unknown(&w);
    walk(&w);
    places_free(&w.places);
    for (int kind = 0; kind < ARMED_KINDS; kind++) mem_free(w.changes[kind]);
    mem_free(w.attempts);
    mem_free(w.unknown);
    mem_free(w.watched);
}
