#include "via/table.h"
#include <stdio.h>

#pragma GCC diagnostic ignored "-Wformat-nonliteral" // the dialects' texts

#define SQL_BYTES 6000u

void table_init(struct table *table, const struct via_setup *setup, const struct sql_dialect *dialect,
                void *connection) {
    *table = (struct table){.setup = setup, .dialect = dialect, .connection = connection};
}

static bool run(struct table *table, const char *sql, struct sql_answer *answer, struct parley_problem *problem) {
    bool ok = table->dialect->run(table->connection, sql, answer, problem);
    if (!ok) table->ready = false; // the next connection may be to another database
    return ok;
}

static bool prepare(struct table *table, struct parley_problem *problem) {
    char sql[SQL_BYTES];
    struct sql_answer answer;
    const struct sql_dialect *dialect = table->dialect;
    if (table->ready) return true;
    // Two that create it at the same moment: one of them is told an error, and finds it the second time.
    if (!run(table, dialect->create, &answer, problem) && !run(table, dialect->create, &answer, problem)) return false;
    if (!dialect->quote(table->connection, table->name, sizeof table->name, table->setup->name) ||
        !dialect->quote(table->connection, table->owner, sizeof table->owner, table->setup->owner)) {
        kit_problem(problem, PARLEY_BAD_ARGUMENTS, "the name cannot be quoted");
        return false;
    }
    snprintf(sql, sizeof sql, dialect->insert_row, table->name);
    table->ready = run(table, sql, &answer, problem);
    return table->ready;
}

// What a broken connection may have left. A hold of an owner that others share cannot be told from theirs: it ends with
// its time.
static bool clear(struct table *table, struct parley_problem *problem) {
    char sql[SQL_BYTES];
    struct sql_answer answer;
    if (!table->doubtful || strcmp(table->setup->owner, table->setup->nonce) != 0) return true;
    snprintf(sql, sizeof sql, "UPDATE parley_locks SET owner = NULL, holds = 0 WHERE name = %s AND owner = %s",
             table->name, table->owner);
    table->doubtful = !run(table, sql, &answer, problem);
    return !table->doubtful;
}

// The columns are set in an order that suits databases which see the new values at once (MySQL), too.
static void write_take(const struct table *table, char sql[SQL_BYTES]) {
    const struct sql_dialect *dialect = table->dialect;
    char mine[1000], token[1200], given[1400], after[200];
    snprintf(mine, sizeof mine, "owner = %s AND expires >= %s", table->owner, dialect->now);
    snprintf(token, sizeof token, "token + CASE WHEN %s THEN 0 ELSE 1 END", mine);
    snprintf(given, sizeof given, dialect->token, token);
    snprintf(after, sizeof after, dialect->after, (unsigned long long)table->setup->ttl_ms);
    snprintf(
        sql, SQL_BYTES,
        "UPDATE parley_locks SET token = %s, holds = CASE WHEN %s THEN holds + 1 ELSE 1 END, expires = %s, owner = %s "
        "WHERE name = %s AND (owner IS NULL OR owner = %s OR expires < %s)%s",
        given, mine, after, table->owner, table->name, table->owner, dialect->now, dialect->returning);
}

static enum parley_error take(struct table *table, struct via_grant *grant, struct parley_problem *problem) {
    char sql[SQL_BYTES];
    struct sql_answer answer = {0};
    if (!prepare(table, problem) || !clear(table, problem)) return problem->error;
    write_take(table, sql);
    *grant = (struct via_grant){.sent_ms = kit_now_ms(), .valid_ms = table->setup->ttl_ms};
    if (!run(table, sql, &answer, problem)) {
        table->doubtful = true;
        return problem->error;
    }
    if (answer.rows == 0) return kit_problem(problem, PARLEY_BUSY, "held by another");
    grant->token = table->token = answer.value;
    return PARLEY_OK;
}

enum parley_error table_acquire(struct table *table, uint64_t until_ms, struct via_grant *grant,
                                struct parley_problem *problem) {
    enum parley_error error;
    table->pause.length_ms = 0;
    do {
        error = take(table, grant, problem);
        if (error != PARLEY_BUSY && error != PARLEY_NOT_APPLIED) return error;
    } while (kit_pause(&table->pause, until_ms));
    return error == PARLEY_NOT_APPLIED && until_ms != 0 ? PARLEY_BUSY : error;
}

enum via_kept table_keep(struct table *table, struct parley_problem *problem) {
    char sql[SQL_BYTES], after[200];
    struct sql_answer answer;
    if (!prepare(table, problem)) return VIA_UNSURE;
    if (table->keeps++ % 4 == 3 && !run(table, table->dialect->reap, &answer, problem)) return VIA_UNSURE;
    snprintf(after, sizeof after, table->dialect->after, (unsigned long long)table->setup->ttl_ms);
    snprintf(sql, sizeof sql,
             "UPDATE parley_locks SET expires = %s WHERE name = %s AND owner = %s AND token = %llu AND expires >= %s",
             after, table->name, table->owner, (unsigned long long)table->token, table->dialect->now);
    if (!run(table, sql, &answer, problem)) return VIA_UNSURE;
    if (answer.rows > 0) return VIA_KEPT;
    kit_problem(problem, PARLEY_LOST, "the row has expired, or is another's");
    return VIA_GONE;
}

enum parley_error table_release(struct table *table, struct parley_problem *problem) {
    char sql[SQL_BYTES];
    struct sql_answer answer;
    bool ok = prepare(table, problem);
    snprintf(sql, sizeof sql,
             "UPDATE parley_locks SET owner = CASE WHEN holds <= 1 THEN NULL ELSE owner END, holds = holds - 1 "
             "WHERE name = %s AND owner = %s AND token = %llu AND expires >= %s",
             table->name, table->owner, (unsigned long long)table->token, table->dialect->now);
    if (!ok || !run(table, sql, &answer, problem)) return PARLEY_UNKNOWN;
    return answer.rows > 0 ? PARLEY_OK : kit_problem(problem, PARLEY_LOST, "the row had expired, or was another's");
}
