#include "sim/check/numbers.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

typedef int (*numbered_compare_fn)(const void *, const void *);

static int by_key_number(const void *a, const void *b) {
    const struct numbered *left = a, *right = b;
    int order = order_numbers(left->operation->key, right->operation->key);
    if (order == 0) order = order_numbers(left->number, right->number);
    return order != 0 ? order : order_by_call(left->operation, right->operation);
}

static int by_key_call(const void *a, const void *b) {
    const struct numbered *left = a, *right = b;
    return order_by_key_call(left->operation, right->operation);
}

static int by_key_return(const void *a, const void *b) {
    const struct numbered *left = a, *right = b;
    return order_by_key_return(left->operation, right->operation);
}

static int by_key_client(const void *a, const void *b) {
    const struct numbered *left = a, *right = b;
    int order = order_numbers(left->operation->key, right->operation->key);
    return order != 0 ? order : order_by_client(left->operation, right->operation);
}

static struct numbered *sorted(const struct numbers *numbers, numbered_compare_fn compare) {
    struct numbered *copy = mem_alloc((numbers->count + 1) * sizeof *copy);
    if (numbers->count > 0) memcpy(copy, numbers->at, numbers->count * sizeof *copy);
    qsort(copy, numbers->count, sizeof *copy, compare);
    return copy;
}

void numbers_select(struct numbers *numbers, order_filter_fn wants) {
    const struct record *record = numbers->record;
    struct order order = order_of(record, wants, order_by_key_call);
    numbers->at = mem_alloc((order.count + 1) * sizeof *numbers->at);
    numbers->result->checked += order.count;
    for (size_t i = 0; i < order.count; i++) {
        struct numbered *one = &numbers->at[numbers->count];
        size_t index = order_index(record, order.at[i]);
        one->operation = order.at[i];
        if (order_number(record, order.at[i]->value, &one->number))
            numbers->count++;
        else
            check_report(numbers->result, numbers->limits, CHECK_UNKNOWN, &index, 1, "a %s that is no number",
                         numbers->what);
    }
    order_free(&order);
    qsort(numbers->at, numbers->count, sizeof *numbers->at, by_key_number);
}

void numbers_free(struct numbers *numbers) {
    mem_free(numbers->at);
    numbers->at = NULL;
}

static void convict(const struct numbers *numbers, const struct numbered *first, const struct numbered *second,
                    const char *why) {
    size_t both[] = {order_index(numbers->record, first->operation), order_index(numbers->record, second->operation)};
    check_report(numbers->result, numbers->limits, CHECK_VIOLATION, both, 2, "%s: %s %" PRIu64 " %s %" PRIu64,
                 record_string(numbers->record, first->operation->key), numbers->what, second->number, why,
                 first->number);
}

void numbers_unique(const struct numbers *numbers) {
    for (size_t i = 1; i < numbers->count; i++) {
        const struct numbered *before = &numbers->at[i - 1], *one = &numbers->at[i];
        if (before->operation->key == one->operation->key && before->number == one->number)
            convict(numbers, before, one, "was given twice, first as");
    }
}

void numbers_grow(const struct numbers *numbers, bool equal_too) {
    struct numbered *by_call = sorted(numbers, by_key_call), *by_return = sorted(numbers, by_key_return);
    const struct numbered *greatest = NULL;
    size_t at = 0;
    for (size_t i = 0; i < numbers->count; i++) {
        const struct record_operation *o = by_call[i].operation;
        if (i == 0 || by_call[i - 1].operation->key != o->key) { // both lists hold the same keys in the same order
            greatest = NULL;
            at = i;
        }
        for (; at < numbers->count && by_return[at].operation->key == o->key; at++) {
            if (by_return[at].operation->return_us >= o->call_us) break;
            if (greatest == NULL || by_return[at].number > greatest->number) greatest = &by_return[at];
        }
        if (greatest == NULL) continue;
        if (by_call[i].number < greatest->number || (by_call[i].number == greatest->number && !equal_too))
            convict(numbers, greatest, &by_call[i], "came behind");
    }
    mem_free(by_call);
    mem_free(by_return);
}

void numbers_grow_by_client(const struct numbers *numbers) {
    struct numbered *order = sorted(numbers, by_key_client);
    for (size_t i = 1; i < numbers->count; i++) {
        const struct record_operation *before = order[i - 1].operation, *o = order[i].operation;
        if (before->key == o->key && before->client == o->client && order[i].number < order[i - 1].number)
            convict(numbers, &order[i - 1], &order[i], "was asked for by the same client behind");
    }
    mem_free(order);
}

const struct numbered *numbers_find(const struct numbers *numbers, record_text key, uint64_t number) {
    size_t low = 0, high = numbers->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct numbered *one = &numbers->at[middle];
        int order = order_numbers(one->operation->key, key);
        if (order == 0) order = order_numbers(one->number, number);
        if (order == 0) return one;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
