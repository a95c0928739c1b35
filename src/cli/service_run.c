// `parley service register NAME ADDRESS -- CMD`: registers an instance while CMD runs. Other than a lock, a
// registration may be lost and had again: CMD runs on meanwhile.
#include "cli/held.h"
#include "cli/service.h"
#include "server/server.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct run {
    struct native_client *client;
    const struct service_options *options;
    char session[96]; // empty: it has ended, or never began
    bool registered;  // under that session
    bool away;        // the servers were, when they were asked last; told once
    struct keeper keeper;
    struct held held;
};

__attribute__((format(printf, 3, 4))) static void tell(const struct run *run, const char *event, const char *format,
                                                       ...) {
    char text[900];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!run->options->json) {
        fprintf(stderr, "parley service: %s\n", text);
        return;
    }
    json_t *json = json_pack("{s:s, s:s, s:s, s:s}", "event", event, "service", run->options->name, "id",
                             run->options->id, "text", text);
    char *line = json_dumps(json, JSON_COMPACT);
    fprintf(stderr, "%s\n", line);
    free(line);
    json_decref(json);
}

// A call that names the session. false: the answer says why.
static bool ask(struct run *run, const char *operation, json_t *body, uint64_t answer_ms, uint64_t until_ms,
                struct native_answer *answer) {
    json_object_set_new(body, "session", json_string(run->session));
    if (native_call(run->client, operation, body, answer_ms, until_ms, answer)) return true;
    if (answer->status != 410) return false;
    run->session[0] = 0;
    run->registered = false;
    return false;
}

// A registration whose end is unknown may still come, take the place of a newer one and go with the session that it
// names: so it is asked for again under that session, and under another one only when that has ended. false: the answer
// says why.
static bool enter(struct run *run, uint64_t until_ms, struct native_answer *answer) {
    if (run->session[0] == 0) {
        json_t *body = json_pack("{s:I}", "ttl_ms", (json_int_t)run->options->ttl_ms);
        if (!native_call(run->client, "session/create", body, NATIVE_TIMEOUT_MS, until_ms, answer)) return false;
        snprintf(run->session, sizeof run->session, "%s", native_text(answer->json, "session"));
        native_answer_free(answer);
    }
    json_t *body = json_deep_copy(run->options->body);
    run->registered = ask(run, "registry/register", body, NATIVE_TIMEOUT_MS, until_ms, answer);
    if (run->registered) native_answer_free(answer);
    return run->registered;
}

static bool keep(void *context) {
    struct run *run = context;
    struct native_answer answer;
    uint64_t until_ms = native_now_ms() + run->options->ttl_ms / 2;
    bool kept = false;
    if (run->registered) {
        kept = ask(run, "session/keepalive", json_object(), run->options->ttl_ms / 4, until_ms, &answer);
        native_answer_free(&answer);
    }
    if (!run->registered) {
        kept = enter(run, until_ms, &answer);
        if (kept) tell(run, "again", "%s is registered again: its session had ended", run->options->id);
        if (!kept) native_answer_free(&answer);
    }
    if (!kept && !run->away) tell(run, "away", "no server keeps the registration; trying on");
    run->away = !kept;
    return true;
}

static void leave(struct run *run) { // with the session goes the instance, at once
    struct native_answer answer;
    keeper_stop(&run->keeper);
    if (run->session[0] == 0) return;
    native_call(run->client, "session/close", json_pack("{s:s}", "session", run->session), 2000, native_now_ms() + 2000,
                &answer);
    native_answer_free(&answer);
}

static void told(void *context, const char *reason) {} // nothing is held that could be lost

int service_run(struct native_client *client, const struct service_options *options) {
    static struct run run;
    struct native_answer answer;
    run = (struct run){.client = client, .options = options};
    run.held = (struct held){.who = "parley service", .command = options->command, .told = told, .context = &run};
    held_init(&run.held);
    held_over(&run.held);
    if (!enter(&run, native_now_ms() + NATIVE_TIMEOUT_MS, &answer)) {
        tell(&run, "refused", "%s", answer.error);
        native_answer_free(&answer);
        return EXIT_FATAL;
    }
    if (options->json) tell(&run, "registered", "%s is registered", options->id);
    if (!keeper_start(&run.keeper, options->ttl_ms / 4, keep, &run)) {
        tell(&run, "error", "cannot start a thread: %s", strerror(errno));
        return EXIT_FATAL;
    }
    setenv("PARLEY_SERVICE_NAME", options->name, 1);
    setenv("PARLEY_SERVICE_ID", options->id, 1);
    int code = held_run(&run.held);
    leave(&run);
    return code;
}
