#include "sim/check/locks.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "sim/check/numbers.h"

static bool is_grant(const struct record_operation *o) {
    return o->op == RECORD_LOCK && o->outcome == RECORD_OK;
}

static bool is_accepted(const struct record_operation *o) {
    return o->op == RECORD_FENCE && o->outcome == RECORD_OK;
}

// ---- what the resource took

static int by_resource(const struct record_operation *a, const struct record_operation *b) {
    int order = order_numbers(a->key, b->key);
    if (order == 0) order = order_numbers((uint64_t)a->version, (uint64_t)b->version);
    return order != 0 ? order : order_by_call(a, b);
}

static bool is_counted(const struct record_operation *o) {
    return is_accepted(o) && o->version != RECORD_NO_VERSION;
}

// The resource's own order, where it has one.
static void check_counted(const struct numbers *fences) {
    struct order order = order_of(fences->record, is_counted, by_resource);
    for (size_t i = 1; i < order.count; i++) {
        uint64_t before, token;
        if (order.at[i - 1]->key != order.at[i]->key) continue;
        if (!order_number(fences->record, order.at[i - 1]->value, &before)) continue;
        if (!order_number(fences->record, order.at[i]->value, &token) || token >= before) continue;
        size_t both[] = {order_index(fences->record, order.at[i - 1]), order_index(fences->record, order.at[i])};
        check_report(fences->result, fences->limits, CHECK_VIOLATION, both, 2,
                     "%s: the resource took token %" PRIu64 " behind %" PRIu64,
                     record_string(fences->record, order.at[i]->key), token, before);
    }
    order_free(&order);
}

// Tokens come from grants. Where a lock's outcome is not known its token is not either, and nothing can be said.
static void check_origin(const struct numbers *grants, const struct numbers *fences) {
    const struct record *record = grants->record;
    bool *doubtful = mem_zalloc(record_strings_count(record)), *locked = mem_zalloc(record_strings_count(record));
    for (size_t i = 0; i < record->count; i++) {
        const struct record_operation *o = &record->operations[i];
        if (o->op != RECORD_LOCK) continue;
        locked[o->key] = true;
        if (o->outcome == RECORD_UNKNOWN) doubtful[o->key] = true;
    }
    for (size_t i = 0; i < fences->count; i++) {
        const struct record_operation *fence = fences->at[i].operation;
        const struct numbered *grant = numbers_find(grants, fence->key, fences->at[i].number);
        size_t both[] = {order_index(record, fence), 0};
        if (!locked[fence->key]) continue; // the resource has another name than the lock
        if (grant == NULL && !doubtful[fence->key])
            check_report(fences->result, fences->limits, CHECK_VIOLATION, both, 1,
                         "%s: token %" PRIu64 " was never granted", record_string(record, fence->key),
                         fences->at[i].number);
        if (grant == NULL || fence->return_us >= grant->operation->call_us) continue;
        both[1] = order_index(record, grant->operation);
        check_report(fences->result, fences->limits, CHECK_VIOLATION, both, 2,
                     "%s: token %" PRIu64 " was used before it was asked for", record_string(record, fence->key),
                     fences->at[i].number);
    }
    mem_free(doubtful);
    mem_free(locked);
}

void locks_check(const struct record *record, const struct check_limits *limits, struct check_result *result) {
    struct numbers grants = {.record = record, .limits = limits, .result = result, .what = "token"};
    struct numbers fences = {.record = record, .limits = limits, .result = result, .what = "accepted token"};
    numbers_select(&grants, is_grant);
    numbers_select(&fences, is_accepted);
    numbers_unique(&grants);
    numbers_grow(&grants, false);
    numbers_grow(&fences, true);
    check_counted(&fences);
    check_origin(&grants, &fences);
    numbers_free(&grants);
    numbers_free(&fences);
}
