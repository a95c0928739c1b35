#include "sim/check/guarantees.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "sim/check/places.h"

struct guarantees {
    const struct record *record;
    const struct check_limits *limits;
    struct check_result *result;
    struct places places;
};

static bool is_answered(const struct record_operation *o) {
    return o->op != RECORD_EVENT && o->outcome != RECORD_UNKNOWN;
}

// ---- first in, first out

// Others (locks, queues) may be made of several requests: they are answered whenever.
static bool is_one_request(const struct record_operation *o) {
    bool one = o->op <= RECORD_DELETE || o->op == RECORD_SYNC || o->op == RECORD_SEQUENCE;
    return is_answered(o) && one;
}

static bool answered_before(const struct record_operation *a, const struct record_operation *b) {
    if (a->received != 0 && b->received != 0) return a->received < b->received;
    return a->return_us < b->return_us;
}

// A change that has a zxid of its own, which no other change shares but those of its multi.
static bool has_own_zxid(const struct record_operation *o) {
    return o->zxid != 0 && o->outcome == RECORD_OK && (order_is_change(o) || o->op == RECORD_SEQUENCE);
}

static void check_order(struct guarantees *g) {
    struct order order = order_of(g->record, is_one_request, order_by_client);
    const struct record_operation *change = NULL;
    for (size_t i = 0; i < order.count; i++) {
        const struct record_operation *o = order.at[i], *before = i == 0 ? o : order.at[i - 1];
        if (before->client != o->client) change = NULL;
        if (before->client == o->client && answered_before(o, before))
            check_convict(g->result, g->limits, g->record, before, o, "answered out of the order of sending");
        if (!has_own_zxid(o)) continue;
        bool one = change != NULL && change->multi != 0 && change->multi == o->multi;
        if (change != NULL && (one ? o->zxid != change->zxid : o->zxid <= change->zxid))
            check_convict(g->result, g->limits, g->record, change, o,
                          "effects out of the order of sending: zxid 0x%" PRIx64 " behind 0x%" PRIx64, o->zxid,
                          change->zxid);
        change = o;
    }
    g->result->checked += order.count;
    order_free(&order);
}

// ---- one client's view

static bool has_zxid(const struct record_operation *o) {
    return is_answered(o) && o->zxid != 0 && o->op != RECORD_LOCK && o->op != RECORD_UNLOCK && o->op != RECORD_FENCE;
}

static void check_zxids(struct guarantees *g) {
    struct order order = order_of(g->record, has_zxid, order_by_received);
    for (size_t i = 1; i < order.count; i++) {
        const struct record_operation *before = order.at[i - 1], *o = order.at[i];
        // The same moment without a number: nobody knows which came first.
        bool tie = before->return_us == o->return_us && (before->received == 0 || o->received == 0);
        if (before->client == o->client && o->zxid < before->zxid && !tie)
            check_convict(g->result, g->limits, g->record, before, o, "zxid went back from 0x%" PRIx64 " to 0x%" PRIx64,
                          before->zxid, o->zxid);
    }
    order_free(&order);
}

static int by_key_client(const struct record_operation *a, const struct record_operation *b) {
    int order = order_numbers(a->key, b->key);
    return order != 0 ? order : order_by_client(a, b);
}

static bool shows_node(const struct record_operation *o) {
    return o->outcome == RECORD_OK && (order_is_change(o) || order_is_read(o));
}

// In the order of sending: what a client read or wrote must not be followed by something older.
static void check_views(struct guarantees *g) {
    struct order order = order_of(g->record, shows_node, by_key_client);
    struct place newest = {.known = false};
    for (size_t i = 0; i < order.count; i++) {
        const struct record_operation *o = order.at[i];
        if (i == 0 || order.at[i - 1]->key != o->key || order.at[i - 1]->client != o->client)
            newest = (struct place){.known = false};
        struct place place = places_of(&g->places, o);
        if (place_older(&place, &newest)) {
            bool own = order_is_change(newest.operation);
            check_convict(g->result, g->limits, g->record, newest.operation, o, "%s: %s",
                          record_string(g->record, o->key),
                          own ? "does not see its own write" : "went back to something older than it has read");
        } else if (place.known) {
            newest = place;
        }
    }
    order_free(&order);
}

// ---- reads against what was written

static void check_origin(struct guarantees *g, const struct record_operation *o) {
    const char *key = record_string(g->record, o->key);
    if (o->value == RECORD_NULL || !g->places.changed[o->key]) return;
    if (o->value == g->record->initial || g->record->initial == RECORD_ANY) return;
    const struct places_writer *writer = places_writer(&g->places, o->key, o->value);
    if (writer == NULL)
        check_convict(g->result, g->limits, g->record, NULL, o, "%s: read what nobody wrote", key);
    else if (writer->first == NULL)
        check_convict(g->result, g->limits, g->record, writer->failed, o,
                      "%s: read what a failed operation would have written", key);
    else if (writer->first->call_us > o->return_us)
        check_convict(g->result, g->limits, g->record, writer->first, o, "%s: read what was only written later", key);
}

// The reply's zxid names the state that the read shows.
static void check_header(struct guarantees *g, const struct record_operation *o) {
    struct place place = places_of(&g->places, o);
    if (o->zxid == 0 || !place.known) return;
    if (place.zxid > o->zxid) {
        check_convict(g->result, g->limits, g->record, places_writer(&g->places, o->key, o->value)->operation, o,
                      "%s: read a change that lies behind the zxid of the reply", record_string(g->record, o->key));
        return;
    }
    const struct record_operation *last = places_upto(&g->places, o->key, o->zxid);
    if (last == NULL) return;
    struct place newer = places_of(&g->places, last);
    if (place_older(&place, &newer))
        check_convict(g->result, g->limits, g->record, last, o,
                      "%s: the reply's zxid lies behind a change that the read does not show",
                      record_string(g->record, o->key));
}

static void check_reads(struct guarantees *g) {
    for (size_t i = 0; i < g->record->count; i++) {
        if (!order_is_read(&g->record->operations[i])) continue;
        check_origin(g, &g->record->operations[i]);
        check_header(g, &g->record->operations[i]);
    }
}

// ---- sync

// A read and the moment since when it had to be as new as all that had been acknowledged.
struct synced {
    const struct record_operation *read;
    uint64_t since_us;
};

static bool is_session_step(const struct record_operation *o) {
    bool sync = o->op == RECORD_SYNC && o->outcome == RECORD_OK;
    return sync || order_is_read(o);
}

static struct synced *synced_reads(struct guarantees *g, size_t *count) {
    struct order order = order_of(g->record, is_session_step, order_by_client);
    struct synced *synced = mem_alloc((order.count + 1) * sizeof *synced);
    const struct record_operation *sync = NULL;
    *count = 0;
    for (size_t i = 0; i < order.count; i++) {
        const struct record_operation *o = order.at[i];
        if (sync != NULL && sync->client != o->client) sync = NULL;
        if (o->op == RECORD_SYNC) {
            sync = o;
            continue;
        }
        uint64_t since_us = o->consistency == RECORD_LINEARIZABLE ? o->call_us : sync == NULL ? 0 : sync->call_us;
        if (since_us > 0) synced[(*count)++] = (struct synced){o, since_us};
    }
    order_free(&order);
    return synced;
}

static int by_key_since(const void *a, const void *b) {
    const struct synced *left = a, *right = b;
    int order = order_numbers(left->read->key, right->read->key);
    if (order == 0) order = order_numbers(left->since_us, right->since_us);
    return order != 0 ? order : order_by_client(left->read, right->read);
}

static int by_since(const void *a, const void *b) {
    const struct synced *left = a, *right = b;
    int order = order_numbers(left->since_us, right->since_us);
    return order != 0 ? order : order_by_client(left->read, right->read);
}

// Against the newest value of the key that anybody had been shown.
static void check_sync_values(struct guarantees *g, struct synced *synced, size_t count) {
    struct order shown = order_of(g->record, shows_node, order_by_key_return);
    struct place newest = {.known = false};
    size_t at = 0;
    qsort(synced, count, sizeof *synced, by_key_since);
    for (size_t i = 0; i < count; i++) {
        const struct record_operation *read = synced[i].read;
        if (i == 0 || synced[i - 1].read->key != read->key) newest = (struct place){.known = false};
        while (at < shown.count && shown.at[at]->key < read->key) at++;
        for (; at < shown.count && shown.at[at]->key == read->key; at++) {
            if (shown.at[at]->return_us >= synced[i].since_us) break;
            struct place place = places_of(&g->places, shown.at[at]);
            if (place.known && (!newest.known || place_older(&newest, &place))) newest = place;
        }
        struct place place = places_of(&g->places, read);
        if (place_older(&place, &newest))
            check_convict(g->result, g->limits, g->record, newest.operation, read,
                          "%s: a read behind sync is older than what was known before it",
                          record_string(g->record, read->key));
    }
    order_free(&shown);
}

// Against the greatest zxid that anybody had been told.
static void check_sync_zxids(struct guarantees *g, struct synced *synced, size_t count) {
    struct order told = order_of(g->record, has_zxid, order_by_return);
    const struct record_operation *greatest = NULL;
    size_t at = 0;
    qsort(synced, count, sizeof *synced, by_since);
    for (size_t i = 0; i < count; i++) {
        for (; at < told.count && told.at[at]->return_us < synced[i].since_us; at++)
            if (greatest == NULL || told.at[at]->zxid > greatest->zxid) greatest = told.at[at];
        const struct record_operation *read = synced[i].read;
        if (greatest != NULL && read->zxid != 0 && read->zxid < greatest->zxid)
            check_convict(g->result, g->limits, g->record, greatest, read,
                          "a read behind sync has zxid 0x%" PRIx64 ", though 0x%" PRIx64 " was known", read->zxid,
                          greatest->zxid);
    }
    order_free(&told);
}

void guarantees_check(const struct record *record, const struct check_limits *limits, struct check_result *result) {
    struct guarantees g = {.record = record, .limits = limits, .result = result};
    size_t count;
    places_init(&g.places, record);
    check_order(&g);
    check_zxids(&g);
    check_views(&g);
    check_reads(&g);
    struct synced *synced = synced_reads(&g, &count);
    check_sync_values(&g, synced, count);
    check_sync_zxids(&g, synced, count);
    mem_free(synced);
    places_free(&g.places);
}
