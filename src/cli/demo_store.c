// A plain store as a process of its own, over a socket of packets: one command, one answer. What it acknowledges is in
// its file, unless it is told to write each second only.
#include "base/alloc.h"
#include "cli/demo.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONNECTIONS_MAX 64
#define WRITE_EACH_MS 1000u

struct connection {
    int fd;
    char channel[64]; // it has subscribed to
};
struct plain {
    json_t *values, *fences, *locks;
    int file;
    bool lazy;       // writes each second
    char *unwritten; // lines
    size_t unwritten_len;
    uint64_t write_at_ms; // 0: nothing is unwritten
    struct connection connections[CONNECTIONS_MAX];
    size_t count;
};
struct command {
    const char *key, *value;
    long long number; // token or time-out
    size_t from;      // connection
    char answer[DEMO_TEXT];
};

static void answer_number(struct command *c, long long number) {
    snprintf(c->answer, sizeof c->answer, "ok %lld", number);
}
static json_t *list_of(struct plain *p, const char *key) {
    json_t *list = json_object_get(p->values, key);
    if (json_is_array(list)) return list;
    list = json_array();
    json_object_set_new(p->values, key, list);
    return list;
}

static void run_get(struct plain *p, struct command *c) {
    snprintf(c->answer, sizeof c->answer, "ok %s", native_text(p->values, c->key));
}
static void run_set(struct plain *p, struct command *c) {
    json_object_set_new(p->values, c->key, json_string(c->value));
}
static void run_increment(struct plain *p, struct command *c) {
    char text[32];
    long long number = atoll(native_text(p->values, c->key)) + 1;
    snprintf(text, sizeof text, "%lld", number);
    json_object_set_new(p->values, c->key, json_string(text));
    answer_number(c, number);
}
static void run_push(struct plain *p, struct command *c) {
    json_array_append_new(list_of(p, c->key), json_string(c->value));
}
static void run_pop(struct plain *p, struct command *c) {
    json_t *list = list_of(p, c->key);
    const char *first = json_string_value(json_array_get(list, 0));
    snprintf(c->answer, sizeof c->answer, "ok %s", first != NULL ? first : "");
    json_array_remove(list, 0);
}
static void run_length(struct plain *p, struct command *c) {
    answer_number(c, (long long)json_array_size(list_of(p, c->key)));
}
static void run_all(struct plain *p, struct command *c) {
    size_t i, len = (size_t)snprintf(c->answer, sizeof c->answer, "ok");
    json_t *value;
    json_array_foreach(list_of(p, c->key), i, value) {
        if (len < sizeof c->answer - 1)
            len += (size_t)snprintf(c->answer + len, sizeof c->answer - len, " %s", json_string_value(value));
    }
}
// "set if absent, with a time-out": the lock that such stores offer.
static void run_lock(struct plain *p, struct command *c) {
    json_t *lock = json_object_get(p->locks, c->key);
    if (lock != NULL && (uint64_t)native_number(lock, "until_ms") > native_now_ms()) {
        snprintf(c->answer, sizeof c->answer, "busy");
        return;
    }
    json_int_t until_ms = (json_int_t)native_now_ms() + c->number;
    json_object_set_new(p->locks, c->key, json_pack("{s:s,s:I}", "owner", c->value, "until_ms", until_ms));
}
static void run_unlock(struct plain *p, struct command *c) {
    if (strcmp(native_text(json_object_get(p->locks, c->key), "owner"), c->value) == 0)
        json_object_del(p->locks, c->key);
}
static void run_publish(struct plain *p, struct command *c) {
    long long heard = 0;
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->connections[i].channel, c->key) == 0 &&
            send(p->connections[i].fd, c->value, strlen(c->value), MSG_NOSIGNAL) >= 0)
            heard++;
    answer_number(c, heard);
}
static void run_subscribe(struct plain *p, struct command *c) {
    snprintf(p->connections[c->from].channel, sizeof p->connections[0].channel, "%s", c->key);
}
static void run_lazy(struct plain *p, struct command *c) {
    p->lazy = true;
}

static const struct {
    const char *name;
    bool writes; // stands in the file
    bool fenced; // the number is a token
    void (*run)(struct plain *plain, struct command *command);
} operations[] = {{"get", true, true, run_get},
                  {"set", true, true, run_set},
                  {"increment", true, true, run_increment},
                  {"push", true, true, run_push},
                  {"pop", true, true, run_pop},
                  {"length", true, true, run_length},
                  {"all", false, false, run_all},
                  {"lock", false, false, run_lock},
                  {"unlock", false, false, run_unlock},
                  {"publish", false, false, run_publish},
                  {"subscribe", false, false, run_subscribe},
                  {"lazy", false, false, run_lazy}};

static void write_out(struct plain *p) {
    for (size_t at = 0; at < p->unwritten_len;) {
        ssize_t n = write(p->file, p->unwritten + at, p->unwritten_len - at);
        if (n < 0) _exit(1);
        at += (size_t)n;
    }
    p->unwritten_len = 0;
    p->write_at_ms = 0;
}

static void note(struct plain *p, const char *line) {
    size_t len = strlen(line);
    p->unwritten = mem_realloc(p->unwritten, p->unwritten_len + len + 1);
    memcpy(p->unwritten + p->unwritten_len, line, len);
    p->unwritten[p->unwritten_len + len] = '\n';
    p->unwritten_len += len + 1;
    if (!p->lazy)
        write_out(p);
    else if (p->write_at_ms == 0)
        p->write_at_ms = native_now_ms() + WRITE_EACH_MS;
}

// A token that is older than one that this key has seen is refused.
static bool passes_fence(struct plain *p, struct command *c) {
    long long newest = native_number(p->fences, c->key);
    if (c->number == 0) return true;
    if (c->number < newest) {
        snprintf(c->answer, sizeof c->answer, "refused %lld", newest);
        return false;
    }
    json_object_set_new(p->fences, c->key, json_integer(c->number));
    return true;
}

static void run_line(struct plain *p, const char *line, struct command *c, bool replayed) {
    char name[16] = "", key[64] = "", value[256] = "";
    sscanf(line, "%15s %63s %lld %255[^\n]", name, key, &c->number, value);
    c->key = key;
    c->value = value;
    snprintf(c->answer, sizeof c->answer, "ok");
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        if (strcmp(operations[i].name, name) != 0) continue;
        if (operations[i].fenced && !passes_fence(p, c)) return;
        operations[i].run(p, c);
        if (operations[i].writes && !replayed) note(p, line);
    }
}

static void replay(struct plain *p, const char *path) {
    char line[DEMO_TEXT];
    struct command c = {0};
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) run_line(p, line, &c, true);
    if (file != NULL) fclose(file);
}

static void take_command(struct plain *p, size_t at) {
    char line[DEMO_TEXT];
    struct command c = {.from = at};
    ssize_t n = recv(p->connections[at].fd, line, sizeof line - 1, 0);
    if (n <= 0) {
        close(p->connections[at].fd);
        p->connections[at] = p->connections[--p->count];
        return;
    }
    line[n] = 0;
    run_line(p, line, &c, false);
    (void)!send(p->connections[at].fd, c.answer, strlen(c.answer), MSG_NOSIGNAL);
}

static _Noreturn void serve(const char *path, int listener) {
    struct plain *p = mem_zalloc(sizeof *p);
    p->values = json_object();
    p->fences = json_object();
    p->locks = json_object();
    replay(p, path);
    p->file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (p->file < 0) _exit(1);
    for (;;) {
        struct pollfd fds[CONNECTIONS_MAX + 1] = {{.fd = p->count < CONNECTIONS_MAX ? listener : -1, .events = POLLIN}};
        uint64_t now_ms = native_now_ms();
        if (p->write_at_ms != 0 && p->write_at_ms <= now_ms) write_out(p);
        for (size_t i = 0; i < p->count; i++)
            fds[i + 1] = (struct pollfd){.fd = p->connections[i].fd, .events = POLLIN};
        poll(fds, (nfds_t)p->count + 1, p->write_at_ms != 0 ? (int)(p->write_at_ms - now_ms) : -1);
        for (size_t i = p->count; i-- > 0;)
            if (fds[i + 1].revents != 0) take_command(p, i);
        if (fds[0].revents == 0) continue;
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0) p->connections[p->count++] = (struct connection){.fd = fd};
    }
}

// ---- as its users see it

void store_start(struct demo *demo, const char *name) {
    struct store *store = &demo->store;
    struct sockaddr_un any = {.sun_family = AF_UNIX};
    pid_t parent = getpid();
    snprintf(store->path, sizeof store->path, "%s/%s", demo->folder, name);
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    store->address_len = sizeof store->address;
    // A name that the kernel chooses: no path, which might be too long.
    if (listener < 0 || bind(listener, (struct sockaddr *)&any, sizeof any.sun_family) != 0 ||
        listen(listener, CONNECTIONS_MAX) != 0 ||
        getsockname(listener, (struct sockaddr *)&store->address, &store->address_len) != 0)
        demo_fail("cannot make the store's socket: %s", strerror(errno));
    store->pid = fork();
    if (store->pid < 0) demo_fail("cannot start the store: %s", strerror(errno));
    if (store->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(1);
        serve(store->path, listener);
    }
    close(listener);
}

void store_kill(struct demo *demo) {
    if (demo->store.pid == 0) return;
    kill(demo->store.pid, SIGKILL);
    waitpid(demo->store.pid, NULL, 0);
    demo->store.pid = 0;
}

static int store_connect(const struct store *store) {
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&store->address, store->address_len) != 0)
        demo_fail("cannot reach the store: %s", strerror(errno));
    return fd;
}

static void exchange(int fd, const char *line, char answer[DEMO_TEXT]) {
    ssize_t n = -1;
    if (send(fd, line, strlen(line), MSG_NOSIGNAL) >= 0) n = recv(fd, answer, DEMO_TEXT - 1, 0);
    if (n <= 0) demo_fail("the store does not answer: %s", n == 0 ? "it has ended" : strerror(errno));
    answer[n] = 0;
}

bool store_ask(const struct store *store, char answer[DEMO_TEXT], const char *operation, const char *key,
               unsigned long long token, const char *value) {
    char line[DEMO_TEXT];
    int fd = store_connect(store);
    snprintf(line, sizeof line, "%s %s %llu %s", operation, key, token, value);
    exchange(fd, line, answer);
    close(fd);
    if (strncmp(answer, "ok", 2) != 0) return false;
    size_t text = answer[2] == ' ' ? 3 : 2;
    memmove(answer, answer + text, strlen(answer + text) + 1);
    return true;
}

long long store_number(const struct store *store, const char *operation, const char *key) {
    char answer[DEMO_TEXT];
    store_ask(store, answer, operation, key, 0, "");
    return atoll(answer);
}

int store_subscribe(const struct store *store, const char *key) {
    char line[DEMO_TEXT], answer[DEMO_TEXT];
    int fd = store_connect(store);
    snprintf(line, sizeof line, "subscribe %s 0", key);
    exchange(fd, line, answer);
    return fd;
}
