// `parley generate WHAT`: docs/settings.md, docs/native.md, docs/openapi.json, docs/redis-commands.md,
// packaging/parley.bash-completion, packaging/_parley, packaging/parley.1.
#include "cli/generate.h"
#include "base/alloc.h"
#include "base/version.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "server/config.h"
#include "server/server.h"
#include <stdio.h>
#include <string.h>

static void text(struct writer *w, const char *words) {
    write_span(w, bytes_of_text(words));
}

// Words behind a command that are no flags of the server: one row a command.
static const struct {
    const char *command, *words;
} further[] = {
    {"dev", "--nodes --base-port --data --help"},
    {"demo", "payment result order consumer lock stock limit ids session config naming all --base-port --json --help"},
    {"status", "--http --watch --json --help"},
    {"member", "list add promote remove --observer --http --help"},
    {"leader", "transfer --http --help"},
    {"cluster", "form --without --http --help"},
    {"time", "show step --yes --http --help"},
    {"lock",
     "list show break --server --wait --try --ttl --grace --delay --shared --permits --total --via --token --reason "
     "--json --help"},
    {"elect",
     "--server --value --candidate --on-leader --on-follower --wait --try --ttl --grace --delay --show --watch "
     "--json --help"},
    {"session", "list show end --server --json --help"},
    {"barrier",
     "run list show latch set down wait delete --server --members --by --request --wait --ttl --grace --json --help"},
    {"once", "--server --wait --try --ttl --lease --grace --fingerprint --retry-failed --json --help"},
    {"sequence",
     "next list show create set --server --count --gapless --key --ttl --start --step --ceiling --block-max "
     "--to --json --help"},
    {"limit", "take release show list --server --algorithm --rate --window --burst --cost --ttl --wait --token --used "
              "--json --help"},
    {"queue", "push claim ack nack extend list show dead requeue drop configure delete work --server --key --priority "
              "--delay --dedup --number --max --visibility --wait --once --grace --tries --length --concurrency --rate "
              "--window --json --help"},
    {"config", "get set unset show list history diff rollback release promote abandon delete import export watch "
               "--server --labels --percent --id --version --expected --author --comment --replace --file --prefix "
               "--signal --reload --cache --wait --grace --json --help"},
    {"topic", "create publish consume list show groups delete --server --key --partition --dedup --producer --number "
              "--group --member --strategy --partitions --room --from --handover --ttl --once --wait --delay --grace "
              "--rooms --keep --keep-bytes --keep-ms --bytes --json --help"},
    {"service", "register deregister renew update drain undrain list show watch pick release --server --id --weight "
                "--zone --meta --check --interval --timeout --failures --successes --ttl --permanent --registration "
                "--strategy --key --spill-below --lease --stale --once --json --help"},
    {"template", "--server --reload --once --json --help"},
    {"zk", "ls get set create delete stat watch --server --timeout --auth --help"},
    {"backup", "--http --force --help"},
    {"restore", "--data --id --peer-advertise --zookeeper-advertise --http-advertise --help"},
    {"check", "--help"},
    {"recover", "--data --force-new-cluster --yes --peer-advertise --zookeeper-advertise --http-advertise --help"},
    {"bench", "zookeeper locks native --clients --connections --keys --server --work --sessions --outstanding --size "
              "--seconds --warm --reads "
              "--count --crowd "
              "--tls-ca --tls-cert --tls-key "
              "--multi --timeout "
              "--root --json --quiet --help"},
    {"generate", "settings bash zsh man native openapi redis --help"},
};

static bool takes_path(const struct setting_row *row) {
    return row->type == SETTING_TYPE_PATH;
}
static bool takes_word(const struct setting_row *row) {
    return row->type == SETTING_TYPE_CHOICE || row->type == SETTING_TYPE_BOOL;
}

static void write_words(struct writer *w, const char *argument) { // "a|b" as "a b"
    for (const char *at = argument; *at != 0; at++) write_u8(w, *at == '|' ? ' ' : (uint8_t)*at);
}

static void write_bash(struct writer *w) {
    text(w, "# Completion of parley for bash. Made by `parley generate bash`; a test compares them.\n"
            "_parley() {\n"
            "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}\n"
            "    COMPREPLY=()\n"
            "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
            "        COMPREPLY=($(compgen -W \"");
    for (int i = 0; i < command_count; i++) {
        text(w, commands[i].name);
        text(w, " ");
    }
    text(w, "--help --version\" -- \"$word\"))\n        return\n    fi\n    case $before in\n    ");
    bool first = true;
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting_row *row = setting_row((enum setting)i);
        if (!takes_path(row)) continue;
        text(w, first ? "" : " | ");
        text(w, "--");
        text(w, row->name);
        first = false;
    }
    text(w, ")\n        COMPREPLY=($(compgen -f -- \"$word\"))\n        return\n        ;;\n");
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting_row *row = setting_row((enum setting)i);
        if (!takes_word(row)) continue;
        text(w, "    --");
        text(w, row->name);
        text(w, ")\n        COMPREPLY=($(compgen -W \"");
        write_words(w, row->argument);
        text(w, "\" -- \"$word\"))\n        return\n        ;;\n");
    }
    text(w, "    esac\n    case $command in\n    server)\n        COMPREPLY=($(compgen -W \"");
    for (int i = 0; i < SETTING_COUNT; i++) {
        text(w, "--");
        text(w, setting_row((enum setting)i)->name);
        text(w, " ");
    }
    text(w, "--help\" -- \"$word\"))\n        ;;\n");
    for (size_t i = 0; i < sizeof further / sizeof further[0]; i++) {
        text(w, "    ");
        text(w, further[i].command);
        text(w, ")\n        COMPREPLY=($(compgen -W \"");
        text(w, further[i].words);
        bool file = strcmp(further[i].command, "check") == 0 || strcmp(further[i].command, "backup") == 0 ||
                    strcmp(further[i].command, "restore") == 0;
        text(w,
             file ? "\" -- \"$word\") $(compgen -f -- \"$word\"))\n        ;;\n" : "\" -- \"$word\"))\n        ;;\n");
    }
    text(w, "    esac\n}\ncomplete -o filenames -F _parley parley\n");
}

// Inside of '...[help]': what zsh would read as its own is left out.
static void write_zsh_text(struct writer *w, const char *words) {
    for (const char *at = words; *at != 0; at++) {
        if (*at == '\'') {
            text(w, "'\\''");
        } else if (strchr("[]:", *at) != NULL) {
            write_u8(w, '\\');
            write_u8(w, (uint8_t)*at);
        } else {
            write_u8(w, (uint8_t)*at);
        }
    }
}

static void write_zsh(struct writer *w) {
    text(w, "#compdef parley\n# Completion of parley for zsh. Made by `parley generate zsh`; a test compares them.\n"
            "_parley() {\n    if (( CURRENT == 2 )); then\n        local -a names\n        names=(\n");
    for (int i = 0; i < command_count; i++) {
        text(w, "            '");
        text(w, commands[i].name);
        text(w, ":");
        write_zsh_text(w, commands[i].about);
        text(w, "'\n");
    }
    text(w, "        )\n        _describe command names\n        return\n    fi\n    case $words[2] in\n    server)\n  "
            "      _arguments \\\n");
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting_row *row = setting_row((enum setting)i);
        text(w, "            '--");
        text(w, row->name);
        text(w, "=[");
        write_zsh_text(w, row->help);
        text(w, "]:");
        write_zsh_text(w, row->argument);
        text(w, ":");
        if (takes_path(row)) text(w, "_files");
        if (takes_word(row)) {
            text(w, "(");
            write_words(w, row->argument);
            text(w, ")");
        }
        text(w, "' \\\n");
    }
    text(w, "            '--help[all settings]'\n        ;;\n");
    for (size_t i = 0; i < sizeof further / sizeof further[0]; i++) {
        text(w, "    ");
        text(w, further[i].command);
        text(w, ") compadd -- ");
        text(w, further[i].words);
        text(w, "; _files ;;\n");
    }
    text(w, "    esac\n}\n_parley \"$@\"\n");
}

// troff: a line may not begin with . or ', and - and \ are written as such.
static void write_troff(struct writer *w, const char *words) {
    if (words[0] == '.' || words[0] == '\'') text(w, "\\&");
    for (const char *at = words; *at != 0; at++) {
        if (*at == '-')
            text(w, "\\-");
        else if (*at == '\\')
            text(w, "\\e");
        else
            write_u8(w, (uint8_t)*at);
    }
}

static void write_man(struct writer *w) {
    text(w, ".\\\" Made by `parley generate man`; a test compares them.\n.TH PARLEY 1 \"\" \"Parley " PARLEY_VERSION
            "\"\n.SH NAME\n"
            "parley \\- one server for coordination, with ZooKeeper's protocol\n.SH SYNOPSIS\n.B parley\n.I "
            "COMMAND\n[\\fIFLAGS\\fR]\n"
            ".SH COMMANDS\nEach has its own \\fB\\-\\-help\\fR.\n");
    for (int i = 0; i < command_count; i++) {
        text(w, ".TP\n.B ");
        write_troff(w, commands[i].name);
        text(w, "\n");
        write_troff(w, commands[i].about);
        text(w, "\n");
    }
    text(w, ".SH SETTINGS\nFlags of \\fBparley server\\fR, and lines of the file that \\fB\\-\\-config\\fR names "
            "(\\fIname\\fR = \\fIvalue\\fR).\n");
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting_row *row = setting_row((enum setting)i);
        const char *section = setting_section((enum setting)i);
        if (section != NULL) {
            text(w, ".SS ");
            write_troff(w, section);
            text(w, "\n");
        }
        text(w, ".TP\n\\fB\\-\\-");
        write_troff(w, row->name);
        text(w, "\\fR \\fI");
        write_troff(w, row->argument);
        text(w, "\\fR\n");
        write_troff(w, row->help);
        if (row->standard[0] != 0) {
            text(w, ". Default: ");
            write_troff(w, row->standard);
        }
        text(w, ".\n");
    }
    text(w, ".SH SIGNALS\n\\fBSIGTERM\\fR and \\fBSIGINT\\fR end a server in order: leadership is handed over first. "
            "\\fBSIGHUP\\fR reads the TLS files again.\n"
            ".SH EXIT STATUS\n.TP\n.B 0\ndone, or ended in order\n.TP\n.B 1\nit could not be done, or the node could "
            "not go on\n.TP\n.B 2\n"
            "a bad flag, setting or argument\n.TP\n.B 3\ndata on disk is damaged; a restart does not help\n");
}

bool generate_write(const char *what, struct writer *w) {
    if (strcmp(what, "settings") == 0)
        config_write_markdown(w);
    else if (strcmp(what, "bash") == 0)
        write_bash(w);
    else if (strcmp(what, "zsh") == 0)
        write_zsh(w);
    else if (strcmp(what, "man") == 0)
        write_man(w);
    else if (strcmp(what, "native") == 0)
        generate_native(w);
    else if (strcmp(what, "openapi") == 0)
        generate_openapi(w);
    else if (strcmp(what, "redis") == 0)
        generate_redis(w);
    else
        return false;
    return true;
}

int generate_main(int argc, char **argv) {
    const struct option_table table = {"generate",
                                       "parley generate settings|bash|zsh|man|native|openapi|redis",
                                       "Prints docs/settings.md, a completion script for bash or zsh, the man page, "
                                       "docs/native.md, docs/openapi.json or docs/redis-commands.md.",
                                       NULL,
                                       0,
                                       1,
                                       1};
    char **arguments = mem_alloc((size_t)argc * sizeof *arguments);
    size_t count;
    struct writer w;
    writer_init(&w);
    int code = options_read(&table, argc, argv, arguments, &count);
    if (code < 0 && !generate_write(arguments[0], &w)) code = options_wrong(&table, "'%s' is unknown", arguments[0]);
    if (code < 0) code = fwrite(w.data, 1, w.len, stdout) == w.len ? 0 : EXIT_FATAL;
    writer_free(&w);
    mem_free(arguments);
    return code;
}
