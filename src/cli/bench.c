// `parley bench`: which load generator.
#include "cli/bench.h"
#include "cli/commands.h"
#include "server/server.h"
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *about;
    int (*main)(int argc, char **argv);
} generators[] = {
    {"zookeeper", "speaks ZooKeeper's protocol, also to a real ZooKeeper", bench_zookeeper_main},
    {"locks", "one lock, here and on other systems: locks [FLAGS] [URL...]", bench_locks_main},
    {"native", "native operations over pipelined HTTP/1.1", bench_native_main},
};

int bench_main(int argc, char **argv) {
    for (size_t i = 0; argc >= 2 && i < sizeof generators / sizeof generators[0]; i++)
        if (strcmp(argv[1], generators[i].name) == 0) return generators[i].main(argc - 1, argv + 1);
    bool asked = argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    fprintf(asked ? stdout : stderr, "usage: parley bench GENERATOR [FLAGS]\n");
    for (size_t i = 0; i < sizeof generators / sizeof generators[0]; i++)
        fprintf(asked ? stdout : stderr, "  %-10s %s\n", generators[i].name, generators[i].about);
    return asked ? 0 : EXIT_USAGE;
}
