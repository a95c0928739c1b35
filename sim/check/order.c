#include "sim/check/order.h"

#include <stdlib.h>

#include "base/alloc.h"

int order_numbers(uint64_t a, uint64_t b) {
    return a < b ? -1 : a > b;
}

static int last_resort(const struct record_operation *a, const struct record_operation *b) {
    int order = order_numbers(a->client, b->client);
    if (order == 0) order = order_numbers(a->seq, b->seq);
    return order != 0 ? order : a < b ? -1 : a > b;
}

int order_by_client(const struct record_operation *a, const struct record_operation *b) {
    return last_resort(a, b);
}

int order_by_received(const struct record_operation *a, const struct record_operation *b) {
    int order = order_numbers(a->client, b->client);
    if (order == 0 && a->received != 0 && b->received != 0) order = order_numbers(a->received, b->received);
    if (order == 0) order = order_numbers(a->return_us, b->return_us);
    if (order == 0) order = (a->op != RECORD_EVENT) - (b->op != RECORD_EVENT); // its data cannot have come before it
    return order != 0 ? order : last_resort(a, b);
}

int order_by_call(const struct record_operation *a, const struct record_operation *b) {
    int order = order_numbers(a->call_us, b->call_us);
    return order != 0 ? order : last_resort(a, b);
}

int order_by_return(const struct record_operation *a, const struct record_operation *b) {
    int order = order_numbers(a->return_us, b->return_us);
    return order != 0 ? order : last_resort(a, b);
}

int order_by_key_call(const struct record_operation *a, const struct record_operation *b) {
    int order = order_numbers(a->key, b->key);
    return order != 0 ? order : order_by_call(a, b);
}

int order_by_key_return(const struct record_operation *a, const struct record_operation *b) {
    int order = order_numbers(a->key, b->key);
    return order != 0 ? order : order_by_return(a, b);
}

static int compare_at(const void *a, const void *b, void *compare) {
    const struct record_operation *const *left = a, *const *right = b;
    return (*(order_compare_fn *)compare)(*left, *right);
}

struct order order_of(const struct record *record, order_filter_fn wants, order_compare_fn compare) {
    struct order order = {.at = mem_alloc((record->count + 1) * sizeof *order.at)};
    for (size_t i = 0; i < record->count; i++)
        if (wants(&record->operations[i])) order.at[order.count++] = &record->operations[i];
    qsort_r(order.at, order.count, sizeof *order.at, compare_at, &compare);
    return order;
}

void order_free(struct order *order) {
    mem_free(order->at);
    *order = (struct order){0};
}

size_t order_index(const struct record *record, const struct record_operation *operation) {
    return (size_t)(operation - record->operations);
}

bool order_is_change(const struct record_operation *o) {
    if (o->outcome == RECORD_FAIL || o->key == RECORD_NULL) return false;
    return o->op == RECORD_WRITE || o->op == RECORD_CAS || o->op == RECORD_CREATE || o->op == RECORD_DELETE;
}

bool order_number(const struct record *record, record_text text, uint64_t *number) {
    const char *data = record_string(record, text);
    size_t end = record_string_length(record, text), begin = end;
    while (begin > 0 && data[begin - 1] >= '0' && data[begin - 1] <= '9') begin--;
    while (begin < end && data[begin] == '0') begin++;
    if (end == 0 || data[end - 1] < '0' || data[end - 1] > '9' || end - begin > 19) return false;
    *number = 0;
    for (size_t i = begin; i < end; i++) *number = *number * 10 + (uint64_t)(data[i] - '0');
    return true;
}

bool order_is_read(const struct record_operation *o) {
    return o->op == RECORD_READ && o->outcome == RECORD_OK && o->key != RECORD_NULL && o->watch != RECORD_WATCH_CHILD;
}
