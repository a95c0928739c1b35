// Selections of a record's operations in some order: what most checkers walk along.
#pragma once
#include "sim/check/record.h"

struct order {
    const struct record_operation **at;
    size_t count;
};
typedef bool (*order_filter_fn)(const struct record_operation *operation);
typedef int (*order_compare_fn)(const struct record_operation *a, const struct record_operation *b);

struct order order_of(const struct record *record, order_filter_fn wants, order_compare_fn compare);
void order_free(struct order *order);
size_t order_index(const struct record *record, const struct record_operation *operation);

// Ties are broken by client, sequence and place in the record, so that every order is the same everywhere.
int order_by_client(const struct record_operation *a, const struct record_operation *b);   // then seq
int order_by_received(const struct record_operation *a, const struct record_operation *b); // client, then as told
int order_by_call(const struct record_operation *a, const struct record_operation *b);
int order_by_return(const struct record_operation *a, const struct record_operation *b);
int order_by_key_call(const struct record_operation *a, const struct record_operation *b);
int order_by_key_return(const struct record_operation *a, const struct record_operation *b);
int order_numbers(uint64_t a, uint64_t b);

bool order_is_read(const struct record_operation *operation);   // an answered read of a node, no listing
bool order_is_change(const struct record_operation *operation); // of a node: write, cas, create, delete; not failed

// The digits that a text ends with, as in "/q/n-0000000012"; false: there are none, or too many.
bool order_number(const struct record *record, record_text text, uint64_t *number);
