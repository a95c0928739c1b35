// Flags of the small commands: a table row each, `--name value` or `--name=value`, and what is no flag is an argument.
// (The server has settings of its own: server/config.h.)
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct option_row {
    const char *name;     // without dashes
    char letter;          // "-s" too; 0: none
    const char *argument; // "FILE"; NULL: a switch
    const char *help;
    const char **text; // of a row with an argument: where its value goes
    bool *on;          // of a switch
};
struct option_table {
    const char *command; // "status", for messages
    const char *usage;   // "parley status [FLAGS]"
    const char *about;   // what it does, in whole sentences
    const struct option_row *rows;
    size_t count;
    size_t arguments_min, arguments_max;
};
// Reads argv[1..]; arguments that are no flags are moved to arguments[] (room for argc). -1: go on; else the exit code:
// 0 after --help, 2 after a mistake, which was printed. `--` ends the flags.
int options_read(const struct option_table *table, int argc, char **argv, char **arguments, size_t *argument_count);
// A command to run stands behind `--`: gives it, and ends argv before it. NULL: there is none.
char **options_command(int *argc, char **argv);
// Prints "parley COMMAND: ..." and gives EXIT_USAGE.
int options_wrong(const struct option_table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
// A whole number within bounds. false: text is none.
bool options_number(const char *text, unsigned long long low, unsigned long long high, unsigned long long *out);
// The same of a flag that may not be given (text NULL): *out stays then.
bool options_u64(const char *text, unsigned long long low, unsigned long long high, uint64_t *out);
