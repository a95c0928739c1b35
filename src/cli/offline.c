// `parley check`, `restore`, `recover`: work on a data folder while no node uses it.
#include "base/alloc.h"
#include "base/assert.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "model/tree/tree.h"
#include "server/config.h"
#include "server/server.h"
#include "server/verify.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct io *open_io(const char *command) {
    struct io *io = io_uv_new(&(struct io_uv_options){.journal_thread_name = NULL});
    if (io == NULL) fprintf(stderr, "parley %s: the system gives no descriptors\n", command);
    return io;
}

static void print_problems(const char *command, struct verified *v) {
    for (const char *at = verify_problems(v); *at != 0;) {
        int len = (int)strcspn(at, "\n");
        fprintf(stderr, "parley %s: %.*s\n", command, len, at);
        at += len + (at[len] == '\n');
    }
}

static void hex(const uint8_t *bytes, char out[33]) {
    for (size_t i = 0; i < 16; i++) snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

// ---- check
static uint64_t count_nodes(const struct machine *machine) {
    struct tree_query query = {.op = TREE_STATS, .path = bytes_of_text("/")};
    struct result result = {0};
    machine_query(machine, MODEL_TREE, &query, &result);
    const struct tree_answer *answer = result.value;
    return result.error == 0 && answer != NULL ? answer->nodes : 0;
}

static void print_found(struct verified *v) {
    char cluster[33];
    hex(v->identity.cluster_id, cluster);
    printf("identity   member %u of cluster %s, boot %llu\n", v->identity.member_id, cluster,
           (unsigned long long)v->identity.boot);
    printf("snapshots  %zu, %zu of them damaged; newest sound one: index %llu, term %llu, %llu bytes\n", v->snapshots,
           v->snapshots_bad, (unsigned long long)v->snapshot_index, (unsigned long long)v->snapshot_term,
           (unsigned long long)v->snapshot_bytes);
    printf("journal    indexes %llu to %llu, term %llu%s\n", (unsigned long long)v->journal.start_index + 1,
           (unsigned long long)v->journal.last_index, (unsigned long long)v->journal.hard.term,
           v->journal.last_index == v->journal.start_index ? " (no entries)" : "");
    if (v->journal.torn)
        printf("torn tail  %llu bytes behind the last whole write, as after a power cut; the next start cuts them off "
               "and keeps them in torn/\n",
               (unsigned long long)v->journal.torn_bytes);
    if (v->machine == NULL) {
        printf("state      none: no cluster was formed here yet\n");
        return;
    }
    printf("state      index %llu (%llu entries of the journal applied), %llu znodes, %zu sessions, %u members\n",
           (unsigned long long)machine_applied(v->machine), (unsigned long long)v->replayed,
           (unsigned long long)count_nodes(v->machine), lease_count(machine_leases(v->machine)),
           machine_membership(v->machine)->count);
    printf("digest     %016llx%016llx\n", (unsigned long long)v->digest.hi, (unsigned long long)v->digest.lo);
}

int check_main(int argc, char **argv) {
    const struct option_table table = {"check",
                                       "parley check DIR",
                                       "Verifies a data folder while no node uses it: every checksum of identity, "
                                       "snapshots and journal; the state is rebuilt and\n"
                                       "its digest recounted. Exit code 0: sound. 3: damaged. 1: it could not be read.",
                                       NULL,
                                       0,
                                       1,
                                       1};
    char **arguments = mem_alloc((size_t)argc * sizeof *arguments);
    size_t count;
    int code = options_read(&table, argc, argv, arguments, &count);
    struct io *io = code < 0 ? open_io("check") : NULL;
    if (io != NULL) {
        struct verified v;
        int result = verify_open(io, arguments[0], &v);
        if (v.folder != NULL) print_found(&v);
        print_problems("check", &v);
        code = v.damaged ? EXIT_DAMAGED : result != 0 ? EXIT_FATAL : 0;
        printf("%s\n", code == 0 ? "sound" : v.damaged ? "DAMAGED" : "not checked");
        verify_close(&v);
        io_uv_free(io);
    } else if (code < 0) {
        code = EXIT_FATAL;
    }
    mem_free(arguments);
    return code;
}

// ---- a new cluster of one member out of a state
struct addresses {
    const char *peer, *zookeeper, *http;
};

static bool take_address(const char *command, const char *flag, const char *given, char out[ADDRESS_TEXT_MAX]) {
    char error[256];
    out[0] = 0;
    if (given == NULL || config_parse_address(given, 0, out, error)) return true;
    fprintf(stderr, "parley %s: --%s: '%s' %s\n", command, flag, given, error);
    return false;
}

static bool fill_member(const char *command, struct member *member, const struct addresses *a) {
    if (!take_address(command, "peer-advertise", a->peer, member->address[ADVERTISED_PEER])) return false;
    if (!take_address(command, "zookeeper-advertise", a->zookeeper, member->address[ADVERTISED_ZOOKEEPER]))
        return false;
    if (!take_address(command, "http-advertise", a->http, member->address[ADVERTISED_HTTP])) return false;
    member->role = MEMBER_VOTER;
    member->apply_level_max = APPLY_LEVEL_NEWEST;
    return true;
}

// The state becomes that of a new cluster with this node alone: a new cluster id, the index 2^40 higher, all sessions
// ended (replication.md "Members"). Saved as a snapshot first; only then the identity names the new cluster.
static int start_anew(const char *command, struct io *io, struct folder *folder, struct snapshot_store *store,
                      struct machine *machine, const struct addresses *addresses) {
    const struct folder_identity *identity = folder_identity(folder);
    struct raft_membership alone;
    uint8_t cluster_id[16];
    membership_init(&alone);
    struct member *member = membership_add(&alone, identity->member_id);
    memcpy(member->incarnation, identity->incarnation, sizeof member->incarnation);
    if (!fill_member(command, member, addresses)) {
        membership_free(&alone);
        return EXIT_USAGE;
    }
    uint64_t index = machine_applied(machine) + RESTORE_INDEX_JUMP;
    machine_reset(machine, index, machine_applied_term(machine) + 1, &alone);
    membership_free(&alone);
    io->ops->random(io, cluster_id, sizeof cluster_id);
    int error = verify_save(io, store, machine, cluster_id);
    if (error == 0) error = folder_set_cluster(folder, cluster_id);
    if (error == 0) return 0;
    fprintf(stderr, "parley %s: cannot write %s: %s\n", command, folder_path(folder), strerror(-error));
    return EXIT_FATAL;
}

#define ADDRESS_OPTIONS(a)                                                                                             \
    {"peer-advertise", 0, "HOST:PORT", "peer address that others are told", &(a).peer, NULL},                          \
        {"zookeeper-advertise", 0, "HOST:PORT", "address that ZooKeeper clients are told", &(a).zookeeper, NULL}, {    \
        "http-advertise", 0, "HOST:PORT", "HTTP address that others are told", &(a).http, NULL                         \
    }

// ---- restore
static bool folder_is_free(const char *path) {
    char place[4200];
    struct stat status;
    snprintf(place, sizeof place, "%s/identity", path);
    if (stat(path, &status) != 0) return errno == ENOENT;
    if (stat(place, &status) == 0) return false;
    return rmdir(path) == 0 || errno == EBUSY; // empty, or an empty mount point
}

static int restore_into(struct io *io, struct machine *machine, const struct snapshot_meta *meta, const char *data,
                        uint32_t id, const struct addresses *addresses) {
    char text[512], place[4200];
    struct folder *folder;
    struct snapshot_store *store;
    size_t sessions = lease_count(machine_leases(machine)), members = machine_membership(machine)->count;
    if (folder_open(io, data, id, &folder, text) != 0) {
        fprintf(stderr, "parley restore: %s\n", text);
        return EXIT_FATAL;
    }
    snprintf(place, sizeof place, "%s/snapshots", data);
    int code = EXIT_FATAL;
    if (snapshot_store_open(io, NULL, place, &store, text) != 0) {
        fprintf(stderr, "parley restore: %s\n", text);
    } else {
        code = start_anew("restore", io, folder, store, machine, addresses);
        snapshot_store_close(store);
    }
    folder_close(folder);
    if (code != 0) return code;
    printf("restored %llu znodes of index %llu into %s as member %u of a new cluster\n",
           (unsigned long long)count_nodes(machine), (unsigned long long)meta->index, data, id);
    printf("dropped: %zu sessions with their ephemeral nodes, %zu members of the old cluster, all writes behind the "
           "backup\n",
           sessions, members);
    printf("start it: parley server --id %u --data %s      (others join by `parley member add`)\n", id, data);
    return 0;
}

int restore_main(int argc, char **argv) {
    const char *data = NULL, *id_text = "1";
    struct addresses addresses = {0};
    const struct option_row rows[] = {{"data", 0, "DIR", "the new data folder; must not hold data", &data, NULL},
                                      {"id", 0, "N", "this node's number [1]", &id_text, NULL},
                                      ADDRESS_OPTIONS(addresses)};
    const struct option_table table = {"restore",
                                       "parley restore FILE --data DIR [--id N]",
                                       "Makes a new data folder from a backup (`parley backup`, or a file of a data "
                                       "folder's snapshots). It is a new cluster with\n"
                                       "this node alone: all sessions end, and indexes (zxids) go on 2^40 higher, so "
                                       "that no client sees them go back.",
                                       rows,
                                       sizeof rows / sizeof rows[0],
                                       1,
                                       1};
    char **arguments = mem_alloc((size_t)argc * sizeof *arguments), error[512];
    size_t count;
    unsigned long long id = 0;
    struct io *io = NULL;
    int code = options_read(&table, argc, argv, arguments, &count);
    if (code >= 0) {
    } else if (data == NULL) {
        code = options_wrong(&table, "--data DIR is needed");
    } else if (!options_number(id_text, 1, 255, &id)) {
        code = options_wrong(&table, "--id: '%s' is no member's number: allowed are 1 to 255", id_text);
    } else if ((io = open_io("restore")) == NULL) {
        code = EXIT_FATAL;
    } else {
        struct snapshot_meta meta;
        struct machine *machine = machine_new((uint32_t)id, 0, NULL);
        int result = verify_load(io, arguments[0], machine, &meta, error);
        if (result != 0) {
            fprintf(stderr, "parley restore: %s\n", error);
            code = result == -EBADMSG ? EXIT_DAMAGED : EXIT_FATAL;
        } else if (!folder_is_free(data)) {
            fprintf(stderr, "parley restore: %s is not empty: a restore makes a new folder\n", data);
            code = EXIT_FATAL;
        } else {
            code = restore_into(io, machine, &meta, data, (uint32_t)id, &addresses);
        }
        machine_free(machine);
    }
    io_uv_free(io);
    mem_free(arguments);
    return code;
}

// ---- recover
static void print_membership(const struct raft_membership *m) {
    for (uint32_t i = 0; i < m->count; i++)
        printf("  member %-3u %-8s %s\n", m->members[i].id,
               m->members[i].observer                 ? "observer"
               : m->members[i].role == MEMBER_LEARNER ? "learner"
                                                      : "voter",
               m->members[i].address[ADVERTISED_PEER]);
}

// The old log is kept beside, not removed: it is the only trace of what another member might still have had.
static int set_journal_aside(struct io *io, const char *data) {
    char from[4200], to[4300];
    struct stat status;
    snprintf(from, sizeof from, "%s/journal", data);
    for (unsigned i = 1; i < 1000; i++) {
        snprintf(to, sizeof to, "%s/journal.before-recovery-%u", data, i);
        if (stat(to, &status) != 0) break;
    }
    int error = io->ops->rename(io, from, to);
    if (error == 0) error = io->ops->sync_dir(io, data);
    if (error == 0) printf("the old journal is kept in %s\n", to);
    return error;
}

static int recover_folder(struct io *io, const char *data, bool yes, struct addresses *addresses) {
    struct verified v;
    int result = verify_open(io, data, &v), code = EXIT_FATAL;
    print_problems("recover", &v);
    if (v.damaged && v.machine != NULL && !yes)
        fprintf(stderr, "parley recover: the folder is damaged; what can be read ends at index %llu\n",
                (unsigned long long)machine_applied(v.machine));
    if (v.machine == NULL || (result != 0 && !v.damaged)) {
        if (v.damaged) code = EXIT_DAMAGED;
        fprintf(stderr, "parley recover: there is no state to go on with in %s\n", data);
        verify_close(&v);
        return code;
    }
    const struct raft_membership *members = machine_membership(v.machine);
    const struct member *self = membership_find(members, v.identity.member_id);
    struct addresses kept = {
        self != NULL && self->address[ADVERTISED_PEER][0] != 0 ? self->address[ADVERTISED_PEER] : NULL,
        self != NULL && self->address[ADVERTISED_ZOOKEEPER][0] != 0 ? self->address[ADVERTISED_ZOOKEEPER] : NULL,
        self != NULL && self->address[ADVERTISED_HTTP][0] != 0 ? self->address[ADVERTISED_HTTP] : NULL};
    if (addresses->peer != NULL) kept.peer = addresses->peer;
    if (addresses->zookeeper != NULL) kept.zookeeper = addresses->zookeeper;
    if (addresses->http != NULL) kept.http = addresses->http;
    printf("member %u of a cluster of %u:\n", v.identity.member_id, members->count);
    print_membership(members);
    printf("this node's log ends at index %llu, term %llu; all of it will be applied\n",
           (unsigned long long)machine_applied(v.machine), (unsigned long long)machine_applied_term(v.machine));
    printf("may be lost: acknowledged writes behind that index, which only the missing members had\n"
           "may appear: writes at its end that were never acknowledged\n"
           "will be lost: %zu sessions with their ephemeral nodes; the other members must come back empty, with "
           "`parley member add`\n",
           lease_count(machine_leases(v.machine)));
    if (!yes) {
        printf("nothing was changed; if no majority of the members can ever come back, run it again with --yes\n");
        verify_close(&v);
        return EXIT_USAGE;
    }
    struct addresses copy = {kept.peer != NULL ? mem_strdup(kept.peer) : NULL,
                             kept.zookeeper != NULL ? mem_strdup(kept.zookeeper) : NULL,
                             kept.http != NULL ? mem_strdup(kept.http) : NULL};
    code = start_anew("recover", io, v.folder, v.store, v.machine, &copy);
    mem_free((char *)(uintptr_t)copy.peer);
    mem_free((char *)(uintptr_t)copy.zookeeper);
    mem_free((char *)(uintptr_t)copy.http);
    if (code == 0 && set_journal_aside(io, data) != 0) {
        fprintf(stderr, "parley recover: cannot move %s/journal aside\n", data);
        code = EXIT_FATAL;
    }
    if (code == 0)
        printf(
            "recovered: a new cluster with this node alone, at index %llu\nstart it: parley server --id %u --data %s\n",
            (unsigned long long)machine_applied(v.machine), v.identity.member_id, data);
    verify_close(&v);
    return code;
}

int recover_main(int argc, char **argv) {
    const char *data = NULL;
    bool force = false, yes = false;
    struct addresses addresses = {0};
    const struct option_row rows[] = {{"data", 0, "DIR", "the data folder of the node to go on with", &data, NULL},
                                      {"force-new-cluster", 0, NULL, "say that a new cluster is meant", NULL, &force},
                                      {"yes", 0, NULL, "do it; without it only the losses are shown", NULL, &yes},
                                      ADDRESS_OPTIONS(addresses)};
    const struct option_table table = {"recover",
                                       "parley recover --data DIR --force-new-cluster [--yes]",
                                       "For the day when a majority of the members is gone for good. Goes on with this "
                                       "node's data as a new cluster of one. Choose\n"
                                       "the member whose log is longest (`parley check` shows it), and never start "
                                       "another old member with its data again.",
                                       rows,
                                       sizeof rows / sizeof rows[0],
                                       0,
                                       0};
    char **arguments = mem_alloc((size_t)argc * sizeof *arguments);
    size_t count;
    struct io *io = NULL;
    int code = options_read(&table, argc, argv, arguments, &count);
    if (code >= 0) {
    } else if (data == NULL || !force) {
        code = options_wrong(&table, "--data DIR and --force-new-cluster are needed");
    } else if ((io = open_io("recover")) == NULL) {
        code = EXIT_FATAL;
    } else {
        code = recover_folder(io, data, yes, &addresses);
    }
    io_uv_free(io);
    mem_free(arguments);
    return code;
}
