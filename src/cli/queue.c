// `parley queue`: pushes, claims and acknowledges messages, shows queues; `work` is in queue_work.c.
#include "cli/queue.h"
#include "base/alloc.h"
#include "base/base64.h"
#include "cli/commands.h"
#include "cli/held.h"
#include "cli/options.h"
#include "model/queue/queue.h"
#include "protocol/http/native.h"
#include "server/server.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

struct texts { // flags as given
    const char *server, *key, *priority, *delay, *dedup, *number, *max, *visibility, *wait, *grace, *tries, *length,
        *concurrency, *rate, *window;
    bool json, once;
};
struct values {
    uint64_t priority, delay_ms, number, max, visibility_ms, wait_ms, grace_ms, tries_max, length_max, concurrency_max,
        rate, window_ms;
};
struct call { // of one verb
    const struct option_table *table;
    const struct texts *texts;
    const struct values *values;
    struct native_client *client;
    char **arguments; // behind the verb: NAME and more
    size_t count;
};

// ---- bodies

void queue_set_body(json_t *to, struct bytes body) {
    const char *data = body.data != NULL ? (const char *)body.data : "";
    json_t *words = memchr(data, 0, body.len) == NULL ? json_stringn(data, body.len) : NULL;
    if (words != NULL) {
        json_object_set_new(to, "body", words);
        return;
    }
    struct writer w;
    writer_init(&w);
    base64_write(&w, body);
    json_object_set_new(to, "body_base64", json_stringn((const char *)w.data, w.len));
    writer_free(&w);
}

bool queue_get_body(const json_t *message, struct writer *to) {
    const json_t *encoded = json_object_get(message, "body_base64"), *words = json_object_get(message, "body");
    if (encoded != NULL) return base64_read(to, bytes_of(json_string_value(encoded), json_string_length(encoded)));
    if (words != NULL) write_span(to, bytes_of(json_string_value(words), json_string_length(words)));
    return true;
}

bool queue_read_input(struct writer *to) {
    for (;;) {
        uint8_t piece[16384];
        ssize_t n = read(STDIN_FILENO, piece, sizeof piece);
        if (n == 0) return true;
        if (n < 0 && errno == EINTR) continue;
        if (n > 0) write_span(to, bytes_of(piece, (size_t)n));
        if (n > 0 && to->len <= QUEUE_BODY_BYTES_MAX) continue;
        fprintf(stderr, "parley: standard input %s\n", n < 0 ? strerror(errno) : "has more than 131072 bytes");
        return false;
    }
}

// ---- verbs

static json_t *body_of(const struct call *call) {
    json_t *body = json_object();
    if (call->count > 0) json_object_set_new(body, "name", json_string(call->arguments[0]));
    return body;
}
static void set(json_t *body, const char *name, uint64_t number) {
    json_object_set_new(body, name, json_integer((json_int_t)number));
}
static json_t *ask(const struct call *call, const char *operation, json_t *body) {
    return native_ask(call->client, "queue", operation, body);
}

static int done(const struct call *call, json_t *json, const char *words) {
    return native_done(json, call->texts->json, words);
}

void queue_set_dedup(json_t *body, const char *given) {
    uint8_t random[16];
    char text[2 * sizeof random + 1] = "";
    if (given == NULL) {
        if (getrandom(random, sizeof random, 0) != sizeof random) abort(); // never so few of so few
        for (size_t i = 0; i < sizeof random; i++) snprintf(text + 2 * i, 3, "%02x", random[i]);
    }
    json_object_set_new(body, "dedup_id", json_string(given != NULL ? given : text));
}

static int push(const struct call *call) {
    const struct texts *t = call->texts;
    struct writer input;
    writer_init(&input);
    struct bytes message = bytes_of("", 0);
    if (call->count > 2) return options_wrong(call->table, "one message is pushed: NAME [BODY]");
    if (call->count == 2)
        message = bytes_of_text(call->arguments[1]);
    else if (!queue_read_input(&input))
        return EXIT_FATAL;
    else
        message = bytes_of(input.data, input.len);
    json_t *body = body_of(call);
    queue_set_body(body, message);
    writer_free(&input);
    if (t->key != NULL) json_object_set_new(body, "key", json_string(t->key));
    set(body, "priority", call->values->priority);
    set(body, "delay_ms", call->values->delay_ms);
    if (t->number != NULL)
        set(body, "number", call->values->number);
    else
        queue_set_dedup(body, t->dedup);
    struct native_answer answer;
    uint64_t wait_ms = t->number != NULL ? QUEUE_TIME_MS_MAX : NATIVE_TIMEOUT_MS; // for the number before it
    if (!native_call(call->client, "queue/push", body, wait_ms, native_now_ms() + NATIVE_TIMEOUT_MS, &answer)) {
        fprintf(stderr, "parley queue: %s\n", answer.error);
        native_answer_free(&answer);
        return EXIT_FATAL;
    }
    if (t->json) return native_print(answer.json);
    bool duplicate = json_is_true(json_object_get(answer.json, "duplicate"));
    printf("%lld%s\n", native_number(answer.json, "id"), duplicate ? " (pushed before)" : "");
    native_answer_free(&answer);
    return 0;
}

static void print_messages(const json_t *list, bool dead) {
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one) {
        struct writer body;
        writer_init(&body);
        queue_get_body(one, &body);
        printf("%lld\t%lld\t%s\t", native_number(one, dead ? "id" : "token"), native_number(one, "tries"),
               native_text(one, "key"));
        fwrite(body.data != NULL ? (const char *)body.data : "", 1, body.len, stdout);
        printf("\n");
        writer_free(&body);
    }
}

static int claim(const struct call *call) {
    json_t *body = body_of(call);
    uint64_t wait_ms = call->values->wait_ms;
    struct native_answer answer;
    set(body, "max", call->values->max);
    set(body, "visibility_ms", call->values->visibility_ms);
    set(body, "wait_ms", wait_ms);
    if (!native_call(call->client, "queue/claim", body, wait_ms + NATIVE_TIMEOUT_MS,
                     native_now_ms() + wait_ms + NATIVE_TIMEOUT_MS, &answer)) {
        fprintf(stderr, "parley queue: %s\n", answer.error);
        native_answer_free(&answer);
        return EXIT_FATAL;
    }
    const json_t *messages = json_object_get(answer.json, "messages");
    int code = json_array_size(messages) > 0 ? 0 : QUEUE_EXIT_NONE;
    if (!call->texts->json) print_messages(messages, false);
    if (call->texts->json) json_dumpf(answer.json, stdout, JSON_INDENT(2));
    if (call->texts->json) printf("\n");
    native_answer_free(&answer);
    return code;
}

static bool read_numbers(const struct call *call, json_t *list) {
    for (size_t i = 1; i < call->count; i++) {
        unsigned long long number;
        if (!options_number(call->arguments[i], 1, INT64_MAX, &number)) return false;
        json_array_append_new(list, json_integer((json_int_t)number));
    }
    return call->count > 1;
}

static int ack(const struct call *call) {
    json_t *body = body_of(call), *tokens = json_array();
    json_object_set_new(body, "tokens", tokens);
    if (!read_numbers(call, tokens)) {
        json_decref(body);
        return options_wrong(call->table, "ack wants the NAME and TOKENs, as `claim` told them");
    }
    return done(call, ask(call, "queue/ack", body), "done");
}

// One number behind the NAME: of a delivery or of a dead letter.
static int one(const struct call *call, const char *operation, const char *field) {
    json_t *body = body_of(call);
    uint64_t number = 0;
    if (call->count != 2 || !options_u64(call->arguments[1], 1, INT64_MAX, &number)) {
        json_decref(body);
        return options_wrong(call->table, "the NAME and a number are wanted");
    }
    set(body, field, number);
    if (strcmp(operation, "queue/nack") == 0) set(body, "delay_ms", call->values->delay_ms);
    if (strcmp(operation, "queue/extend") == 0) set(body, "visibility_ms", call->values->visibility_ms);
    return done(call, ask(call, operation, body), "done");
}
static int nack(const struct call *call) {
    return one(call, "queue/nack", "token");
}
static int extend(const struct call *call) {
    return one(call, "queue/extend", "token");
}
static int requeue(const struct call *call) {
    return one(call, "queue/requeue", "id");
}
static int drop(const struct call *call) {
    return one(call, "queue/drop", "id");
}

static int configure(const struct call *call) {
    const struct values *v = call->values;
    json_t *body = body_of(call);
    set(body, "tries_max", v->tries_max);
    set(body, "length_max", v->length_max);
    set(body, "concurrency_max", v->concurrency_max);
    set(body, "rate", v->rate);
    set(body, "window_ms", v->rate > 0 ? v->window_ms : 0);
    return done(call, ask(call, "queue/configure", body), "done");
}
static int delete_queue(const struct call *call) {
    return done(call, ask(call, "queue/delete", body_of(call)), "done");
}

static void print_queue(const json_t *one) {
    printf("%-40s %10lld %8lld %8lld %8lld %8lld\n", native_text(one, "name"), native_number(one, "messages"),
           native_number(one, "ready"), native_number(one, "claimed"), native_number(one, "dead"),
           native_number(one, "waiters"));
}
static void print_head(void) {
    printf("%-40s %10s %8s %8s %8s %8s\n", "NAME", "MESSAGES", "READY", "CLAIMED", "DEAD", "WAITERS");
}

static int list(const struct call *call) {
    json_t *json = ask(call, "queue/list", body_of(call)), *one;
    size_t i;
    if (json == NULL) return EXIT_FATAL;
    if (call->texts->json) return native_print(json);
    print_head();
    json_array_foreach(json_object_get(json, "queues"), i, one) {
        print_queue(one);
    }
    if (json_is_true(json_object_get(json, "more"))) printf("... and more\n");
    json_decref(json);
    return 0;
}

static int show(const struct call *call) {
    json_t *json = ask(call, "queue/show", body_of(call)), *one;
    size_t i;
    if (json == NULL) return EXIT_FATAL;
    if (call->texts->json) return native_print(json);
    print_head();
    print_queue(json);
    json_array_foreach(json_object_get(json, "hot_keys"), i, one) {
        if (i == 0) printf("\n%8s %8s %8s %12s  %s\n", "DEPTH", "TRIES", "CLAIMED", "SECONDS", "KEY");
        printf("%8lld %8lld %8s %12lld  %s\n", native_number(one, "depth"), native_number(one, "tries"),
               native_number(one, "token") != 0 ? "yes" : "no", native_number(one, "oldest_ms") / 1000,
               native_text(one, "key"));
    }
    json_decref(json);
    return 0;
}

static int dead(const struct call *call) {
    json_t *json = ask(call, "queue/dead", body_of(call));
    if (json == NULL) return EXIT_FATAL;
    if (call->texts->json) return native_print(json);
    print_messages(json_object_get(json, "dead"), true);
    if (json_is_true(json_object_get(json, "more"))) printf("... and more\n");
    json_decref(json);
    return 0;
}

// ---- flags
static const struct {
    const char *verb;
    int (*run)(const struct call *call);
    size_t most; // arguments behind the verb
} verbs[] = {{"push", push, 2}, {"claim", claim, 1},         {"ack", ack, 1 + QUEUE_CLAIM_MAX},
             {"nack", nack, 2}, {"extend", extend, 2},       {"requeue", requeue, 2},
             {"drop", drop, 2}, {"configure", configure, 1}, {"delete", delete_queue, 1},
             {"show", show, 1}, {"dead", dead, 1},           {"list", list, 0}};

static int read_values(const struct option_table *table, const struct texts *t, struct values *v) {
    *v = (struct values){
        .max = 1, .visibility_ms = NATIVE_VISIBILITY_MS_DEFAULT, .grace_ms = HELD_GRACE_MS_DEFAULT, .window_ms = 1000};
    const struct {
        const char *flag, *text;
        uint64_t low, high, *out;
    } rows[] = {{"priority", t->priority, 0, UINT8_MAX, &v->priority},
                {"delay", t->delay, 0, QUEUE_TIME_MS_MAX, &v->delay_ms},
                {"number", t->number, 1, INT64_MAX, &v->number},
                {"max", t->max, 1, QUEUE_CLAIM_MAX, &v->max},
                {"visibility", t->visibility, 1000, QUEUE_TIME_MS_MAX, &v->visibility_ms},
                {"wait", t->wait, 0, QUEUE_TIME_MS_MAX, &v->wait_ms},
                {"grace", t->grace, 0, 3600000, &v->grace_ms},
                {"tries", t->tries, 0, UINT32_MAX, &v->tries_max},
                {"length", t->length, 0, QUEUE_MESSAGES_MAX, &v->length_max},
                {"concurrency", t->concurrency, 0, UINT32_MAX, &v->concurrency_max},
                {"rate", t->rate, 1, 1000000000, &v->rate},
                {"window", t->window, 1, QUEUE_TIME_MS_MAX, &v->window_ms}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!options_u64(rows[i].text, rows[i].low, rows[i].high, rows[i].out))
            return options_wrong(table, "--%s is a number from %llu to %llu", rows[i].flag,
                                 (unsigned long long)rows[i].low, (unsigned long long)rows[i].high);
    return -1;
}

static int work(const struct call *call, char **command) {
    if (call->count != 1) return options_wrong(call->table, "work wants one queue's NAME ahead of --");
    if (command == NULL || command[0] == NULL) return options_wrong(call->table, "a command is wanted behind --");
    struct queue_work_options o = {.name = call->arguments[0],
                                   .command = command,
                                   .visibility_ms = call->values->visibility_ms,
                                   .delay_ms = call->values->delay_ms,
                                   .grace_ms = call->values->grace_ms,
                                   .wait_ms = call->values->wait_ms,
                                   .once = call->texts->once,
                                   .json = call->texts->json};
    return queue_work(call->client, &o);
}

static int dispatch(const struct option_table *table, const struct texts *t, char **arguments, size_t count,
                    char **command) {
    static struct native_client client; // threads of `work` use it to the end
    struct values values;
    char error[512];
    int code = read_values(table, t, &values);
    if (code >= 0) return code;
    if (!native_client_init(&client, t->server, error)) return options_wrong(table, "--server: %s", error);
    struct call call = {table, t, &values, &client, arguments + 1, count - 1};
    if (strcmp(arguments[0], "work") == 0) return work(&call, command);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0] && command == NULL; i++) {
        if (strcmp(arguments[0], verbs[i].verb) != 0) continue;
        bool fits = call.count <= verbs[i].most && (call.count > 0 || verbs[i].most == 0);
        return fits ? verbs[i].run(&call) : options_wrong(table, "%s: wrong number of arguments", verbs[i].verb);
    }
    return options_wrong(table, "'%s' is no verb; or a command goes with work only", arguments[0]);
}

int queue_main(int argc, char **argv) {
    struct texts t = {.server = "localhost:7450"};
    const struct option_row rows[] = {
        {"server", 0, "ADDR[,ADDR...]", "HTTP addresses of nodes [localhost:7450]", &t.server, NULL},
        {"key", 0, "KEY", "push: in order with, and one at a time of, its key [none]", &t.key, NULL},
        {"priority", 0, "N", "push: larger is sooner, to 255 [0]", &t.priority, NULL},
        {"delay", 0, "MS", "push, nack, work: not delivered (again) before [0]", &t.delay, NULL},
        {"dedup", 0, "ID", "push: known by it for 5 minutes [random]", &t.dedup, NULL},
        {"number", 0, "N", "push: the producer's own of the key, from 1 on: waits for the one before", &t.number, NULL},
        {"max", 0, "N", "claim: so many messages at most [1]", &t.max, NULL},
        {"visibility", 0, "MS", "claim, extend, work: delivered again after, if not acknowledged [30000]",
         &t.visibility, NULL},
        {"wait", 0, "MS", "claim, work --once: waits so long for a message [0]", &t.wait, NULL},
        {"once", 0, NULL, "work: ends after one message", NULL, &t.once},
        {"grace", 0, "MS", "work: from SIGTERM to SIGKILL when the message is lost [3000]", &t.grace, NULL},
        {"tries", 0, "N", "configure: a dead letter after so many deliveries [no bound]", &t.tries, NULL},
        {"length", 0, "N", "configure: so many messages [100000000]", &t.length, NULL},
        {"concurrency", 0, "N", "configure: so many claimed at once [no bound]", &t.concurrency, NULL},
        {"rate", 0, "N", "configure: so many deliveries in each window [no bound]", &t.rate, NULL},
        {"window", 0, "MS", "configure: of the rate [1000]", &t.window, NULL},
        {"json", 0, NULL, "JSON; of work, as lines on standard error", NULL, &t.json}};
    const struct option_table table = {
        "queue",
        "parley queue push NAME [BODY] | claim NAME | ack NAME TOKEN... | nack|extend NAME TOKEN | list | show NAME |\n"
        "       dead NAME | requeue|drop NAME ID | configure|delete NAME | work NAME -- CMD [ARGUMENT...]",
        "push takes the body from standard input unless it is given. claim prints token, tries, key and body of each\n"
        "message; 75 is its exit code when there is none. configure sets all options; what is not given has its "
        "default.\n"
        "work claims one message after the other and runs CMD for each: the body is its standard input,\n"
        "PARLEY_QUEUE_NAME, _KEY, _ID, _TOKEN and _TRIES are set. Exit code 0 acknowledges it, any other gives it "
        "back.\n"
        "A message that was lost to another ends CMD with SIGTERM and then SIGKILL.",
        rows,
        sizeof rows / sizeof rows[0],
        1,
        2 + QUEUE_CLAIM_MAX};
    char **command = options_command(&argc, argv);
    char **arguments = mem_alloc((size_t)argc * sizeof *arguments);
    size_t count;
    int code = options_read(&table, argc, argv, arguments, &count);
    if (code < 0) code = dispatch(&table, &t, arguments, count, command);
    mem_free(arguments);
    return code;
}
