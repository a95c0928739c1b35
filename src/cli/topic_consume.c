// `parley topic consume NAME --group G [-- CMD]`: a member of a consumer group. CMD runs for one message after the
// other; what it is done with is committed, message by message; without CMD messages are printed.
//
//   main     polls (its end is an event), gives back what is wanted back, runs CMD, commits
//   keeper   heartbeats. When the membership, or the partition whose message CMD works on, is another's by now, or no
//            heartbeat was heard for two thirds of the TTL, CMD ends. Then main joins anew
//   ender    leaves the group when a signal asks us to end while no CMD runs (while one runs, it gets the signal)
//
// A membership by TTL, not by a session: any node may be asked for any of it.
#include "cli/held.h"
#include "cli/queue.h"
#include "cli/topic.h"
#include "server/server.h"
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POLL_MS 30000u  // of one poll; then it is asked again
#define MARGIN_MS 5000u // a server answers so long behind the waiting time at the latest

struct consumer {
    struct native_client *client;
    const struct topic_consume_options *options;
    _Atomic uint64_t member; // 0: none
    _Atomic bool gone;       // the membership is over, or may be
    uint64_t kept_ms;        // when the newest heartbeat that was answered was sent
    json_int_t version, behind;
    _Atomic json_int_t partition, token; // of the message that CMD works on; token 0: of none
    struct keeper keeper;
    struct held held;
};

static sem_t asked_to_end;
static volatile sig_atomic_t asked_by;

__attribute__((format(printf, 3, 4))) static void tell(const struct consumer *consumer, const char *event,
                                                       const char *format, ...) {
    char text[900];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!consumer->options->json) {
        fprintf(stderr, "parley topic: %s\n", text);
        return;
    }
    json_t *json = json_pack("{s:s, s:s, s:s, s:s}", "event", event, "name", consumer->options->name, "group",
                             consumer->options->group, "text", text);
    char *line = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    fprintf(stderr, "%s\n", line != NULL ? line : "{}");
    free(line);
    json_decref(json);
}

static void told(void *context, const char *reason) {
    tell(context, "lost", "the partition was lost: %s", reason);
}

// ---- requests

static json_t *of_group(const struct consumer *consumer) {
    return json_pack("{s:s, s:s}", "name", consumer->options->name, "group", consumer->options->group);
}

static json_t *of_member(const struct consumer *consumer) {
    json_t *body = of_group(consumer);
    json_object_set_new(body, "member_id", json_integer((json_int_t)consumer->member));
    return body;
}

static json_t *of_partition(const struct consumer *consumer, json_int_t partition, json_int_t token) {
    json_t *body = of_group(consumer);
    json_object_set_new(body, "partition", json_integer(partition));
    json_object_set_new(body, "token", json_integer(token));
    return body;
}

static bool join(struct consumer *consumer) {
    const struct topic_consume_options *o = consumer->options;
    struct native_answer answer;
    json_t *body = of_group(consumer);
    json_object_set_new(body, "member", json_string(o->member));
    json_object_set_new(body, "strategy", json_string(o->strategy));
    json_object_set_new(body, "start", json_string(o->start));
    json_object_set_new(body, "ttl_ms", json_integer((json_int_t)o->ttl_ms));
    json_object_set_new(body, "handover_ms", json_integer((json_int_t)o->handover_ms));
    if (o->room != NULL) json_object_set_new(body, "room", json_string(o->room));
    if (o->partitions != NULL) json_object_set_new(body, "partitions", json_deep_copy(o->partitions));
    uint64_t sent_ms = native_now_ms();
    bool joined =
        native_call(consumer->client, "topic/join", body, NATIVE_TIMEOUT_MS, sent_ms + NATIVE_TIMEOUT_MS, &answer);
    if (joined) consumer->member = (uint64_t)native_number(answer.json, "member_id");
    if (!joined) tell(consumer, "error", "%s", answer.error);
    consumer->kept_ms = sent_ms;
    consumer->version = 0;
    consumer->gone = false;
    native_answer_free(&answer);
    return joined;
}

static void leave(struct consumer *consumer) {
    struct native_answer answer;
    if (consumer->member == 0) return;
    native_call(consumer->client, "topic/leave", of_member(consumer), NATIVE_TIMEOUT_MS,
                native_now_ms() + consumer->options->ttl_ms, &answer); // else it ends with its TTL
    native_answer_free(&answer);
    consumer->member = 0;
}

// ---- keeper

static bool still_reads(const json_t *partitions, json_int_t partition, json_int_t token) {
    size_t i;
    const json_t *one;
    json_array_foreach(partitions, i, one) {
        if (native_number(one, "partition") == partition && native_number(one, "token") == token) return true;
    }
    return token == 0;
}

// Does CMD still work on what is ours? Who is asked may be behind, but never ahead.
static void check_token(struct consumer *consumer) {
    json_int_t partition = consumer->partition, token = consumer->token;
    struct native_answer answer;
    if (token == 0) return;
    bool asked = native_call(consumer->client, "topic/watch", of_member(consumer), MARGIN_MS,
                             native_now_ms() + MARGIN_MS, &answer);
    bool lost = asked && !still_reads(json_object_get(answer.json, "partitions"), partition, token);
    if (lost && consumer->token == token) // else CMD has ended meanwhile
        held_lose(&consumer->held, "its hand-over time is over", native_now_ms() + consumer->options->grace_ms);
    native_answer_free(&answer);
}

static bool keep(void *context) {
    struct consumer *consumer = context;
    uint64_t ttl_ms = consumer->options->ttl_ms, sent_ms = native_now_ms(), end_ms = consumer->kept_ms + ttl_ms;
    uint64_t give_up_ms = consumer->kept_ms + ttl_ms * 2 / 3;
    struct native_answer answer;
    if (give_up_ms <= sent_ms) give_up_ms = sent_ms + 1;
    bool kept =
        native_call(consumer->client, "topic/heartbeat", of_member(consumer), ttl_ms / 6 + 1, give_up_ms, &answer);
    bool ended = answer.status == 409 || answer.status == 404;
    if (kept) consumer->kept_ms = sent_ms;
    uint64_t now_ms = native_now_ms(), grace_ms = now_ms + consumer->options->grace_ms;
    if (ended || (!kept && now_ms + 200 >= give_up_ms)) {
        consumer->gone = true;
        held_lose(&consumer->held, answer.error, ended || end_ms > grace_ms ? grace_ms : end_ms);
    }
    native_answer_free(&answer);
    if (kept) check_token(consumer);
    return !consumer->gone;
}

// ---- ender

static void on_signal(int number) {
    asked_by = number;
    sem_post(&asked_to_end);
}

static void *end_when_asked(void *context) {
    struct consumer *consumer = context;
    while (sem_wait(&asked_to_end) != 0 && errno == EINTR) {
    }
    leave(consumer);
    fflush(stdout);
    _exit(128 + asked_by);
}

static bool start_ender(struct consumer *consumer) {
    pthread_t thread;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sem_init(&asked_to_end, 0, 0);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    return held_thread(&thread, end_when_asked, consumer) && pthread_detach(thread) == 0;
}

// ---- messages

static void set_environment(const struct consumer *consumer, const json_t *message, json_int_t token) {
    char number[32];
    setenv("PARLEY_TOPIC_NAME", consumer->options->name, 1);
    setenv("PARLEY_TOPIC_GROUP", consumer->options->group, 1);
    setenv("PARLEY_TOPIC_KEY", native_text(message, "key"), 1);
    const struct {
        const char *name;
        long long number;
    } numbers[] = {{"PARLEY_TOPIC_PARTITION", native_number(message, "partition")},
                   {"PARLEY_TOPIC_OFFSET", native_number(message, "offset")},
                   {"PARLEY_TOPIC_TOKEN", token}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        snprintf(number, sizeof number, "%lld", numbers[i].number);
        setenv(numbers[i].name, number, 1);
    }
}

// false: the partition is another's by now, or is wanted back, or nobody could be asked: no more of it.
static bool commit(struct consumer *consumer, const json_t *message, json_int_t token) {
    struct native_answer answer;
    json_t *body = of_partition(consumer, native_number(message, "partition"), token);
    json_object_set_new(body, "offset", json_integer(native_number(message, "offset") + 1));
    uint64_t until_ms = consumer->kept_ms + consumer->options->ttl_ms; // then it is another's
    bool done = native_call(consumer->client, "topic/commit", body, NATIVE_TIMEOUT_MS, until_ms, &answer);
    if (!done)
        tell(consumer, "error", "commit of partition %lld, offset %lld: %s", native_number(message, "partition"),
             native_number(message, "offset"), answer.error);
    done = done && !json_is_true(json_object_get(answer.json, "revoked"));
    native_answer_free(&answer);
    return done;
}

static int print_message(const struct consumer *consumer, const json_t *message, struct bytes body) {
    if (consumer->options->json) {
        json_dumpf(message, stdout, JSON_COMPACT);
    } else if (body.len > 0) {
        fwrite(body.data, 1, body.len, stdout);
    }
    printf("\n");
    return fflush(stdout) == 0 ? 0 : EXIT_FATAL;
}

// CMD's exit code, or how printing went.
static int work_on(struct consumer *consumer, const json_t *message, json_int_t token) {
    struct writer body;
    int code = EXIT_FATAL;
    writer_init(&body);
    if (queue_get_body(message, &body)) {
        struct bytes input = bytes_of(body.data, body.len);
        held_again(&consumer->held);
        consumer->held.input = &input;
        consumer->partition = native_number(message, "partition");
        consumer->token = token;
        if (consumer->gone) held_lose(&consumer->held, "the membership has ended", native_now_ms());
        set_environment(consumer, message, token);
        code = consumer->options->command != NULL ? held_run(&consumer->held) : print_message(consumer, message, input);
        consumer->token = 0;
    }
    writer_free(&body);
    return code;
}

static json_int_t token_of(const json_t *partitions, json_int_t partition) {
    size_t i;
    const json_t *one;
    json_array_foreach(partitions, i, one) {
        if (native_number(one, "partition") == partition) return native_number(one, "token");
    }
    return 0;
}

static void pause_for(uint64_t ms) {
    struct timespec pause = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

// One poll's messages, partition by partition; of one that fails or is no more ours, no more. -1: go on; else the end.
static int work_on_all(struct consumer *consumer, const json_t *answer) {
    const json_t *partitions = json_object_get(answer, "partitions"), *message;
    json_int_t stopped = -1;
    size_t i;
    json_array_foreach(json_object_get(answer, "messages"), i, message) {
        json_int_t partition = native_number(message, "partition"), token = token_of(partitions, partition);
        if (partition == stopped || consumer->gone) continue;
        int code = work_on(consumer, message, token);
        consumer->behind = partition;
        bool goes_on = code == 0 && commit(consumer, message, token);
        if (!goes_on) stopped = partition;
        if (consumer->options->once) return code;
        if (consumer->held.signal != 0) return 128 + consumer->held.signal; // CMD had it too
        if (code != 0 && !consumer->held.lost) {
            tell(consumer, "failed", "CMD ended with %d; once more in %llu ms", code,
                 (unsigned long long)consumer->options->delay_ms);
            pause_for(consumer->options->delay_ms); // its partition waits: order is what it is about
        }
    }
    return -1;
}

static void give_back(struct consumer *consumer, const json_t *partitions) {
    size_t i;
    const json_t *one;
    struct native_answer answer;
    json_array_foreach(partitions, i, one) {
        if (!json_is_true(json_object_get(one, "revoked"))) continue;
        json_t *body = of_partition(consumer, native_number(one, "partition"), native_number(one, "token"));
        native_call(consumer->client, "topic/release", body, NATIVE_TIMEOUT_MS, native_now_ms() + NATIVE_TIMEOUT_MS,
                    &answer);
        native_answer_free(&answer); // not: the hand-over time is over, or will be
    }
}

// One poll, and what comes of it. -1: go on; else the exit code.
static int turn(struct consumer *consumer, uint64_t until_ms) {
    uint64_t now_ms = native_now_ms(), left_ms = until_ms > now_ms ? until_ms - now_ms : 0;
    uint64_t wait_ms = left_ms < POLL_MS ? left_ms : POLL_MS;
    struct native_answer answer;
    json_t *body = of_member(consumer);
    json_object_set_new(body, "version", json_integer(consumer->version));
    if (consumer->behind >= 0) json_object_set_new(body, "behind", json_integer(consumer->behind));
    json_object_set_new(body, "max", json_integer(consumer->options->once ? 1 : 10));
    json_object_set_new(body, "wait_ms", json_integer((json_int_t)wait_ms));
    bool polled = native_call(consumer->client, "topic/poll", body, wait_ms + MARGIN_MS,
                              now_ms + wait_ms + NATIVE_TIMEOUT_MS, &answer);
    int code = -1;
    if (polled) {
        consumer->version = native_number(answer.json, "version");
        give_back(consumer, json_object_get(answer.json, "partitions"));
        code = work_on_all(consumer, answer.json);
    } else if (answer.status == 409) {
        consumer->gone = true;
    } else {
        tell(consumer, "error", "%s", answer.error);
        if (answer.status == 404) code = EXIT_FATAL;
    }
    native_answer_free(&answer);
    if (code < 0 && native_now_ms() >= until_ms) code = TOPIC_EXIT_NONE;
    return code;
}

static int membership(struct consumer *consumer, uint64_t until_ms) {
    int code = -1;
    if (!join(consumer)) return EXIT_FATAL;
    if (!keeper_start(&consumer->keeper, consumer->options->ttl_ms / 4, keep, consumer)) {
        tell(consumer, "error", "cannot start a thread: %s", strerror(errno));
        return EXIT_FATAL;
    }
    while (code < 0 && !consumer->gone && asked_by == 0) code = turn(consumer, until_ms);
    while (asked_by != 0) pause(); // the ender leaves the group, and ends us
    keeper_stop(&consumer->keeper);
    if (code >= 0) leave(consumer);
    if (code < 0) tell(consumer, "left", "no member any more: joins anew");
    return code;
}

int topic_consume(struct native_client *client, const struct topic_consume_options *options) {
    static struct consumer consumer;
    uint64_t until_ms = options->once ? native_now_ms() + options->wait_ms : UINT64_MAX;
    int code = -1;
    consumer = (struct consumer){.client = client, .options = options, .behind = -1};
    consumer.held =
        (struct held){.who = "parley topic", .command = options->command, .told = told, .context = &consumer};
    held_init(&consumer.held);
    if (!start_ender(&consumer)) {
        tell(&consumer, "error", "cannot start a thread: %s", strerror(errno));
        return EXIT_FATAL;
    }
    while (code < 0) code = membership(&consumer, until_ms);
    return code;
}
