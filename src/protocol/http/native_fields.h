// What the tables of fields are written with, in each native_ROOM.c.
#pragma once
#include "protocol/http/native.h"

#define SESSION                                                                                                        \
    { .name = "session", .type = NATIVE_SESSION, .help = "the session that it belongs to" }
#define SESSION_REQUIRED                                                                                               \
    { .name = "session", .type = NATIVE_SESSION, .required = true, .help = "the session" }
#define END                                                                                                            \
    { .name = NULL }
#define FIELDS(name) static const struct native_field name[]
#define ANSWERED(name_, type_, help_)                                                                                  \
    { .name = name_, .type = NATIVE_##type_, .help = help_ }
#define ANSWERED_OF(name_, type_, of_, help_)                                                                          \
    { .name = name_, .type = NATIVE_##type_, .of = of_, .help = help_ }

// ---- what lists ask and say
#define PAGE_PREFIX                                                                                                    \
    { .name = "prefix", .type = NATIVE_TEXT, .high = ITEM_NAME_BYTES_MAX, .help = "only names that begin so" }
#define PAGE_AFTER                                                                                                     \
    {                                                                                                                  \
        .name = "after", .type = NATIVE_TEXT, .high = ITEM_NAME_BYTES_MAX,                                             \
        .help = "only names behind this one: the last of the page before"                                              \
    }
#define ONE_DAY_MS (24ull * 3600 * 1000)
#define LIST_LIMIT(high_, standard_)                                                                                   \
    {                                                                                                                  \
        .name = "limit", .type = NATIVE_NUMBER, .low = 1, .high = high_, .standard = standard_,                        \
        .help = "so many at most"                                                                                      \
    }
#define MORE                                                                                                           \
    { .name = "more", .type = NATIVE_BOOL, .help = "there are more than the limit" }

static const struct native_field no_fields[] = {END};
