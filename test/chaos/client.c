// The register workload through Debian's C client; workload.py has the same in Python. One thread and one session a
// client.
//
//   client HOSTS OUT FIRST_CLIENT CLIENTS BEGIN_US SECONDS RATE EPOCH_S KEYS
//
// Keys change every EPOCH_S seconds, counted from BEGIN_US (CLOCK_MONOTONIC), so that operations of unknown outcome
// burden the search for a linearization of few others. Writes one JSON line for each operation to OUT. Ends SECONDS
// after BEGIN_US.
#define THREADED
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

#define SESSION_MS 6000
#define NUMBERS_A_THREAD 1000 // sessions that one thread may use up

static struct {
    const char *hosts;
    FILE *out;
    long first, clients, begin_us, seconds, rate, epoch_s, keys;
} run;

struct client {
    zhandle_t *handle;
    long number, last_number, seq, writes;
    unsigned chance;
    atomic_int losses; // of the connection: a read behind a sync counts only on the same connection
};

struct operation {
    const char *op, *key, *value;
    long call, expect, version;
    int code;
    bool linearizable;
};

struct sync {
    sem_t done;
    int code;
};

static long now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void wait_until_us(long when) {
    struct timespec t = {.tv_sec = when / 1000000, .tv_nsec = when % 1000000 * 1000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0) {
    }
}

static const char *outcome(int code, const char **error) {
    *error = code == ZNONODE       ? "no_node"
             : code == ZNODEEXISTS ? "node_exists"
             : code == ZBADVERSION ? "bad_version"
                                   : NULL;
    return code == ZOK ? "ok" : *error ? "fail" : "unknown";
}

static void record(struct client *c, const struct operation *o) {
    char line[512], value[80] = "null", more[120] = "";
    const char *error, *result = outcome(o->code, &error);
    if (o->value) snprintf(value, sizeof(value), "\"%s\"", o->value);
    int n = o->expect >= 0 ? snprintf(more, sizeof(more), ",\"expect\":%ld", o->expect) : 0;
    if (o->code == ZOK && o->version >= 0)
        n += snprintf(more + n, sizeof(more) - (size_t)n, ",\"version\":%ld", o->version);
    if (error) n += snprintf(more + n, sizeof(more) - (size_t)n, ",\"error\":\"%s\"", error);
    if (!strcmp(o->op, "read"))
        snprintf(more + n, sizeof(more) - (size_t)n, ",\"consistency\":\"%s\"",
                 o->linearizable ? "linearizable" : "local");
    snprintf(line, sizeof(line),
             "{\"client\":%ld,\"seq\":%ld,\"op\":\"%s\",\"key\":\"%s\",\"call\":%ld,\"return\":%ld,\"outcome\":\"%s\","
             "\"value\":%s%s}\n",
             c->number, ++c->seq, o->op, o->key, o->call, now_us(), result, value, more);
    fputs(line, run.out); // stdio locks the stream: lines stay whole
}

static void on_event(zhandle_t *handle, int type, int state, const char *path, void *context) {
    struct client *c = context;
    if (type == ZOO_SESSION_EVENT && state != ZOO_CONNECTED_STATE) atomic_fetch_add(&c->losses, 1);
}

static void on_sync(int code, const char *value, const void *data) {
    struct sync *sync = (void *)(uintptr_t)data;
    sync->code = code;
    sem_post(&sync->done);
}

static bool over(void) {
    return now_us() >= run.begin_us + run.seconds * 1000000;
}

// A session of its own, under a number of its own. False: the time is over.
static bool open_session(struct client *c) {
    while (!over()) {
        if (!c->handle) {
            c->number = c->last_number++;
            c->handle = zookeeper_init(run.hosts, on_event, SESSION_MS, NULL, c, 0);
        }
        int state = c->handle ? zoo_state(c->handle) : 0;
        if (state == ZOO_CONNECTED_STATE) return true;
        if (c->handle && (state == ZOO_EXPIRED_SESSION_STATE || state == ZOO_AUTH_FAILED_STATE)) {
            zookeeper_close(c->handle);
            c->handle = NULL;
        }
        usleep(10000);
    }
    return false;
}

// A sync and a read behind it, sent together.
static int synced_read(struct client *c, struct operation *o, char *value, int room) {
    struct sync sync;
    struct Stat stat;
    char path[128];
    int losses = atomic_load(&c->losses);
    snprintf(path, sizeof(path), "/register/%s", o->key);
    sem_init(&sync.done, 0, 0);
    o->call = now_us();
    int code = zoo_async(c->handle, path, on_sync, &sync);
    if (code != ZOK) return code;
    o->code = zoo_get(c->handle, path, 0, value, &room, &stat);
    while (sem_wait(&sync.done) != 0) {
    }
    o->linearizable = sync.code == ZOK && losses == atomic_load(&c->losses);
    if (o->code == ZNONODE) { // a read of what does not exist is an answer
        o->code = ZOK;
        o->value = NULL;
    } else if (o->code == ZOK) {
        value[room > 0 ? room : 0] = 0;
        o->value = value;
        o->version = stat.version;
    }
    record(c, o);
    return o->code;
}

static void change(struct client *c, struct operation *o, const char *value, long expect) {
    struct Stat stat;
    char path[128];
    snprintf(path, sizeof(path), "/register/%s", o->key);
    o->op = expect >= 0 ? "cas" : "write";
    o->value = value;
    o->expect = expect;
    o->call = now_us();
    o->code = zoo_set2(c->handle, path, value, (int)strlen(value), (int)expect, &stat);
    if (o->code == ZOK) o->version = stat.version;
    record(c, o);
    if (o->code != ZNONODE) return;
    o->op = "create";
    o->version = -1;
    o->expect = -1;
    o->call = now_us();
    o->code = zoo_create(c->handle, path, value, (int)strlen(value), &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
    if (o->code == ZOK) o->version = 0;
    record(c, o);
}

static void step(struct client *c) {
    char key[40], read[128], value[64];
    long epoch = (now_us() - run.begin_us) / 1000000 / run.epoch_s;
    snprintf(key, sizeof(key), "e%ldk%ld", epoch, rand_r(&c->chance) % run.keys);
    snprintf(value, sizeof(value), "c%ld-%ld", c->number, ++c->writes);
    struct operation o = {.op = "read", .key = key, .expect = -1, .version = -1};
    int kind = rand_r(&c->chance) % 4;
    if (kind < 3 && synced_read(c, &o, read, sizeof(read) - 1) != ZOK) return;
    if (kind < 2) return;
    long seen = o.version;
    o = (struct operation){.key = key, .version = -1};
    change(c, &o, value, kind == 2 ? seen : -1);
}

static void *client_main(void *argument) {
    struct client *c = argument;
    long next = run.begin_us + rand_r(&c->chance) % (1000000 / run.rate);
    while (open_session(c)) {
        wait_until_us(next);
        next += 1000000 / run.rate;
        if (next < now_us()) next = now_us();
        if (open_session(c)) step(c);
    }
    if (c->handle) zookeeper_close(c->handle);
    return NULL;
}

int main(int argc, char **argv) {
    long *numbers[] = {&run.first, &run.clients, &run.begin_us, &run.seconds, &run.rate, &run.epoch_s, &run.keys};
    if (argc != 10 || !(run.out = fopen(argv[2], "a"))) {
        fprintf(stderr, "usage: client HOSTS OUT FIRST_CLIENT CLIENTS BEGIN_US SECONDS RATE EPOCH_S KEYS\n");
        return 2;
    }
    run.hosts = argv[1];
    for (int i = 0; i < 7; i++) *numbers[i] = atol(argv[3 + i]);
    zoo_set_debug_level(0);
    pthread_t *threads = calloc((size_t)run.clients, sizeof(*threads));
    struct client *clients = calloc((size_t)run.clients, sizeof(*clients));
    for (long i = 0; i < run.clients; i++) {
        clients[i].last_number = run.first + i * NUMBERS_A_THREAD;
        clients[i].chance = (unsigned)(now_us() + i * 7919);
        if (pthread_create(&threads[i], NULL, client_main, &clients[i]) != 0) return 1;
    }
    for (long i = 0; i < run.clients; i++) pthread_join(threads[i], NULL);
    return fclose(run.out) == 0 ? 0 : 1;
}
