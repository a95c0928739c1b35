// `parley server`: settings, then the node.
#include "server/server.h"
#include "cli/commands.h"
#include "server/config.h"
#include <stdio.h>

static void print_help(void) {
    struct writer w;
    writer_init(&w);
    config_write_help(&w);
    printf(
        "usage: parley server [--NAME VALUE | --NAME=VALUE]...\n\n"
        "Runs one node until SIGTERM or SIGINT, which hand leadership over first. SIGHUP reads the TLS files again.\n"
        "Without flags: a cluster of one, for programs on this machine.\n\n%.*s\n"
        "Exit codes: 0 ended in order, 1 could not start or go on, 2 a bad setting, 3 damaged data.\n",
        (int)w.len, (const char *)w.data);
    writer_free(&w);
}

int server_main(int argc, char **argv) {
    struct config config;
    int code = EXIT_USAGE;
    switch (config_load(&config, argc - 1, argv + 1)) {
    case CONFIG_OK:
        code = server_run(&config);
        break;
    case CONFIG_HELP:
        print_help();
        code = 0;
        break;
    case CONFIG_BAD: {
        const char *errors = config_errors(&config);
        for (const char *at = errors; *at != 0;) { // one line each, with the program's name
            int len = 0;
            while (at[len] != '\n') len++;
            fprintf(stderr, "parley server: %.*s\n", len, at);
            at += len + 1;
        }
        break;
    }
    }
    config_free(&config);
    return code;
}
