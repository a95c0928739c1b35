// Servers of this binary as one cluster on this machine: what `parley dev` and `parley demo` share. They die with the
// process that started them, whatever happens to it.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define NODES_MAX 9u
#define NODES_PORTS_APART 10u // with a base port: node k has base + 10 * (k - 1), and the three behind

struct node_ports {
    unsigned zookeeper, http, peer, redis; // 0: no listener
};
struct nodes {
    struct node_ports ports[NODES_MAX];
    size_t count;
    const char *data; // folder of their data folders
    char **more;      // flags for every server
    size_t more_count;
    bool redis; // with listeners for Redis clients
};

void nodes_plan(struct nodes *nodes, unsigned base_port); // 0: default ports, those of further nodes 10000 apart
// Starts node `at`, with its output to this descriptor, in a process group of its own. -1: errno.
pid_t nodes_start(const struct nodes *nodes, size_t at, int output);
