#include "cli/nodes.h"
#include "base/alloc.h"
#include "server/server.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define DEFAULT_PORTS_APART 10000u

void nodes_plan(struct nodes *nodes, unsigned base_port) {
    for (size_t i = 0; i < nodes->count; i++) {
        struct node_ports *ports = &nodes->ports[i];
        unsigned apart = (unsigned)i * (base_port != 0 ? NODES_PORTS_APART : DEFAULT_PORTS_APART);
        ports->zookeeper = (base_port != 0 ? base_port : 2181) + apart;
        ports->http = (base_port != 0 ? base_port + 1 : 7450) + apart;
        ports->peer = (base_port != 0 ? base_port + 2 : 7451) + apart;
        if (nodes->redis) ports->redis = (base_port != 0 ? base_port + 3 : 6379) + apart;
    }
}

static char *cluster_text(const struct nodes *nodes) {
    char text[64 * NODES_MAX] = "";
    size_t len = 0;
    for (size_t i = 0; i < nodes->count; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%zu=localhost:%u", i > 0 ? "," : "", i + 1,
                                nodes->ports[i].peer);
    return mem_strdup(text);
}

// In the child. Its own process group: Ctrl-C reaches who started it only, which then ends the nodes in order.
static void become_server(const struct nodes *nodes, size_t at, int output, pid_t parent) {
    const struct node_ports *ports = &nodes->ports[at];
    char id[16], zookeeper[32], http[32], peer[32], redis[32] = "off", data[4096];
    sigset_t none;
    prctl(PR_SET_PDEATHSIG, SIGKILL); // the journal makes that safe
    if (getppid() != parent) _exit(EXIT_FATAL);
    setpgid(0, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    int nothing = open("/dev/null", O_RDONLY);
    if (nothing >= 0) dup2(nothing, STDIN_FILENO);
    snprintf(id, sizeof id, "%zu", at + 1);
    snprintf(zookeeper, sizeof zookeeper, "localhost:%u", ports->zookeeper);
    snprintf(http, sizeof http, "localhost:%u", ports->http);
    snprintf(peer, sizeof peer, "localhost:%u", ports->peer);
    if (ports->redis != 0) snprintf(redis, sizeof redis, "localhost:%u", ports->redis);
    snprintf(data, sizeof data, "%s/node-%zu", nodes->data, at + 1);
    const char *fixed[] = {"parley",      "server",  "--id",   id,   "--data", data, "--cluster", cluster_text(nodes),
                           "--zookeeper", zookeeper, "--http", http, "--peer", peer, "--redis",   redis};
    size_t count = sizeof fixed / sizeof fixed[0] - (ports->redis != 0 ? 0 : 2);
    char **arguments = mem_alloc((count + nodes->more_count + 1) * sizeof *arguments);
    for (size_t i = 0; i < count; i++) arguments[i] = (char *)(uintptr_t)fixed[i];
    for (size_t i = 0; i < nodes->more_count; i++) arguments[count + i] = nodes->more[i];
    arguments[count + nodes->more_count] = NULL;
    execv("/proc/self/exe", arguments);
    fprintf(stderr, "cannot start: %s\n", strerror(errno));
    _exit(EXIT_FATAL);
}

pid_t nodes_start(const struct nodes *nodes, size_t at, int output) {
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) become_server(nodes, at, output, parent);
    return pid;
}
