// `parley bench`: which load generator.
#include "cli/bench.h"
#include "cli/commands.h"
#include "server/server.h"
#include <stdio.h>
#include <string.h>

int bench_main(int argc, char **argv) {
    if (argc >= 2 && strcmp(argv[1], "zookeeper") == 0) return bench_zookeeper_main(argc - 1, argv + 1);
    if (argc >= 2 && strcmp(argv[1], "locks") == 0) return bench_locks_main(argc - 1, argv + 1);
    bool asked = argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    fprintf(asked ? stdout : stderr,
            "usage: parley bench zookeeper [FLAGS]       a load generator that speaks "
            "ZooKeeper's protocol, also to a real ZooKeeper\n"
            "       parley bench locks [FLAGS] [URL...]  one lock, here and on other systems\n");
    return asked ? 0 : EXIT_USAGE;
}
