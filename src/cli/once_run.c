// `parley once KEY -- CMD`: of all who call it under one key, one runs CMD; the others, and all who come later, get its
// output and exit code.
//
//   main     begins the run, or gets what is stored; runs CMD (held.h), stores the result
//   keeper   extends the run's lease; a lease that nobody acknowledges for two thirds of its time counts as lost,
//            because CMD must be gone when the time is over: another may run then
//   pump     passes CMD's output on and keeps it; who reads it may stand still, and that holds up nobody else
//
//   CMD --1, 2--> pipes --pump--> what was our own output and error
//                          +----> stored
#include "cli/once.h"
#include "server/server.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#define WAIT_MARGIN_MS 5000u // a server answers so long behind the waiting time at the latest

struct run {
    struct native_client *client;
    const struct once_options *options;
    char owner[200];
    json_int_t token, attempt;
    uint64_t acknowledged_ms; // when the newest extension that was acknowledged was sent
    struct keeper keeper;
    struct held held;
    pthread_t pump;
    int outside[2], pipes[2], stop_fd; // our own output and error; CMD's, read from here; readable: CMD has ended
    struct once_output output;         // the pump's, while it runs
};

// ---- what is told
__attribute__((format(printf, 3, 4))) static void tell(const struct run *run, const char *event, const char *format,
                                                       ...) {
    char text[900];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!run->options->json) {
        dprintf(run->outside[1], "parley once: %s\n", text);
        return;
    }
    json_t *json = json_object();
    json_object_set_new(json, "event", json_string(event));
    json_object_set_new(json, "key", json_string(run->options->key));
    json_object_set_new(json, "text", json_string(text));
    if (run->token != 0) json_object_set_new(json, "token", json_integer(run->token));
    if (run->attempt != 0) json_object_set_new(json, "attempt", json_integer(run->attempt));
    char *line = json_dumps(json, JSON_COMPACT);
    dprintf(run->outside[1], "%s\n", line);
    free(line);
    json_decref(json);
}

static json_t *body_of(const struct run *run) {
    json_t *body = json_object();
    json_object_set_new(body, "key", json_string(run->options->key));
    if (run->token != 0) json_object_set_new(body, "token", json_integer(run->token));
    return body;
}

// ---- the run's lease
static bool extend(struct run *run, uint64_t answer_ms, uint64_t until_ms, struct native_answer *answer) {
    uint64_t sent_ms = native_now_ms();
    json_t *body = body_of(run);
    json_object_set_new(body, "lease_ms", json_integer((json_int_t)run->options->lease_ms));
    bool kept = native_call(run->client, "idempotency/extend", body, answer_ms, until_ms, answer);
    if (kept) run->acknowledged_ms = sent_ms;
    return kept;
}

static bool keep(void *context) {
    struct run *run = context;
    uint64_t lease_ms = run->options->lease_ms;
    struct native_answer answer;
    uint64_t sent_ms = native_now_ms(), give_up_ms = run->acknowledged_ms + lease_ms * 2 / 3;
    if (sent_ms >= give_up_ms) give_up_ms = sent_ms + 1;
    bool kept = extend(run, lease_ms / 6, give_up_ms, &answer), over = answer.status == 409;
    uint64_t now_ms = native_now_ms(), grace_ms = now_ms + run->options->grace_ms;
    uint64_t end_ms = run->acknowledged_ms + lease_ms;
    bool late = !kept && now_ms + 200 >= give_up_ms;
    char reason[600];
    snprintf(reason, sizeof reason, "%s%.500s", over ? "" : "its lease was not extended in time: ", answer.error);
    native_answer_free(&answer);
    if (over || late) held_lose(&run->held, reason, over || end_ms > grace_ms ? grace_ms : end_ms);
    return !over && !late;
}

// ---- begin
static json_t *begin_body(const struct run *run, uint64_t wait_ms) {
    const struct once_options *o = run->options;
    json_t *body = body_of(run);
    json_object_set_new(body, "owner", json_string(run->owner));
    json_object_set_new(body, "fingerprint", json_string(o->fingerprint));
    json_object_set_new(body, "lease_ms", json_integer((json_int_t)o->lease_ms));
    json_object_set_new(body, "ttl_ms", json_integer((json_int_t)o->ttl_ms));
    json_object_set_new(body, "wait_ms", json_integer((json_int_t)wait_ms));
    return body;
}

// Whether the answer says all that is wanted. A run that began at some time in a long wait: its lease begins anew.
static bool begun(struct run *run, uint64_t sent_ms, struct native_answer *answer) {
    struct native_answer extended;
    run->acknowledged_ms = sent_ms;
    run->token = json_integer_value(json_object_get(answer->json, "token"));
    run->attempt = json_integer_value(json_object_get(answer->json, "attempt"));
    if (run->token == 0 || native_now_ms() < sent_ms + run->options->lease_ms / 4) return true;
    bool kept = extend(run, NATIVE_TIMEOUT_MS, native_now_ms() + NATIVE_TIMEOUT_MS, &extended);
    native_answer_free(&extended);
    if (!kept) run->token = run->attempt = 0;
    return kept;
}

// A wait may be cancelled by the node that lost our former connection: asked again. The owner keeps it one call.
static bool begin(struct run *run, struct native_answer *answer) {
    uint64_t until_ms = native_now_ms() + run->options->wait_ms;
    for (;;) {
        uint64_t now_ms = native_now_ms(), wait_ms = until_ms > now_ms ? until_ms - now_ms : 0;
        uint64_t answer_ms = (wait_ms > WAIT_MARGIN_MS ? wait_ms : WAIT_MARGIN_MS) + WAIT_MARGIN_MS;
        uint64_t give_up_ms = now_ms + (wait_ms > NATIVE_TIMEOUT_MS ? wait_ms : NATIVE_TIMEOUT_MS);
        bool good =
            native_call(run->client, "idempotency/begin", begin_body(run, wait_ms), answer_ms, give_up_ms, answer);
        if (good && begun(run, now_ms, answer)) return true;
        if (!good && strcmp(native_error_name(answer), "cancelled") != 0) return false;
        native_answer_free(answer);
    }
}

static int refused(const struct run *run, const struct native_answer *answer) {
    const char *holder = json_string_value(json_object_get(answer->json, "holder"));
    bool held = holder != NULL && holder[0] != 0;
    tell(run, "not-run", "%s%s%s%s", answer->error, held ? " (" : "", held ? holder : "", held ? ")" : "");
    return ONCE_EXIT_NOT_RUN;
}

static int replay(struct run *run, const json_t *stored) {
    int code = (int)json_integer_value(json_object_get(stored, "status"));
    if (!once_output_read(&run->output, json_string_value(json_object_get(stored, "body")))) {
        tell(run, "error", "what is stored under the key is not of `parley once`");
        return EXIT_FATAL;
    }
    if (run->options->json) tell(run, "replayed", "CMD ran before: exit code %d", code);
    once_output_replay(&run->output, run->options->key);
    return code;
}

// ---- while CMD runs
static void take_output(struct run *run, int stream) {
    char data[8192];
    ssize_t n = read(run->pipes[stream], data, sizeof data);
    if (n > 0) {
        once_output_add(&run->output, stream, data, (size_t)n);
        once_write_all(run->outside[stream], data, (size_t)n);
    } else if (n == 0) {
        close(run->pipes[stream]);
        run->pipes[stream] = -1;
    }
}

// Until CMD has ended and nothing is left of what it wrote. What it left behind and still writes is not waited for.
static void *pump(void *context) {
    struct run *run = context;
    for (;;) {
        struct pollfd fds[3] = {{.fd = run->pipes[0], .events = POLLIN},
                                {.fd = run->pipes[1], .events = POLLIN},
                                {.fd = run->stop_fd, .events = POLLIN}};
        if (poll(fds, 3, -1) < 0) continue;
        if (fds[0].revents == 0 && fds[1].revents == 0 && fds[2].revents != 0) return NULL;
        for (int i = 0; i < 2; i++)
            if (fds[i].revents != 0) take_output(run, i);
    }
}

static bool pump_start(struct run *run) {
    for (int i = 0; i < 2; i++) {
        int ends[2];
        run->outside[i] = fcntl(i + 1, F_DUPFD_CLOEXEC, 3);
        if (run->outside[i] < 0 || pipe2(ends, O_CLOEXEC) != 0 || dup2(ends[1], i + 1) < 0) return false;
        fcntl(ends[0], F_SETFL, O_NONBLOCK);
        close(ends[1]);
        run->pipes[i] = ends[0];
    }
    run->stop_fd = eventfd(0, EFD_CLOEXEC);
    return run->stop_fd >= 0 && held_thread(&run->pump, pump, run);
}

static void pump_stop(struct run *run) {
    uint64_t one = 1;
    for (int i = 0; i < 2; i++) dup2(run->outside[i], i + 1); // nobody writes into the pipes any more
    if (write(run->stop_fd, &one, sizeof one) != sizeof one) abort();
    pthread_join(run->pump, NULL);
}

static void told(void *context, const char *reason) {
    tell(context, "lost", "the run was lost: %s", reason);
}

// ---- the result
// What is no result frees the key.
static void give_up(struct run *run) {
    struct native_answer answer;
    if (!native_call(run->client, "idempotency/fail", body_of(run), NATIVE_TIMEOUT_MS,
                     native_now_ms() + NATIVE_TIMEOUT_MS, &answer))
        tell(run, "error", "the key is not freed ahead of its lease's end: %s", answer.error);
    native_answer_free(&answer);
}

static int store(struct run *run, int code) {
    struct native_answer answer;
    char *text = once_output_text(&run->output);
    json_t *body = body_of(run);
    json_object_set_new(body, "status", json_integer(code));
    json_object_set_new(body, "body", json_string(text));
    free(text);
    uint64_t lease_ms = run->options->lease_ms;
    uint64_t until_ms = native_now_ms() + (lease_ms > NATIVE_TIMEOUT_MS ? lease_ms : NATIVE_TIMEOUT_MS);
    bool stored = native_call(run->client, "idempotency/complete", body, NATIVE_TIMEOUT_MS, until_ms, &answer);
    if (!stored) tell(run, "lost", "CMD ended with %d, and that is not stored: %s", code, answer.error);
    if (stored && run->output.cut)
        fprintf(stderr, "parley once: %s: only the first %u bytes of the output are stored\n", run->options->key,
                ONCE_OUTPUT_BYTES_MAX);
    native_answer_free(&answer);
    return stored ? code : HELD_EXIT_LOST;
}

// CMD's own exit code is below 126: from there on it says that CMD could not be run, or that a signal ended it.
static int run_command(struct run *run) {
    char number[32];
    setenv("PARLEY_ONCE_KEY", run->options->key, 1);
    snprintf(number, sizeof number, "%lld", (long long)run->token);
    setenv("PARLEY_ONCE_TOKEN", number, 1);
    snprintf(number, sizeof number, "%lld", (long long)run->attempt);
    setenv("PARLEY_ONCE_ATTEMPT", number, 1);
    if (!pump_start(run) || !keeper_start(&run->keeper, run->options->lease_ms / 4, keep, run)) {
        tell(run, "error", "cannot start: %s", strerror(errno));
        exit(EXIT_FATAL);
    }
    int code = held_run(&run->held);
    if (run->held.lost) return code; // whoever reads our output may stand still: it is not waited for
    pump_stop(run);
    keeper_stop(&run->keeper);
    if (run->options->json) tell(run, "ran", "CMD ran: exit code %d", code);
    if (code == 0 || (code < HELD_EXIT_CANNOT_RUN && !run->options->retry_failed)) return store(run, code);
    give_up(run);
    return code;
}

// Who reads our output may end before CMD does. (CMD itself has the usual: handlers do not outlive exec.)
static void let_go(int number) {}

int once_run(struct native_client *client, const struct once_options *options) {
    static struct run run; // its threads may still use it when this returns
    char host[128] = "";
    uint64_t number;
    run = (struct run){.client = client, .options = options, .outside = {STDOUT_FILENO, STDERR_FILENO}};
    run.held = (struct held){.who = "parley once", .command = options->command, .told = told, .context = &run};
    held_init(&run.held);
    gethostname(host, sizeof host - 1);
    if (getrandom(&number, sizeof number, 0) != sizeof number) return EXIT_FATAL;
    snprintf(run.owner, sizeof run.owner, "%s pid %ld %016llx", host, (long)getpid(), (unsigned long long)number);
    signal(SIGPIPE, let_go);
    once_output_init(&run.output);
    struct native_answer answer;
    int code;
    if (!begin(&run, &answer))
        code = refused(&run, &answer);
    else if (run.token == 0)
        code = replay(&run, answer.json);
    else
        code = run_command(&run);
    native_answer_free(&answer);
    if (!run.held.lost) once_output_free(&run.output);
    return code;
}
