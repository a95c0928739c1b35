// Which command is meant; --help and version.
#include "cli/commands.h"
#include "base/assert.h"
#include "base/version.h"
#include "server/config.h"
#include "server/server.h"
#include <stdio.h>
#include <string.h>

const struct command_row commands[] = {
#define X(name, about) {#name, about, name##_main},
    COMMANDS(X)
#undef X
};
const int command_count = sizeof commands / sizeof commands[0];

static void print_help(FILE *to) {
    fprintf(to,
            "Parley %s: one server for coordination, with ZooKeeper's protocol\n\nusage: parley COMMAND [FLAGS]\n\n",
            PARLEY_VERSION);
    for (int i = 0; i < command_count; i++) fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].about);
    fprintf(
        to,
        "\n`parley server` alone starts a node in ./parley-data; `parley COMMAND --help` says more about a command.\n");
}

int version_main(int argc, char **argv) {
    printf("parley %s\n", PARLEY_VERSION);
    return 0;
}

int commands_main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0); // what is printed is seen at once, also through a pipe
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        print_help(stdout);
        return 0;
    }
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) return version_main(0, NULL);
    const char *names[64];
    ENSURE(command_count <= (int)(sizeof names / sizeof names[0]));
    for (int i = 0; i < command_count; i++) {
        if (strcmp(commands[i].name, word) == 0) return commands[i].main(argc - 1, argv + 1);
        names[i] = commands[i].name;
    }
    const char *near = config_nearest(word, names, (size_t)command_count);
    if (near != NULL)
        fprintf(stderr, "parley: '%s' is no command; did you mean %s?\n", word, near);
    else
        fprintf(stderr, "parley: '%s' is no command; `parley --help` lists them\n", word);
    return EXIT_USAGE;
}
