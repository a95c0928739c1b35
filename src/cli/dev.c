// `parley dev --nodes N`: N servers of this binary as one cluster on this machine. They die with this process, whatever
// happens to it.
#include "base/alloc.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/nodes.h"
#include "cli/options.h"
#include "server/server.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STOP_MS 25000 // an orderly end takes at most 20 s; then it is broken off
#define LINE_BYTES 8192

struct dev_node {
    pid_t pid;
    int output; // a pipe's end; -1: closed
    char line[LINE_BYTES];
    size_t len;
    bool ended;
};
struct dev {
    struct nodes plan;
    struct dev_node nodes[NODES_MAX];
    int code;
};

static bool start_node(struct dev *dev, size_t at) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return false;
    pid_t pid = nodes_start(&dev->plan, at, ends[1]);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return false;
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    dev->nodes[at].pid = pid;
    dev->nodes[at].output = ends[0];
    return true;
}

// ---- their output, line by line with the node in front
static void put_line(struct dev *dev, size_t at) {
    struct dev_node *node = &dev->nodes[at];
    if (node->len == 0) return;
    printf("node %zu | %.*s\n", at + 1, (int)node->len, node->line);
    node->len = 0;
}

static void read_output(struct dev *dev, size_t at) {
    struct dev_node *node = &dev->nodes[at];
    char bytes[4096];
    ssize_t n;
    while ((n = read(node->output, bytes, sizeof bytes)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (bytes[i] == '\n' || node->len == sizeof node->line) put_line(dev, at);
            if (bytes[i] != '\n') node->line[node->len++] = bytes[i];
        }
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    put_line(dev, at);
    close(node->output);
    node->output = -1;
}

static size_t reap(struct dev *dev, bool stopping) {
    size_t left = 0;
    for (size_t i = 0; i < dev->plan.count; i++) {
        struct dev_node *node = &dev->nodes[i];
        int status;
        if (!node->ended && node->pid > 0 && waitpid(node->pid, &status, WNOHANG) == node->pid) {
            node->ended = true;
            if (node->output >= 0) read_output(dev, i);
            int code = WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FATAL;
            if (code != 0 || !stopping) printf("node %zu | ended with exit code %d\n", i + 1, code);
            if (code != 0 && dev->code == 0) dev->code = code;
        }
        left += !node->ended && node->pid > 0;
    }
    return left;
}

static void signal_all(struct dev *dev, int signal) {
    for (size_t i = 0; i < dev->plan.count; i++)
        if (dev->nodes[i].pid > 0 && !dev->nodes[i].ended) kill(dev->nodes[i].pid, signal);
}

static long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// Until all have ended.
static void attend(struct dev *dev, int signals) {
    long long stop_ms = 0;
    while (reap(dev, stop_ms != 0) > 0) {
        struct pollfd fds[NODES_MAX + 1] = {{.fd = signals, .events = POLLIN}};
        for (size_t i = 0; i < dev->plan.count; i++)
            fds[i + 1] = (struct pollfd){.fd = dev->nodes[i].output, .events = POLLIN};
        poll(fds, (nfds_t)dev->plan.count + 1, 1000);
        for (size_t i = 0; i < dev->plan.count; i++)
            if (dev->nodes[i].output >= 0 && fds[i + 1].revents != 0) read_output(dev, i);
        struct signalfd_siginfo info;
        if (fds[0].revents != 0 && read(signals, &info, sizeof info) == sizeof info && info.ssi_signo != SIGCHLD) {
            if (stop_ms == 0) printf("stopping %zu nodes\n", dev->plan.count);
            signal_all(dev, stop_ms == 0 ? SIGTERM : SIGKILL); // a second Ctrl-C ends at once
            stop_ms = now_ms();
        }
        if (stop_ms != 0 && now_ms() - stop_ms > STOP_MS) signal_all(dev, SIGKILL);
    }
}

// The members' addresses stand in their data: another number of nodes, or other ports, would find nobody. DIR/cluster
// holds both.
static bool same_plan_as_before(const struct dev *dev, unsigned base) {
    char path[4200];
    unsigned nodes_before = 0, base_before = 0;
    snprintf(path, sizeof path, "%s/cluster", dev->plan.data);
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        bool read = fscanf(file, "nodes %u base-port %u", &nodes_before, &base_before) == 2;
        fclose(file);
        if (read && nodes_before == dev->plan.count && base_before == base) return true;
        char port[32] = "no --base-port";
        if (base_before != 0) snprintf(port, sizeof port, "--base-port %u", base_before);
        fprintf(stderr,
                "parley dev: %s holds a cluster of %u nodes with %s: go on with the same, or name another folder with "
                "--data\n",
                dev->plan.data, nodes_before, port);
        return false;
    }
    file = fopen(path, "we");
    bool written = file != NULL && fprintf(file, "nodes %zu base-port %u\n", dev->plan.count, base) > 0;
    if (file != NULL && fclose(file) != 0) written = false;
    if (!written) fprintf(stderr, "parley dev: cannot write %s: %s\n", path, strerror(errno));
    return written;
}

static void print_plan(const struct dev *dev) {
    printf("Parley: %zu nodes in %s; Ctrl-C stops them\n  connect string  ", dev->plan.count, dev->plan.data);
    for (size_t i = 0; i < dev->plan.count; i++)
        printf("%slocalhost:%u", i > 0 ? "," : "", dev->plan.ports[i].zookeeper);
    printf("\n  status          parley status --http localhost:%u\n  member list     parley member list --http "
           "localhost:%u\n",
           dev->plan.ports[0].http, dev->plan.ports[0].http);
    for (size_t i = 0; i < dev->plan.count; i++) {
        printf("  node %zu          zookeeper %u, http %u, peer %u", i + 1, dev->plan.ports[i].zookeeper,
               dev->plan.ports[i].http, dev->plan.ports[i].peer);
        if (dev->plan.ports[i].redis != 0) printf(", redis %u", dev->plan.ports[i].redis);
        printf("\n");
    }
}

static int run(struct dev *dev, unsigned base) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int signals = signalfd(-1, &set, SFD_CLOEXEC);
    if (signals < 0 || (mkdir(dev->plan.data, 0700) != 0 && errno != EEXIST)) {
        fprintf(stderr, "parley dev: cannot use --data %s: %s\n", dev->plan.data, strerror(errno));
        return EXIT_FATAL;
    }
    if (!same_plan_as_before(dev, base)) return EXIT_USAGE;
    print_plan(dev);
    for (size_t i = 0; i < dev->plan.count; i++) {
        if (start_node(dev, i)) continue;
        fprintf(stderr, "parley dev: cannot start node %zu: %s\n", i + 1, strerror(errno));
        dev->code = EXIT_FATAL;
        signal_all(dev, SIGTERM);
        break;
    }
    attend(dev, signals);
    close(signals);
    return dev->code;
}

int dev_main(int argc, char **argv) {
    const char *nodes = "3", *base = NULL, *data = "parley-dev";
    const struct option_row rows[] = {
        {"nodes", 'n', "N", "how many, 1 to 6 (9 with --base-port) [3]", &nodes, NULL},
        {"base-port", 0, "P", "node k uses P + 10*(k-1): zookeeper, then http, then peer", &base, NULL},
        {"data", 0, "DIR", "folder of their data folders [parley-dev]", &data, NULL}};
    const struct option_table table = {
        "dev",
        "parley dev [FLAGS] [-- SERVER-FLAGS]",
        "Runs a whole cluster on this machine, for trying out and for tests. Node k uses the default ports + "
        "10000*(k-1).\n"
        "Data stays in DIR, so the same command goes on with it. Flags behind -- are given to every server.",
        rows,
        3,
        0,
        0};
    char **arguments = mem_alloc((size_t)argc * sizeof *arguments);
    size_t count;
    int own = argc;
    for (int i = 1; i < argc && own == argc; i++)
        if (strcmp(argv[i], "--") == 0) own = i;
    struct dev *dev = mem_zalloc(sizeof *dev);
    unsigned long long n = 0, port = 0;
    int code = options_read(&table, own, argv, arguments, &count);
    if (code >= 0) {
    } else if (base != NULL && !options_number(base, 1024, 65535 - NODES_PORTS_APART * NODES_MAX, &port)) {
        code = options_wrong(&table, "--base-port: '%s' is no port: allowed are 1024 to %u", base,
                             65535 - NODES_PORTS_APART * NODES_MAX);
    } else if (!options_number(nodes, 1, base != NULL ? NODES_MAX : 6, &n)) {
        code = options_wrong(&table, "--nodes: '%s' is out of range: allowed are 1 to %u", nodes,
                             base != NULL ? NODES_MAX : 6u);
    } else {
        dev->plan.count = (size_t)n;
        dev->plan.data = data;
        dev->plan.more = own < argc ? argv + own + 1 : NULL;
        dev->plan.more_count = own < argc ? (size_t)(argc - own - 1) : 0;
        dev->plan.redis = true;
        for (size_t i = 0; i < dev->plan.more_count; i++)
            if (strncmp(dev->plan.more[i], "--redis", 7) == 0) dev->plan.redis = false; // the caller says which
        nodes_plan(&dev->plan, (unsigned)port);
        for (size_t i = 0; i < NODES_MAX; i++) dev->nodes[i].output = -1;
        code = run(dev, (unsigned)port);
    }
    mem_free(dev);
    mem_free(arguments);
    return code;
}
