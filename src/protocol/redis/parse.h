// Requests as clients send them: arrays of bulk strings, or lines ("inline": telnet, health checks). Bytes that are not
// whole stay where they are and are looked at once: a parse knows how far it came.
#pragma once
#include "base/bytes.h"

#define REDIS_INLINE_BYTES_MAX (64u << 10) // also of a length's line
#define REDIS_GUEST_ARGUMENTS_MAX 10u      // before AUTH, where a password is asked for
#define REDIS_GUEST_BULK_BYTES_MAX 16384u

struct parse_span { // from the beginning of the request
    uint32_t at, len;
};
struct parse_spans { // owned
    struct parse_span *items;
    uint32_t capacity;
};
struct parse_limits {
    uint32_t arguments_max, bulk_bytes_max;
    uint64_t request_bytes_max; // of all of it
    bool guest;
};

// All zero is a request that has not begun.
struct parse {
    struct parse_spans spans;
    uint32_t count;
    int32_t left;  // arguments to come
    int64_t bulk;  // length of the one that is read now, + 1; 0: not known yet
    uint32_t at;   // all before it is done with
    uint32_t seen; // no end of the line before it
};

enum parse_outcome {
    PARSE_MORE,
    PARSE_REQUEST, // spans[0 .. count) of the data; `at` bytes
    PARSE_INLINE,  // the same, in `line`
    PARSE_NOTHING, // an empty line or array, `at` bytes: no answer
    PARSE_ERROR,   // error: the connection is told, and closed
};
// The data begins at the request's first byte, and is what the last call had, and more. `line` gets an inline request's
// arguments. After anything but MORE: parse_restart.
enum parse_outcome parse_step(struct parse *parse, const uint8_t *data, size_t len, const struct parse_limits *limits,
                              struct writer *line, const char **error);
void parse_restart(struct parse *parse); // keeps the spans' memory
void parse_free(struct parse *parse);

bool parse_number(struct bytes text, int64_t *value); // as Redis reads them: no blanks, no plus, no leading zeros
