// `parley demo`: the list, and each demo in a process of its own, with a time limit and a folder that is removed.
#include "cli/demo.h"
#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "server/server.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEMO_MS_MAX 120000u // ten times what the longest takes
#define BURY_MS 5000u
#define PORT_FIRST 12000u // below those that the kernel gives to outgoing connections
#define PORT_LAST 32000u
#define RESULT_BYTES_MAX 65536u

static const struct demo_row *const demos[] = {&demo_payment, &demo_order,  &demo_lock,  &demo_stock,
                                               &demo_limit,   &demo_result, &demo_ids,   &demo_consumer,
                                               &demo_session, &demo_config, &demo_naming};
#define DEMO_COUNT (sizeof demos / sizeof demos[0])

// ---- ports

static bool port_is_free(unsigned port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); // as the servers do: what has just ended is no hindrance
    bool is_free = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0) close(fd);
    return is_free;
}

static bool ports_are_free(unsigned base) {
    for (unsigned k = 0; k < DEMO_NODES; k++)
        for (unsigned i = 0; i < 3; i++)
            if (!port_is_free(base + NODES_PORTS_APART * k + i)) return false;
    return true;
}

static unsigned free_ports(void) { // 0: there are none
    unsigned apart = NODES_PORTS_APART * DEMO_NODES, tries = (PORT_LAST - PORT_FIRST) / apart;
    for (unsigned i = 0; i < tries; i++) {
        unsigned base = PORT_FIRST + ((unsigned)getpid() + i) % tries * apart;
        if (ports_are_free(base)) return base;
    }
    return 0;
}

// ---- in the demo's own process

static bool is_ready(struct demo *demo, const void *context) {
    struct native_answer answer;
    for (size_t i = 0; i < DEMO_NODES; i++)
        if (waitpid(demo->pids[i], NULL, WNOHANG) != 0) demo_fail("node %zu ended: see its log", i + 1);
    // One session of one write: a leader is there, and a majority has it on disk.
    bool ready = native_call(&demo->client, "session/create", json_pack("{s:i}", "ttl_ms", 2000), NATIVE_TIMEOUT_MS,
                             native_now_ms(), &answer);
    native_answer_free(&answer);
    return ready;
}

static void start_cluster(struct demo *demo, unsigned base_port) {
    char servers[128], log[4200], error[512];
    demo->nodes = (struct nodes){.count = DEMO_NODES, .data = demo->folder};
    nodes_plan(&demo->nodes, base_port);
    snprintf(servers, sizeof servers, "localhost:%u,localhost:%u,localhost:%u", demo->nodes.ports[0].http,
             demo->nodes.ports[1].http, demo->nodes.ports[2].http);
    if (!native_client_init(&demo->client, servers, error)) demo_fail("%s", error);
    for (size_t i = 0; i < DEMO_NODES; i++) {
        snprintf(log, sizeof log, "%s/node-%zu.log", demo->folder, i + 1);
        int output = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        demo->pids[i] = output >= 0 ? nodes_start(&demo->nodes, i, output) : -1;
        if (demo->pids[i] < 0) demo_fail("cannot start node %zu: %s", i + 1, strerror(errno));
        close(output);
    }
}

static void print_facts(const struct demo *demo) {
    const char *name, *before = "";
    json_t *value;
    if (demo->quiet) return;
    printf("    => ");
    json_object_foreach(demo->facts, name, value) {
        printf("%s", before);
        for (const char *at = name; *at != 0; at++) putchar(*at == '_' ? ' ' : *at);
        printf(": %lld", (long long)json_integer_value(value));
        before = ", ";
    }
    printf("\n");
}

// One half of a demo, with a store of its own. Gives its facts.
static json_t *half(struct demo *demo, const char *heading, const char *how, const char *file,
                    bool (*run)(struct demo *demo), bool *as_told) {
    demo->facts = json_object();
    if (!demo->quiet) printf("  %s: %s\n", heading, how);
    store_start(demo, file);
    *as_told = run(demo);
    store_kill(demo);
    print_facts(demo);
    return demo->facts;
}

static _Noreturn void demo_process(const struct demo_row *row, const char *folder, unsigned base_port, bool quiet,
                                   int result) {
    struct demo *demo = mem_zalloc(sizeof *demo);
    bool failed = false, held = false;
    *demo = (struct demo){.row = row, .folder = folder, .quiet = quiet};
    if (!quiet) printf("%s: %s\n", row->name, row->about);
    start_cluster(demo, base_port); // it gets ready while the usual way fails
    json_t *usual = half(demo, "The usual way", row->usual, "usual.store", row->run_usual, &failed);
    demo_until(demo, "the cluster is ready", is_ready, NULL);
    json_t *ours = half(demo, "With Parley", row->ours, "ours.store", row->run_ours, &held);
    if (!quiet) printf("  In a shell: %s\n", row->command);
    json_t *all = json_pack("{s:s,s:o,s:o,s:b,s:b}", "demo", row->name, "usual", usual, "ours", ours, "usual_failed",
                            failed, "ours_held", held);
    char *text = json_dumps(all, JSON_COMPACT);
    size_t len = strlen(text);
    _exit(write(result, text, len) == (ssize_t)len && failed && held ? 0 : EXIT_FATAL);
}

// ---- around it

static volatile sig_atomic_t interrupted;
static sigset_t unblocked; // the signals that this command was started with
static void on_signal(int signal) {
    interrupted = signal;
}

static void take_signals(void (*handler)(int signal), int how) {
    const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = handler};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        sigaction(signals[i], &action, NULL);
        sigaddset(&set, signals[i]);
    }
    sigprocmask(how, &set, how == SIG_BLOCK ? &unblocked : NULL);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at) {
    return remove(path);
}

// What the process wrote before it ended; its time is bounded. NULL: nothing that is whole.
static json_t *result_of(int pipe, pid_t pid) {
    char *text = mem_alloc(RESULT_BYTES_MAX);
    size_t len = 0;
    uint64_t until_ms = native_now_ms() + DEMO_MS_MAX;
    for (;;) {
        uint64_t now_ms = native_now_ms();
        uint64_t left_ms = now_ms < until_ms && !interrupted ? until_ms - now_ms : 0;
        struct timespec left = {.tv_sec = (time_t)(left_ms / 1000), .tv_nsec = (long)(left_ms % 1000 * 1000000)};
        struct pollfd fd = {.fd = pipe, .events = POLLIN};
        int ready = ppoll(&fd, 1, &left, &unblocked); // signals come here and nowhere else
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) {
            if (!interrupted) fprintf(stderr, "parley demo: not done after %u s\n", DEMO_MS_MAX / 1000);
            kill(pid, SIGKILL);
            break;
        }
        ssize_t n = read(pipe, text + len, RESULT_BYTES_MAX - len);
        if (n <= 0) break;
        len += (size_t)n;
    }
    json_t *json = json_loadb(text, len, 0, NULL);
    mem_free(text);
    return json;
}

// All that a demo started dies with it, and comes here: then its folder is not used any more. (A child that this
// process had before it became this command may live on.)
static void bury_all(void) {
    uint64_t until_ms = native_now_ms() + BURY_MS;
    struct timespec pause = {.tv_nsec = 1000000};
    for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) >= 0;) {
        if (pid > 0) continue;
        if (native_now_ms() >= until_ms) break;
        nanosleep(&pause, NULL);
    }
}

static const char *verdict(const json_t *json) {
    if (json == NULL) return "it did not come to its end";
    if (!json_is_true(json_object_get(json, "usual_failed"))) return "the usual way did not fail as told";
    if (!json_is_true(json_object_get(json, "ours_held"))) return "Parley did not hold";
    return "the usual way failed as told, Parley held";
}

// true: the usual way failed as told, and ours held.
static bool run_demo(const struct demo_row *row, unsigned base_port, bool raw) {
    const char *temporary = getenv("TMPDIR");
    char folder[4096];
    int ends[2];
    uint64_t began_ms = native_now_ms();
    snprintf(folder, sizeof folder, "%s/parley-demo.XXXXXX", temporary != NULL ? temporary : "/tmp");
    if (base_port == 0) base_port = free_ports();
    if (base_port == 0 || mkdtemp(folder) == NULL || pipe2(ends, O_CLOEXEC) != 0) {
        fprintf(stderr, "parley demo: no folder (%s) or no free ports: %s\n", folder, strerror(errno));
        return false;
    }
    fflush(stdout);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(EXIT_FATAL);
        take_signals(SIG_DFL, SIG_UNBLOCK);
        demo_process(row, folder, base_port, raw, ends[1]);
    }
    close(ends[1]);
    json_t *json = pid > 0 ? result_of(ends[0], pid) : NULL;
    close(ends[0]);
    bury_all();
    bool good = json_is_true(json_object_get(json, "usual_failed")) && json_is_true(json_object_get(json, "ours_held"));
    unsigned long long took_ms = (unsigned long long)(native_now_ms() - began_ms);
    if (raw) {
        if (json == NULL) json = json_pack("{s:s,s:b,s:b}", "demo", row->name, "usual_failed", 0, "ours_held", 0);
        json_object_set_new(json, "took_ms", json_integer((json_int_t)took_ms));
        json_dumpf(json, stdout, JSON_COMPACT);
        printf("\n");
    } else {
        printf("%s: %s (%llu.%llu s)\n\n", good ? "ok" : "FAILED", verdict(json), took_ms / 1000, took_ms % 1000 / 100);
    }
    json_decref(json);
    if (good || interrupted)
        nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    else
        fprintf(stderr, "parley demo: logs and data are left in %s\n", folder);
    return good;
}

static void list(bool raw) {
    json_t *all = json_array();
    for (size_t i = 0; i < DEMO_COUNT; i++) {
        json_array_append_new(all, json_pack("{s:s,s:s,s:s}", "demo", demos[i]->name, "about", demos[i]->about,
                                             "command", demos[i]->command));
        if (!raw) printf("  %-10s %s\n", demos[i]->name, demos[i]->about);
    }
    if (!raw) printf("\n`parley demo NAME` runs one, `parley demo all` all of them; docs/patterns.md says more\n");
    if (raw) native_print(json_incref(all));
    json_decref(all);
}

static int run_all(unsigned base_port, bool raw) {
    size_t passed = 0, run = 0;
    for (; run < DEMO_COUNT && !interrupted; run++) passed += run_demo(demos[run], base_port, raw);
    if (!raw) printf("%zu passed, %zu failed, %zu skipped\n", passed, run - passed, DEMO_COUNT - run);
    return passed == DEMO_COUNT ? 0 : EXIT_FATAL;
}

static int dispatch(const struct option_table *table, const char *name, unsigned base_port, bool raw) {
    take_signals(on_signal, SIG_BLOCK);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (strcmp(name, "all") == 0) return run_all(base_port, raw);
    for (size_t i = 0; i < DEMO_COUNT; i++)
        if (strcmp(demos[i]->name, name) == 0) return run_demo(demos[i], base_port, raw) ? 0 : EXIT_FATAL;
    return options_wrong(table, "'%s' is no demo; `parley demo` lists them", name);
}

int demo_main(int argc, char **argv) {
    const char *base = NULL;
    bool raw = false;
    const struct option_row rows[] = {
        {"base-port", 0, "P", "node k uses P + 10*(k-1), and the two behind [free ones]", &base, NULL},
        {"json", 0, NULL, "facts alone, a line of JSON for each demo", NULL, &raw}};
    const struct option_table table = {
        "demo",
        "parley demo [NAME | all] [FLAGS]",
        "Shows how something usually goes wrong, and how it holds with Parley: real processes that are stopped and\n"
        "killed, a cluster of three nodes of which the leader is killed, in a folder that is removed afterwards.\n"
        "Without NAME it lists them. Exit code 0 when the usual way failed as told and Parley held.",
        rows,
        sizeof rows / sizeof rows[0],
        0,
        1};
    char **arguments = mem_alloc((size_t)argc * sizeof *arguments);
    size_t count;
    unsigned long long port = 0;
    int code = options_read(&table, argc, argv, arguments, &count);
    if (code < 0 && base != NULL && !options_number(base, 1024, 65535 - NODES_PORTS_APART * DEMO_NODES, &port))
        code = options_wrong(&table, "--base-port: '%s' is no port that leaves room for the others", base);
    if (code < 0 && count == 0) {
        list(raw);
        code = 0;
    }
    if (code < 0) code = dispatch(&table, arguments[0], (unsigned)port, raw);
    mem_free(arguments);
    return code;
}
