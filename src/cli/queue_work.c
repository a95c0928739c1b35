// `parley queue work NAME -- CMD`: one message after the other, CMD for each.
//
//   main     claims a message (a long poll: its end is an event), runs CMD, acknowledges it or gives it back
//   keeper   extends the visibility time while CMD runs. A message that is another's by now, or that nobody extended
//            for two thirds of the time, is lost, and CMD ends: another may get it when the time is over
#include "cli/held.h"
#include "cli/queue.h"
#include "server/server.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLL_MS 60000u  // of one claim; then it is asked again
#define MARGIN_MS 5000u // a server answers so long behind the waiting time at the latest

struct work {
    struct native_client *client;
    const struct queue_work_options *options;
    json_int_t token;
    uint64_t extended_ms; // when the newest extension was asked for; before there is one, when the claim was answered
    struct keeper keeper;
    struct held held;
};

__attribute__((format(printf, 3, 4))) static void tell(const struct work *work, const char *event, const char *format,
                                                       ...) {
    char text[900];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!work->options->json) {
        fprintf(stderr, "parley queue: %s\n", text);
        return;
    }
    json_t *json = json_pack("{s:s, s:s, s:s, s:I}", "event", event, "name", work->options->name, "text", text, "token",
                             work->token);
    char *line = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    fprintf(stderr, "%s\n", line != NULL ? line : "{}");
    free(line);
    json_decref(json);
}

static void told(void *context, const char *reason) {
    tell(context, "lost", "the message was lost: %s", reason);
}

static json_t *with_name(const struct work *work) {
    json_t *body = json_object();
    json_object_set_new(body, "name", json_string(work->options->name));
    return body;
}

static bool extend(void *context) {
    struct work *work = context;
    uint64_t time_ms = work->options->visibility_ms, sent_ms = native_now_ms();
    uint64_t give_up_ms = work->extended_ms + time_ms * 2 / 3, end_ms = work->extended_ms + time_ms;
    struct native_answer answer;
    json_t *body = with_name(work);
    json_object_set_new(body, "token", json_integer(work->token));
    json_object_set_new(body, "visibility_ms", json_integer((json_int_t)time_ms));
    if (give_up_ms <= sent_ms) give_up_ms = sent_ms + 1;
    bool extended = native_call(work->client, "queue/extend", body, time_ms / 6, give_up_ms, &answer);
    bool lost = answer.status == 409;
    if (extended) work->extended_ms = sent_ms;
    uint64_t now_ms = native_now_ms(), grace_ms = now_ms + work->options->grace_ms;
    if (lost || (!extended && now_ms + 200 >= give_up_ms))
        held_lose(&work->held, answer.error, lost || end_ms > grace_ms ? grace_ms : end_ms);
    native_answer_free(&answer);
    return !lost;
}

static void set_environment(const struct work *work, const json_t *message) {
    char number[32];
    setenv("PARLEY_QUEUE_NAME", work->options->name, 1);
    setenv("PARLEY_QUEUE_KEY", native_text(message, "key"), 1);
    static const char *const names[][2] = {
        {"PARLEY_QUEUE_ID", "id"}, {"PARLEY_QUEUE_TOKEN", "token"}, {"PARLEY_QUEUE_TRIES", "tries"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(number, sizeof number, "%lld", native_number(message, names[i][1]));
        setenv(names[i][0], number, 1);
    }
}

// What became of it is told to the queue for as long as it is still ours.
static void finish(struct work *work, int code) {
    struct native_answer answer;
    json_t *body = with_name(work);
    uint64_t until_ms = work->extended_ms + work->options->visibility_ms;
    if (code == 0) {
        json_object_set_new(body, "tokens", json_pack("[I]", work->token));
    } else {
        json_object_set_new(body, "token", json_integer(work->token));
        json_object_set_new(body, "delay_ms", json_integer((json_int_t)work->options->delay_ms));
    }
    const char *operation = code == 0 ? "queue/ack" : "queue/nack";
    if (!native_call(work->client, operation, body, NATIVE_TIMEOUT_MS, until_ms, &answer))
        tell(work, "error", "%s of token %lld: %s", operation + strlen("queue/"), (long long)work->token, answer.error);
    native_answer_free(&answer);
}

static int run_command(struct work *work, const json_t *message) {
    struct writer body;
    writer_init(&body);
    if (!queue_get_body(message, &body)) { // no server of ours sends it
        writer_free(&body);
        return EXIT_FATAL;
    }
    struct bytes input = bytes_of(body.data, body.len);
    work->token = (json_int_t)native_number(message, "token");
    set_environment(work, message);
    held_again(&work->held);
    work->held.input = &input;
    if (!keeper_start(&work->keeper, work->options->visibility_ms / 4, extend, work)) {
        tell(work, "error", "cannot start a thread: %s", strerror(errno));
        exit(EXIT_FATAL);
    }
    int code = held_run(&work->held);
    keeper_stop(&work->keeper);
    writer_free(&body);
    if (work->held.lost) return code;
    if (code != 0) tell(work, "failed", "CMD ended with %d", code);
    finish(work, code);
    return code;
}

// The next message; NULL: none in the time given, or (error) nobody could be asked.
static json_t *claim(struct work *work, uint64_t until_ms, bool *error) {
    const struct queue_work_options *o = work->options;
    struct native_answer answer;
    *error = false;
    for (;;) {
        uint64_t now_ms = native_now_ms(), left_ms = until_ms > now_ms ? until_ms - now_ms : 0;
        uint64_t wait_ms = left_ms < POLL_MS ? left_ms : POLL_MS;
        json_t *body = with_name(work);
        json_object_set_new(body, "visibility_ms", json_integer((json_int_t)o->visibility_ms));
        json_object_set_new(body, "wait_ms", json_integer((json_int_t)wait_ms));
        bool asked = native_call(work->client, "queue/claim", body, wait_ms + MARGIN_MS,
                                 now_ms + (left_ms > NATIVE_TIMEOUT_MS ? left_ms : NATIVE_TIMEOUT_MS), &answer);
        json_t *message = json_incref(json_array_get(json_object_get(answer.json, "messages"), 0));
        if (!asked) tell(work, "error", "%s", answer.error);
        native_answer_free(&answer);
        work->extended_ms = native_now_ms();
        *error = !asked;
        if (message != NULL || !asked || native_now_ms() >= until_ms) return message;
    }
}

int queue_work(struct native_client *client, const struct queue_work_options *options) {
    static struct work work;
    work = (struct work){.client = client, .options = options};
    work.held = (struct held){.who = "parley queue", .command = options->command, .told = told, .context = &work};
    held_init(&work.held);
    for (;;) {
        uint64_t until_ms = options->once ? native_now_ms() + options->wait_ms : UINT64_MAX;
        bool error;
        json_t *message = claim(&work, until_ms, &error);
        if (message == NULL) return error ? EXIT_FATAL : QUEUE_EXIT_NONE;
        int code = run_command(&work, message);
        json_decref(message);
        if (options->once) return code;
        if (work.held.signal != 0) return 128 + work.held.signal; // CMD had it too, and we are asked to end
    }
}
