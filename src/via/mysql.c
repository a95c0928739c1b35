// mysql:// (MySQL and MariaDB) on MariaDB Connector/C. recipe=table (the default): table.h. recipe=advisory: GET_LOCK,
// which the server counts and which lasts as long as the connection; its names have at most 64 characters, and case
// does not matter.
#include "via/table.h"
#include <errmsg.h>
#include <fcntl.h>
#include <mysql.h>
#include <mysqld_error.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define GET_LOCK_NAME_MAX 64u

struct my {
    const struct via_setup *setup;
    bool advisory, connected;
    unsigned answer_s; // the client library counts in seconds
    MYSQL connection;
    struct table table;
};

static void my_disconnect(struct my *my) {
    if (my->connected) mysql_close(&my->connection);
    my->connected = false;
}

static bool my_fail(struct my *my, struct parley_problem *problem) {
    unsigned code = mysql_errno(&my->connection);
    bool gone = code >= CR_MIN_ERROR && code <= CR_MAX_ERROR;
    bool later = gone || code == ER_SERVER_SHUTDOWN || code == ER_LOCK_DEADLOCK || code == ER_LOCK_WAIT_TIMEOUT ||
                 code == ER_CON_COUNT_ERROR || code == ER_CONNECTION_KILLED;
    kit_problem(problem, later ? PARLEY_NOT_APPLIED : PARLEY_REFUSED, "%.300s", mysql_error(&my->connection));
    if (gone || code == ER_SERVER_SHUTDOWN || code == ER_CONNECTION_KILLED) my_disconnect(my);
    return false;
}

static bool my_connect(struct my *my, struct parley_problem *problem) {
    const struct via_url *url = &my->setup->url;
    bool never = false;
    if (my->connected) return true;
    for (size_t i = 0; i < url->count; i++) {
        mysql_init(&my->connection);
        mysql_options(&my->connection, MYSQL_OPT_CONNECT_TIMEOUT, &my->answer_s);
        mysql_options(&my->connection, MYSQL_OPT_READ_TIMEOUT, &my->answer_s);
        mysql_options(&my->connection, MYSQL_OPT_WRITE_TIMEOUT, &my->answer_s);
        mysql_options(&my->connection, MYSQL_OPT_RECONNECT, &never); // a lock would go with the old connection
        const char *socket = kit_parameter(url, "socket");
        if (mysql_real_connect(&my->connection, url->hosts[i].host, url->user, url->password, url->path,
                               url->hosts[i].port != 0 ? url->hosts[i].port : 3306, socket,
                               CLIENT_FOUND_ROWS) != NULL) {
            fcntl((int)mysql_get_socket(&my->connection), F_SETFD, FD_CLOEXEC);
            my->connected = true;
            return true;
        }
        unsigned code = mysql_errno(&my->connection);
        bool there = code < CR_MIN_ERROR && code != ER_CON_COUNT_ERROR && code != ER_SERVER_SHUTDOWN;
        kit_problem(problem, there ? PARLEY_REFUSED : PARLEY_NOT_APPLIED, "%.300s", mysql_error(&my->connection));
        mysql_close(&my->connection);
    }
    return false;
}

static void my_read(MYSQL_RES *result, struct sql_answer *answer) {
    MYSQL_ROW row = mysql_fetch_row(result);
    answer->rows = mysql_num_rows(result);
    answer->value = row != NULL && row[0] != NULL ? strtoull(row[0], NULL, 10) : 0;
    mysql_free_result(result);
}

static bool my_run(void *context, const char *sql, struct sql_answer *answer, struct parley_problem *problem) {
    struct my *my = context;
    *answer = (struct sql_answer){0};
    *problem = (struct parley_problem){0};
    if (!my_connect(my, problem)) return false;
    if (mysql_real_query(&my->connection, sql, strlen(sql)) != 0) return my_fail(my, problem);
    MYSQL_RES *result = mysql_store_result(&my->connection);
    if (result != NULL) {
        my_read(result, answer);
        return true;
    }
    if (mysql_field_count(&my->connection) != 0) return my_fail(my, problem);
    answer->rows = mysql_affected_rows(&my->connection);
    answer->value = mysql_insert_id(&my->connection);
    return true;
}

static bool my_quote(void *context, char *out, size_t size, const char *text) {
    struct my *my = context;
    size_t len = strlen(text);
    if (size < 2 * len + 3) return false;
    out[0] = '\'';
    unsigned long used = mysql_real_escape_string(&my->connection, out + 1, text, len);
    snprintf(out + 1 + used, size - 1 - used, "'");
    return true;
}

// Times are UTC: a session's time zone may have hours that come twice.
static const struct sql_dialect dialect = {
    .create = "CREATE TABLE IF NOT EXISTS parley_locks (name VARBINARY(255) PRIMARY KEY, owner VARBINARY(255), holds "
              "BIGINT NOT "
              "NULL, token BIGINT NOT NULL, expires DATETIME(6) NOT NULL) ENGINE=InnoDB",
    .insert_row = "INSERT IGNORE INTO parley_locks VALUES (%s, NULL, 0, 0, UTC_TIMESTAMP(6))",
    .reap = "UPDATE parley_locks SET owner = NULL, holds = 0 WHERE owner IS NOT NULL AND expires < UTC_TIMESTAMP(6) "
            "ORDER BY name LIMIT 100",
    .now = "UTC_TIMESTAMP(6)",
    .after = "UTC_TIMESTAMP(6) + INTERVAL %llu000 MICROSECOND",
    .token = "LAST_INSERT_ID(%s)",
    .returning = "",
    .run = my_run,
    .quote = my_quote};

// ---- advisory locks

static bool advisory(struct my *my, const char *format, const char *seconds, struct sql_answer *answer,
                     struct parley_problem *problem) {
    char sql[1000], quoted[300];
    if (!my_connect(my, problem) || !my_quote(my, quoted, sizeof quoted, my->setup->name)) return false;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(sql, sizeof sql, format, quoted, seconds);
#pragma GCC diagnostic pop
    return my_run(my, sql, answer, problem);
}

static enum parley_error advisory_acquire(struct my *my, uint64_t until_ms, struct via_grant *grant,
                                          struct parley_problem *problem) {
    struct sql_answer answer;
    struct kit_pause pause = {0};
    char seconds[32];
    for (;;) {
        uint64_t now_ms = kit_now_ms(), wait_ms = until_ms > now_ms ? until_ms - now_ms : 0;
        if (wait_ms > my->answer_s * 500) wait_ms = my->answer_s * 500; // before the client library gives up
        snprintf(seconds, sizeof seconds, "%llu.%03llu", (unsigned long long)(wait_ms / 1000),
                 (unsigned long long)(wait_ms % 1000));
        bool ok = advisory(my, "SELECT GET_LOCK(%s, %s)", seconds, &answer, problem);
        *grant = (struct via_grant){.sent_ms = kit_now_ms(), .valid_ms = my->setup->ttl_ms};
        if (ok && answer.value == 1) return PARLEY_OK; // it lasts as long as the connection, which was there just now
        if (ok) kit_problem(problem, PARLEY_BUSY, "held by another");
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

static enum via_kept advisory_keep(struct my *my, struct parley_problem *problem) {
    struct sql_answer answer = {0};
    if (my->connected && advisory(my, "SELECT IS_USED_LOCK(%s) = CONNECTION_ID()%s", "", &answer, problem) &&
        answer.value == 1)
        return VIA_KEPT;
    my_disconnect(my); // else it might still be held, by a connection of which nobody knows
    connection_gone(problem);
    return VIA_GONE;
}

static enum parley_error advisory_release(struct my *my, struct parley_problem *problem) {
    struct sql_answer answer;
    if (!my->connected) return connection_gone(problem);
    if (!advisory(my, "SELECT RELEASE_LOCK(%s)%s", "", &answer, problem))
        return !my->connected ? connection_gone(problem) : PARLEY_UNKNOWN;
    return answer.value == 1 ? PARLEY_OK : kit_problem(problem, PARLEY_LOST, "this connection did not hold it");
}

// ---- the module

static pthread_once_t library = PTHREAD_ONCE_INIT; // mysql_init would do it too, but not by several threads at once

static void begin_library(void) {
    if (mysql_library_init(0, NULL, NULL) != 0) abort();
}

static bool my_open(const struct via_setup *setup, void **state, struct parley_problem *problem) {
    const char *recipe = kit_parameter(&setup->url, "recipe");
    bool by_table = recipe == NULL || strcmp(recipe, "table") == 0;
    if (!kit_parameters_known(&setup->url, "recipe socket", problem)) return false;
    if (!by_table && strcmp(recipe, "advisory") != 0) {
        kit_problem(problem, PARLEY_BAD_ARGUMENTS, "?recipe= is table or advisory");
        return false;
    }
    if (!by_table && strlen(setup->name) > GET_LOCK_NAME_MAX) {
        kit_problem(problem, PARLEY_BAD_ARGUMENTS, "GET_LOCK takes names of at most %u characters", GET_LOCK_NAME_MAX);
        return false;
    }
    pthread_once(&library, begin_library);
    struct my *my = calloc(1, sizeof *my);
    if (my == NULL) abort();
    my->setup = setup;
    my->advisory = !by_table;
    my->answer_s = setup->answer_ms >= 1000 ? (unsigned)(setup->answer_ms / 1000) : 1;
    table_init(&my->table, setup, &dialect, my);
    *state = my;
    return true;
}

static enum parley_error my_acquire(void *state, uint64_t until_ms, struct via_grant *grant,
                                    struct parley_problem *problem) {
    struct my *my = state;
    return my->advisory ? advisory_acquire(my, until_ms, grant, problem)
                        : table_acquire(&my->table, until_ms, grant, problem);
}

static enum via_kept my_keep(void *state, struct parley_problem *problem) {
    struct my *my = state;
    return my->advisory ? advisory_keep(my, problem) : table_keep(&my->table, problem);
}

static enum parley_error my_release(void *state, struct parley_problem *problem) {
    struct my *my = state;
    return my->advisory ? advisory_release(my, problem) : table_release(&my->table, problem);
}

static int my_fd(void *state) {
    struct my *my = state;
    return my->advisory && my->connected ? (int)mysql_get_socket(&my->connection) : -1;
}

static void my_close(void *state) {
    struct my *my = state;
    my_disconnect(my);
    free(my);
}

PARLEY_API extern const struct via_module parley_via_module;
const struct via_module parley_via_module = {.version = VIA_VERSION,
                                             .schemes = "mysql",
                                             .open = my_open,
                                             .acquire = my_acquire,
                                             .keep = my_keep,
                                             .release = my_release,
                                             .fd = my_fd,
                                             .close = my_close};
