// What all demos use: the story, the cluster, services as processes.
#include "cli/demo.h"
#include "client/http_client.h"
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define UNTIL_MS 30000u
#define LOOK_MS 2000u // of a question about the cluster

// ---- the story

void demo_say(const struct demo *demo, const char *format, ...) {
    va_list more;
    if (demo->quiet) return;
    printf("    ");
    va_start(more, format);
    vprintf(format, more);
    va_end(more);
    printf("\n");
}

void demo_fact(struct demo *demo, const char *name, long long value) {
    json_object_set_new(demo->facts, name, json_integer(value));
}

void demo_fail(const char *format, ...) {
    va_list more;
    fflush(stdout);
    fprintf(stderr, "parley demo: ");
    va_start(more, format);
    vfprintf(stderr, format, more);
    va_end(more);
    fprintf(stderr, "\n");
    _exit(1); // what was started dies with this process
}

void demo_until(struct demo *demo, const char *what, bool (*holds)(struct demo *demo, const void *context),
                const void *context) {
    uint64_t until_ms = native_now_ms() + UNTIL_MS;
    struct timespec pause = {.tv_nsec = 5000000};
    while (!holds(demo, context)) {
        if (native_now_ms() >= until_ms) demo_fail("in vain for %u s: %s", UNTIL_MS / 1000, what);
        nanosleep(&pause, NULL);
    }
}

// ---- the cluster

static long long leader_by(const char *address) {
    struct http_reply reply;
    json_t *view = NULL;
    json_error_t error;
    if (http_call(address, "GET", "/v1/cluster", NULL, LOOK_MS, NULL, NULL, &reply) && reply.status == 200)
        view = json_loadb((const char *)reply.body.data, reply.body.len, 0, &error);
    long long leader = native_number(view, "leader");
    json_decref(view);
    http_reply_free(&reply);
    return leader;
}

// A leader that lives, by the word of a node that does.
static bool finds_leader(struct demo *demo, const void *out) {
    for (size_t i = 0; i < DEMO_NODES; i++) {
        long long leader = demo->pids[i] != 0 ? leader_by(demo->client.addresses[i]) : 0;
        if (leader < 1 || leader > DEMO_NODES || demo->pids[leader - 1] == 0) continue;
        **(long long *const *)out = leader;
        return true;
    }
    return false;
}

void demo_kill_leader(struct demo *demo) {
    long long leader = 0, *out = &leader;
    demo_until(demo, "there is a leader", finds_leader, &out);
    kill(demo->pids[leader - 1], SIGKILL);
    waitpid(demo->pids[leader - 1], NULL, 0);
    demo->pids[leader - 1] = 0;
    demo_say(demo, "node %lld, the leader of the cluster, is killed (kill -9)", leader);
    demo_fact(demo, "leaders_killed", native_number(demo->facts, "leaders_killed") + 1);
}

json_t *demo_ask(struct native_client *client, const char *operation, json_t *body, uint64_t wait_ms,
                 char problem[64]) {
    struct native_answer answer;
    uint64_t answer_ms = NATIVE_TIMEOUT_MS + wait_ms;
    if (body == NULL) demo_fail("%s: the request could not be built", operation);
    native_call(client, operation, body, answer_ms, native_now_ms() + answer_ms + UNTIL_MS, &answer);
    if (answer.json == NULL || answer.status == 503 || answer.status == 504)
        demo_fail("%s: %s", operation, answer.error);
    snprintf(problem, 64, "%s", native_error_name(&answer));
    return answer.json;
}

json_t *demo_good(struct native_client *client, const char *operation, json_t *body) {
    char problem[64];
    json_t *json = demo_ask(client, operation, body, 0, problem);
    if (problem[0] != 0) demo_fail("%s: %s", operation, problem);
    return json;
}

// ---- services

struct actor actor_start(struct demo *demo, void (*run)(struct service *service), const char *name, const char *words,
                         unsigned stall) {
    struct actor actor = {.name = name};
    int ends[2];
    static size_t started;
    pid_t parent = getpid();
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        demo_fail("cannot start a service: %s", strerror(errno));
    fflush(stdout);
    actor.line = ends[0];
    actor.pid = fork();
    started++;
    if (actor.pid < 0) demo_fail("cannot start a service: %s", strerror(errno));
    if (actor.pid == 0) {
        struct service service = {name, words, stall, &demo->store, &demo->client, demo->folder, ends[1]};
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(1);
        close(ends[0]);
        atomic_store(&demo->client.at, started % DEMO_NODES); // each asks another node first
        run(&service);
        _exit(0);
    }
    close(ends[1]);
    return actor;
}

const char *actor_hear(struct actor *actor) {
    ssize_t n = recv(actor->line, actor->text, sizeof actor->text - 1, 0);
    if (n <= 0) demo_fail("service %s ended without a report", actor->name);
    actor->text[n] = 0;
    return actor->text;
}

void actor_stopped(const struct actor *actor) {
    int status;
    if (waitpid(actor->pid, &status, WUNTRACED) != actor->pid || !WIFSTOPPED(status))
        demo_fail("service %s did not come to the point where it stops", actor->name);
}

void actor_continue(const struct actor *actor) {
    kill(actor->pid, SIGCONT);
}

void actor_kill(struct actor *actor) {
    kill(actor->pid, SIGKILL);
    waitpid(actor->pid, NULL, 0);
    close(actor->line);
}

void actor_end(struct actor *actor) {
    int status;
    if (waitpid(actor->pid, &status, 0) != actor->pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        demo_fail("service %s failed", actor->name);
    close(actor->line);
}

void service_report(const struct service *service, const char *format, ...) {
    char text[DEMO_TEXT];
    va_list more;
    va_start(more, format);
    vsnprintf(text, sizeof text, format, more);
    va_end(more);
    if (send(service->line, text, strlen(text), MSG_NOSIGNAL) < 0) _exit(1);
}

void service_stall(const struct service *service, unsigned point) {
    if (service->stall == point) raise(SIGSTOP);
}
