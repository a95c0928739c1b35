// `parley elect NAME --on-leader CMD --on-follower CMD`: in line for the lead for ever.
//
//   main      campaigns; when elected runs --on-leader and holds the lead until it is lost or a signal comes; then runs
//             --on-follower, and only then gives up the session (and with it what is left of the lead)
//   observer  runs --on-follower whenever another leads
//
// Both run their commands under one mutex, so the two never overlap: an address that is taken down is not put up by a
// command that is late.
#include "base/alloc.h"
#include "cli/elect.h"
#include "server/server.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RETRY_MS 1000u

struct service {
    struct native_client *client;
    const struct lock_options *options;
    const char *on_follower;
    char self[256];
    pthread_mutex_t mutex; // of all below, and held while --on-follower runs
    bool leading;
    struct elect_leader leader; // the newest that was observed
};

static void say(const struct service *service, const char *event, const struct elect_leader *leader) {
    const struct lock_options *o = service->options;
    if (!o->json) {
        fprintf(stderr, "%s: %s %s%s%s\n", o->who, event, o->name, leader->elected ? ", led by " : "",
                leader->candidate);
        return;
    }
    json_t *json = json_object();
    json_object_set_new(json, "event", json_string(event));
    json_object_set_new(json, "name", json_string(o->name));
    json_object_set_new(json, "leader", json_string(leader->candidate));
    json_object_set_new(json, "value", json_string(leader->value));
    json_object_set_new(json, "token", json_integer(leader->token));
    char *line = json_dumps(json, JSON_COMPACT);
    fprintf(stderr, "%s\n", line);
    free(line);
    json_decref(json);
}

static void set_environment(const struct service *service, const struct elect_leader *leader) {
    char token[32] = "";
    if (leader->elected) snprintf(token, sizeof token, "%lld", leader->token);
    setenv("PARLEY_ELECTION", service->options->name, 1);
    setenv("PARLEY_TOKEN", token, 1);
    setenv("PARLEY_LEADER", leader->candidate, 1);
    setenv("PARLEY_VALUE", leader->value, 1);
}

// Under the mutex.
static void follow(struct service *service, const struct elect_leader *leader) {
    say(service, "follows", leader);
    if (service->on_follower == NULL) return;
    set_environment(service, leader);
    pid_t child = fork();
    if (child == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL); // the observer's thread gets no signals
        execl("/bin/sh", "sh", "-c", service->on_follower, (char *)NULL);
        _exit(HELD_EXIT_CANNOT_RUN);
    }
    int status = 0;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (child < 0 || status != 0)
        fprintf(stderr, "%s: --on-follower failed: %s %d\n", service->options->who,
                child < 0             ? strerror(errno)
                : WIFSIGNALED(status) ? "signal"
                                      : "exit code",
                child < 0             ? errno
                : WIFSIGNALED(status) ? WTERMSIG(status)
                                      : WEXITSTATUS(status));
}

static bool another_leads(const struct service *service) {
    return service->leader.elected && strcmp(service->leader.candidate, service->self) != 0;
}

static void *observe(void *context) {
    struct service *service = context;
    struct elect_leader leader;
    long long seen = -1;
    for (char error[512];;) {
        if (!elect_observe(service->client, service->options->name, seen, &leader, error)) {
            struct timespec pause = {.tv_sec = RETRY_MS / 1000};
            nanosleep(&pause, NULL);
            continue;
        }
        if (leader.version == seen) continue;
        seen = leader.version;
        pthread_mutex_lock(&service->mutex);
        service->leader = leader;
        if (!service->leading && another_leads(service)) follow(service, &leader);
        pthread_mutex_unlock(&service->mutex);
    }
    return NULL;
}

static void set_leading(struct service *service, bool leading) {
    static const struct elect_leader unknown;
    pthread_mutex_lock(&service->mutex); // behind a command that runs
    service->leading = leading;
    if (!leading) follow(service, another_leads(service) ? &service->leader : &unknown);
    pthread_mutex_unlock(&service->mutex);
}

// One term. false: it shall end, with this exit code.
static bool serve_term(struct service *service, int *code) {
    struct lock_claim *claim = lock_claim_new(service->client, service->options);
    uint64_t begin_ms = native_now_ms();
    bool got = lock_claim_get(claim), again = native_now_ms() - begin_ms >= service->options->wait_ms;
    *code = got ? 0 : LOCK_EXIT_NOT_GOT;
    if (got) {
        struct elect_leader self = {.elected = true, .token = (long long)claim->token};
        snprintf(self.candidate, sizeof self.candidate, "%s", claim->owner);
        claim->held.stays = true;
        set_leading(service, true);
        say(service, "leads", &self);
        int ended = lock_claim_hold(claim);
        if (ended != 0 && ended != HELD_EXIT_LOST)
            fprintf(stderr, "%s: --on-leader failed: exit code %d\n", service->options->who, ended);
        set_leading(service, false);
        again = claim->held.signal == 0;
        lock_claim_end(claim);
    }
    lock_claim_drop(claim);
    return again;
}

int elect_serve(struct native_client *client, const struct lock_options *given, const char *on_leader,
                const char *on_follower) {
    static struct service service; // the observer uses it to the end
    static struct lock_options options;
    static char *command[] = {"/bin/sh", "-c", NULL, NULL};
    command[2] = mem_alloc(strlen(on_leader != NULL ? on_leader : ":") + 1);
    strcpy(command[2], on_leader != NULL ? on_leader : ":");
    options = *given;
    options.command = command;
    service = (struct service){.client = client, .options = &options, .on_follower = on_follower};
    pthread_mutex_init(&service.mutex, NULL);
    struct lock_claim *name = lock_claim_new(client, &options);
    snprintf(service.self, sizeof service.self, "%s", name->owner);
    lock_claim_drop(name);
    set_leading(&service, false); // what an earlier run left behind is put away first
    pthread_t observer;
    if (!held_thread(&observer, observe, &service)) {
        fprintf(stderr, "%s: cannot start a thread: %s\n", options.who, strerror(errno));
        return EXIT_FATAL;
    }
    pthread_detach(observer);
    int code;
    while (serve_term(&service, &code)) {
    }
    return code;
}
