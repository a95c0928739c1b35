// postgres:// on libpq. recipe=table (the default): table.h. recipe=advisory: pg_advisory_lock of the name's 64-bit
// hash, which the server counts and which lasts as long as the connection.
#include "via/table.h"
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define WAIT_SLICE_MS 10000u // so long it stands in the server's queue, then it looks whether the connection is alive
#define LOCK_NOT_AVAILABLE "55P03"

struct pg {
    const struct via_setup *setup;
    bool advisory, held;
    uint64_t answer_ms; // of the query under way
    bool timed_out;     // the last query's error was lock_timeout
    PGconn *connection;
    struct table table;
};

// ---- the connection

static bool pg_fail(struct pg *pg, struct parley_problem *problem, enum parley_error error, const char *text) {
    kit_problem(problem, error, "%.300s", text != NULL && text[0] != 0 ? text : "no answer in time");
    if (error == PARLEY_NOT_APPLIED && pg->connection != NULL) {
        PQfinish(pg->connection);
        pg->connection = NULL;
    }
    return false;
}

static void pg_quiet(void *context, const PGresult *result) { // notices: "the table exists already"
    (void)context, (void)result;
}

static void list_hosts(const struct via_url *url, char *hosts, char *ports, size_t size) {
    size_t h = 0, p = 0;
    for (size_t i = 0; i < url->count && h + 300 < size && p + 300 < size; i++) {
        h += (size_t)snprintf(hosts + h, size - h, "%s%s", i > 0 ? "," : "", url->hosts[i].host);
        p += (size_t)snprintf(ports + p, size - p, "%s%u", i > 0 ? "," : "",
                              url->hosts[i].port != 0 ? url->hosts[i].port : 5432u);
    }
}

static bool pg_connect(struct pg *pg, struct parley_problem *problem) {
    const struct via_url *url = &pg->setup->url;
    const char *names[8 + VIA_PARAMETERS_MAX], *values[8 + VIA_PARAMETERS_MAX],
        *timeout = "2"; // the least that libpq knows
    char hosts[VIA_HOSTS_MAX * 264] = "", ports[VIA_HOSTS_MAX * 264] = "";
    size_t count = 0;
    if (pg->connection != NULL && PQstatus(pg->connection) == CONNECTION_OK) return true;
    if (pg->connection != NULL) PQfinish(pg->connection);
    list_hosts(url, hosts, ports, sizeof hosts);
    const char *fixed[][2] = {{"host", hosts},
                              {"port", ports},
                              {"user", url->user},
                              {"password", url->password},
                              {"dbname", url->path},
                              {"connect_timeout", timeout},
                              {"application_name", "parley lock"}};
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        if (fixed[i][1][0] == 0) continue;
        names[count] = fixed[i][0];
        values[count++] = fixed[i][1];
    }
    for (size_t i = 0; i < url->parameter_count; i++) {
        if (strcmp(url->parameters[i].name, "recipe") == 0) continue;
        names[count] = url->parameters[i].name;
        values[count++] = url->parameters[i].value;
    }
    names[count] = values[count] = NULL;
    pg->connection = PQconnectdbParams(names, values, 0);
    if (PQstatus(pg->connection) != CONNECTION_OK)
        return pg_fail(pg, problem, PARLEY_NOT_APPLIED, PQerrorMessage(pg->connection));
    PQsetNoticeReceiver(pg->connection, pg_quiet, NULL);
    return true;
}

// The next result, or NULL: there is none any more, or not in time (pg->connection is NULL then).
static PGresult *pg_next(struct pg *pg, uint64_t until_ms, struct parley_problem *problem) {
    while (PQisBusy(pg->connection)) {
        struct pollfd fd = {.fd = PQsocket(pg->connection), .events = POLLIN};
        uint64_t now_ms = kit_now_ms();
        if (now_ms >= until_ms || poll(&fd, 1, (int)(until_ms - now_ms)) == 0) {
            pg_fail(pg, problem, PARLEY_NOT_APPLIED, NULL);
            return NULL;
        }
        if (PQconsumeInput(pg->connection)) continue;
        pg_fail(pg, problem, PARLEY_NOT_APPLIED, PQerrorMessage(pg->connection));
        return NULL;
    }
    return PQgetResult(pg->connection);
}

static void pg_read(struct pg *pg, PGresult *result, struct sql_answer *answer, struct parley_problem *problem) {
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK) {
        answer->rows = (uint64_t)PQntuples(result);
        const char *cell = answer->rows > 0 ? PQgetvalue(result, 0, 0) : "";
        answer->value = cell[0] == 't' ? 1 : strtoull(cell, NULL, 10); // 't': true
    } else if (status == PGRES_COMMAND_OK) {
        answer->rows = strtoull(PQcmdTuples(result), NULL, 10);
    } else {
        const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        pg->timed_out = state != NULL && strcmp(state, LOCK_NOT_AVAILABLE) == 0;
        // 57: the server shuts down or starts; 08: the connection; 40: try again
        bool later = state == NULL || strncmp(state, "57", 2) == 0 || strncmp(state, "08", 2) == 0 ||
                     strncmp(state, "40", 2) == 0;
        kit_problem(problem, later ? PARLEY_NOT_APPLIED : PARLEY_REFUSED, "%.300s", PQresultErrorMessage(result));
    }
    PQclear(result);
}

static bool pg_run(void *context, const char *sql, struct sql_answer *answer, struct parley_problem *problem) {
    struct pg *pg = context;
    PGresult *result;
    *answer = (struct sql_answer){0};
    *problem = (struct parley_problem){0};
    pg->timed_out = false;
    if (!pg_connect(pg, problem)) return false;
    uint64_t until_ms = kit_now_ms() + pg->answer_ms;
    if (!PQsendQuery(pg->connection, sql))
        return pg_fail(pg, problem, PARLEY_NOT_APPLIED, PQerrorMessage(pg->connection));
    while ((result = pg_next(pg, until_ms, problem)) != NULL) pg_read(pg, result, answer, problem);
    if (pg->connection != NULL && PQstatus(pg->connection) != CONNECTION_OK)
        return pg_fail(pg, problem, PARLEY_NOT_APPLIED,
                       problem->text[0] != 0 ? problem->text : PQerrorMessage(pg->connection));
    return problem->error == PARLEY_OK;
}

static bool pg_quote(void *context, char *out, size_t size, const char *text) {
    struct pg *pg = context;
    char *quoted = PQescapeLiteral(pg->connection, text, strlen(text));
    bool ok = quoted != NULL && strlen(quoted) < size;
    if (ok) snprintf(out, size, "%s", quoted);
    PQfreemem(quoted);
    return ok;
}

static const struct sql_dialect dialect = {
    .create = "CREATE TABLE IF NOT EXISTS parley_locks (name text PRIMARY KEY, owner text, holds bigint NOT NULL, "
              "token bigint NOT NULL, expires timestamptz NOT NULL)",
    .insert_row = "INSERT INTO parley_locks VALUES (%s, NULL, 0, 0, clock_timestamp()) ON CONFLICT DO NOTHING",
    .reap = "UPDATE parley_locks SET owner = NULL, holds = 0 WHERE name IN (SELECT name FROM parley_locks "
            "WHERE owner IS NOT NULL AND expires < clock_timestamp() FOR UPDATE SKIP LOCKED)",
    .now = "clock_timestamp()",
    .after = "clock_timestamp() + interval '%llu milliseconds'",
    .token = "%s",
    .returning = " RETURNING token",
    .run = pg_run,
    .quote = pg_quote};

// ---- advisory locks

static bool advisory(struct pg *pg, const char *function, uint64_t wait_ms, struct sql_answer *answer,
                     struct parley_problem *problem) {
    char sql[1200], quoted[800];
    if (!pg_connect(pg, problem) || !pg_quote(pg, quoted, sizeof quoted, pg->setup->name)) return false;
    snprintf(sql, sizeof sql, "SET lock_timeout = %llu; SELECT %s(hashtextextended(%s, 0))",
             (unsigned long long)wait_ms, function, quoted);
    pg->answer_ms = wait_ms + pg->setup->answer_ms;
    bool ok = pg_run(pg, sql, answer, problem);
    pg->answer_ms = pg->setup->answer_ms;
    return ok;
}

static enum parley_error advisory_acquire(struct pg *pg, uint64_t until_ms, struct via_grant *grant,
                                          struct parley_problem *problem) {
    struct sql_answer answer;
    struct kit_pause pause = {0};
    for (;;) {
        uint64_t now_ms = kit_now_ms(), wait_ms = until_ms > now_ms ? until_ms - now_ms : 0;
        if (wait_ms > WAIT_SLICE_MS) wait_ms = WAIT_SLICE_MS;
        bool tries = wait_ms == 0;
        *grant = (struct via_grant){.valid_ms = pg->setup->ttl_ms};
        bool ok = advisory(pg, tries ? "pg_try_advisory_lock" : "pg_advisory_lock", wait_ms, &answer, problem);
        grant->sent_ms = kit_now_ms(); // it lasts as long as the connection, which was there just now
        if (ok && (!tries || answer.value == 1)) return PARLEY_OK;
        if (ok || pg->timed_out) kit_problem(problem, PARLEY_BUSY, "held by another");
        if (problem->error != PARLEY_BUSY && problem->error != PARLEY_NOT_APPLIED) return problem->error;
        if (kit_now_ms() >= until_ms) return until_ms != 0 ? PARLEY_BUSY : problem->error;
        if (problem->error == PARLEY_NOT_APPLIED) kit_pause(&pause, until_ms);
    }
}

static enum parley_error connection_gone(struct parley_problem *problem) {
    char why[400];
    snprintf(why, sizeof why, "%s", problem->text);
    return kit_problem(problem, PARLEY_LOST, "the connection is gone, and the lock with it: %.300s", why);
}

static enum via_kept advisory_keep(struct pg *pg, struct parley_problem *problem) {
    struct sql_answer answer;
    if (pg->connection != NULL && pg_run(pg, "SELECT 1", &answer, problem)) return VIA_KEPT;
    connection_gone(problem);
    return VIA_GONE;
}

static enum parley_error advisory_release(struct pg *pg, struct parley_problem *problem) {
    struct sql_answer answer;
    if (pg->connection == NULL) return connection_gone(problem);
    if (!advisory(pg, "pg_advisory_unlock", 0, &answer, problem))
        return pg->connection == NULL ? connection_gone(problem) : PARLEY_UNKNOWN;
    return answer.value == 1 ? PARLEY_OK : kit_problem(problem, PARLEY_LOST, "this connection did not hold it");
}

// ---- the module

static bool pg_open(const struct via_setup *setup, void **state, struct parley_problem *problem) {
    const char *recipe = kit_parameter(&setup->url, "recipe");
    if (recipe != NULL && strcmp(recipe, "table") != 0 && strcmp(recipe, "advisory") != 0) {
        kit_problem(problem, PARLEY_BAD_ARGUMENTS, "?recipe= is table or advisory");
        return false;
    }
    struct pg *pg = calloc(1, sizeof *pg);
    if (pg == NULL) abort();
    pg->setup = setup;
    pg->advisory = recipe != NULL && strcmp(recipe, "advisory") == 0;
    pg->answer_ms = setup->answer_ms;
    table_init(&pg->table, setup, &dialect, pg);
    *state = pg;
    return true;
}

static enum parley_error pg_acquire(void *state, uint64_t until_ms, struct via_grant *grant,
                                    struct parley_problem *problem) {
    struct pg *pg = state;
    return pg->advisory ? advisory_acquire(pg, until_ms, grant, problem)
                        : table_acquire(&pg->table, until_ms, grant, problem);
}

static enum via_kept pg_keep(void *state, struct parley_problem *problem) {
    struct pg *pg = state;
    return pg->advisory ? advisory_keep(pg, problem) : table_keep(&pg->table, problem);
}

static enum parley_error pg_release(void *state, struct parley_problem *problem) {
    struct pg *pg = state;
    return pg->advisory ? advisory_release(pg, problem) : table_release(&pg->table, problem);
}

static int pg_fd(void *state) {
    struct pg *pg = state;
    return pg->advisory && pg->connection != NULL ? PQsocket(pg->connection) : -1;
}

static void pg_close(void *state) {
    struct pg *pg = state;
    if (pg->connection != NULL) PQfinish(pg->connection);
    free(pg);
}

PARLEY_API extern const struct via_module parley_via_module;
const struct via_module parley_via_module = {.version = VIA_VERSION,
                                             .schemes = "postgres",
                                             .open = pg_open,
                                             .acquire = pg_acquire,
                                             .keep = pg_keep,
                                             .release = pg_release,
                                             .fd = pg_fd,
                                             .close = pg_close};
