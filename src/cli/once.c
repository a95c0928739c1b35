// `parley once`: its flags.
#include "cli/once.h"
#include "base/alloc.h"
#include "base/digest.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "model/idempotency/idempotency.h"
#include "server/server.h"
#include <stdio.h>
#include <string.h>

struct texts { // flags as given
    const char *server, *wait, *ttl, *lease, *grace, *fingerprint;
    bool try_only, retry_failed, json;
};

// CMD's words: the same key with another command is a mistake.
static void fingerprint_of(char **command, char out[33]) {
    struct writer w;
    writer_init(&w);
    for (; *command != NULL; command++) write_blob(&w, bytes_of_text(*command));
    struct digest digest = digest_hash(w.data, w.len, 0);
    writer_free(&w);
    snprintf(out, 33, "%016llx%016llx", (unsigned long long)digest.hi, (unsigned long long)digest.lo);
}

static int read_options(const struct option_table *table, const struct texts *t, struct once_options *o) {
    if (o->key[0] == 0 || strlen(o->key) > IDEMPOTENCY_KEY_BYTES_MAX)
        return options_wrong(table, "a key has 1 to %u bytes", IDEMPOTENCY_KEY_BYTES_MAX);
    if (strlen(o->fingerprint) > IDEMPOTENCY_FINGERPRINT_BYTES_MAX)
        return options_wrong(table, "--fingerprint has %u bytes at most", IDEMPOTENCY_FINGERPRINT_BYTES_MAX);
    if (!options_u64(t->ttl, 1, IDEMPOTENCY_TTL_MS_MAX, &o->ttl_ms))
        return options_wrong(table, "--ttl is of 1 to %llu ms", IDEMPOTENCY_TTL_MS_MAX);
    if (!options_u64(t->lease, ONCE_LEASE_MS_MIN, IDEMPOTENCY_LEASE_MS_MAX, &o->lease_ms))
        return options_wrong(table, "--lease is of %u to %llu ms", ONCE_LEASE_MS_MIN, IDEMPOTENCY_LEASE_MS_MAX);
    if (!options_u64(t->wait, 0, IDEMPOTENCY_WAIT_MS_MAX, &o->wait_ms) || (t->wait != NULL && t->try_only))
        return options_wrong(table, "--wait is of 0 to %llu ms, and does not go with --try", IDEMPOTENCY_WAIT_MS_MAX);
    if (!options_u64(t->grace, 0, 3600000, &o->grace_ms)) return options_wrong(table, "--grace is of 0 to 3600000 ms");
    if (t->try_only) o->wait_ms = 0;
    return -1;
}

static int run(const struct option_table *table, const struct texts *t, const char *key, char **command) {
    static struct native_client client; // threads of a run use it to the end
    char fingerprint[33], error[512];
    struct once_options o = {.key = key,
                             .command = command,
                             .fingerprint = t->fingerprint != NULL ? t->fingerprint : fingerprint,
                             .ttl_ms = 24ull * 3600 * 1000,
                             .lease_ms = ONCE_LEASE_MS_DEFAULT,
                             .wait_ms = IDEMPOTENCY_WAIT_MS_MAX,
                             .grace_ms = HELD_GRACE_MS_DEFAULT,
                             .retry_failed = t->retry_failed,
                             .json = t->json};
    if (command == NULL || command[0] == NULL) return options_wrong(table, "a command is wanted behind --");
    fingerprint_of(command, fingerprint);
    int code = read_options(table, t, &o);
    if (code >= 0) return code;
    if (!native_client_init(&client, t->server, error)) return options_wrong(table, "--server: %s", error);
    return once_run(&client, &o);
}

int once_main(int argc, char **argv) {
    struct texts t = {.server = "localhost:7450"};
    const struct option_row rows[] = {
        {"server", 0, "ADDR[,ADDR...]", "HTTP addresses of nodes [localhost:7450]", &t.server, NULL},
        {"ttl", 0, "MS", "what CMD gave is known so long [86400000]", &t.ttl, NULL},
        {"wait", 0, "MS", "waits so long at most while another runs CMD [3600000]", &t.wait, NULL},
        {"try", 0, NULL, "does not wait", NULL, &t.try_only},
        {"lease", 0, "MS", "another may run CMD so long after this command is gone [15000]", &t.lease, NULL},
        {"grace", 0, "MS", "from SIGTERM to SIGKILL when the run is lost [3000]", &t.grace, NULL},
        {"fingerprint", 0, "TEXT", "of the request [of CMD's words]: KEY with another one is an error", &t.fingerprint,
         NULL},
        {"retry-failed", 0, NULL, "a CMD that fails is not stored: the next call runs it", NULL, &t.retry_failed},
        {"json", 0, NULL, "what happens, as JSON lines on standard error", NULL, &t.json}};
    const struct option_table table = {
        "once",
        "parley once KEY [FLAGS] -- CMD [ARGUMENT...]",
        "Runs CMD once for a key. Who calls it meanwhile waits; who calls it later gets the stored output and exit "
        "code,\n"
        "and CMD does not run. At most 48,000 bytes of output are stored; more is cut, and both say so. CMD sees\n"
        "PARLEY_ONCE_KEY, PARLEY_ONCE_TOKEN and PARLEY_ONCE_ATTEMPT (above 1: a run before was lost, and may have "
        "done\n"
        "a part). A CMD that a signal ends, or that exits with 126 or more, stores nothing. The exit code is CMD's "
        "own; 75 when it neither ran nor was\n"
        "stored, 76 when the run was lost (CMD gets SIGTERM, then SIGKILL) or could not be stored, 126 or 127 when "
        "CMD\n"
        "cannot be run.",
        rows,
        sizeof rows / sizeof rows[0],
        1,
        1};
    char **command = options_command(&argc, argv);
    char **arguments = mem_alloc((size_t)argc * sizeof *arguments);
    size_t count;
    int code = options_read(&table, argc, argv, arguments, &count);
    if (code < 0) code = run(&table, &t, arguments[0], command);
    mem_free(arguments);
    return code;
}
