// Replies in the protocol's bytes, RESP2 or RESP3 as the caller has it. Arrays whose length is not known ahead are
// begun and ended: what stands between moves once.
#pragma once
#include "base/bytes.h"

struct reply {
    struct writer *to;
    bool resp3;
};
void reply_ok(struct reply *r);
void reply_simple(struct reply *r, const char *text);
__attribute__((format(printf, 2, 3))) void reply_error(struct reply *r, const char *format,
                                                       ...); // "ERR ..."; no newline
void reply_wrong_type(struct reply *r);
void reply_syntax(struct reply *r);
void reply_number(struct reply *r, int64_t value);
void reply_bulk(struct reply *r, struct bytes value);
void reply_text(struct reply *r, const char *text); // as a bulk
void reply_null(struct reply *r);                   // $-1, RESP3 _
void reply_null_array(struct reply *r);             // *-1, RESP3 _
void reply_array(struct reply *r, size_t count);
void reply_map(struct reply *r, size_t pairs); // RESP2: an array of twice as many
void reply_set(struct reply *r, size_t count); // RESP2: an array
void reply_push(struct reply *r, size_t count);
void reply_bool(struct reply *r, bool value);            // RESP2: 1, 0
void reply_double(struct reply *r, double value);        // RESP3: ,1.5; RESP2: a bulk. 17 digits, as Redis 7.0
void reply_verbatim(struct reply *r, struct bytes text); // RESP3: =..txt:; RESP2: a bulk
size_t reply_begin(struct reply *r);
void reply_end(struct reply *r, size_t begun, char kind, size_t count); // kind: * ~ % (count in pairs)
