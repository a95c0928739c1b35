// The lock table of SQL databases: one row a name, which stays when the lock is given back.
//
//   name (unique key) | owner, NULL: free | holds | token, counts the grants | expires, by the database's clock
//
// Taking is one UPDATE of the row if it is free, one's own (holds + 1) or expired, so it is as exclusive as the
// database's row locks, and durable before it is answered. Renewing and giving back name owner and token. A reaper
// frees what has expired, so that the table shows who really holds; locks are safe without it.
#pragma once
#include "via/kit.h"

struct sql_answer {
    uint64_t rows;  // changed, or returned
    uint64_t value; // the token of a taken row
};
struct sql_dialect {
    const char *create, *insert_row, *reap; // insert_row with %s for the quoted name
    const char *now, *after;                // after with %llu for milliseconds
    const char *token;                      // the new token, of the expression %s, so that `value` tells it
    const char *returning;                  // at the end of the UPDATE
    // false: no answer, or an error, which is in `problem`; broken: the connection is closed then.
    bool (*run)(void *connection, const char *sql, struct sql_answer *answer, struct parley_problem *problem);
    bool (*quote)(void *connection, char *out, size_t size, const char *text);
};
struct table {
    const struct via_setup *setup;
    const struct sql_dialect *dialect;
    void *connection;
    char name[800], owner[800]; // quoted
    bool ready;                 // table and row are there, on this connection
    bool doubtful;              // a hold may have been taken without our knowing
    uint64_t token;
    unsigned keeps;
    struct kit_pause pause;
};
void table_init(struct table *table, const struct via_setup *setup, const struct sql_dialect *dialect,
                void *connection);
enum parley_error table_acquire(struct table *table, uint64_t until_ms, struct via_grant *grant,
                                struct parley_problem *problem);
enum via_kept table_keep(struct table *table, struct parley_problem *problem);
enum parley_error table_release(struct table *table, struct parley_problem *problem);
