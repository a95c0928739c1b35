// The four letter words: a connection that begins with one is answered with text, and closed. Their formats are what
// monitoring tools parse.
#include "io/io.h"
#include "protocol/zookeeper/internal.h"
#include <string.h>

#define FOUR_LETTER_WORDS(X)                                                                                           \
    X(ruok)                                                                                                            \
    X(srvr) X(stat) X(mntr) X(conf) X(cons) X(envi) X(isro) X(wchs) X(wchc) X(wchp) X(dump) X(dirs) X(crst) X(srst)

static void word_ruok(struct instance *instance, struct writer *out) {
    text_write(out, "imok");
}

static void word_srvr(struct instance *instance, struct writer *out) {
    stats_server(instance, out);
}

static void each_connection(struct instance *instance, struct writer *out, bool full) {
    for (struct list *at = instance->connections.next; at != &instance->connections; at = at->next)
        stats_connection(CONTAINER_OF(at, struct connection, link), out, full);
}

static void word_stat(struct instance *instance, struct writer *out) {
    struct writer whole = {0};
    stats_server(instance, &whole);
    const uint8_t *line = memchr(whole.data, '\n', whole.len);
    size_t first = line ? (size_t)(line - whole.data) + 1 : 0;
    write_span(out, bytes_of(whole.data, first)); // the clients stand behind the version's line
    text_write(out, "Clients:\n");
    each_connection(instance, out, false);
    text_write(out, "\n");
    write_span(out, bytes_of(whole.data + first, whole.len - first));
    writer_free(&whole);
}

static void word_mntr(struct instance *instance, struct writer *out) {
    stats_monitor(instance, out);
}

static void word_conf(struct instance *instance, struct writer *out) {
    const struct zookeeper_settings *s = &instance->settings;
    struct service_status status;
    struct service_member members[MEMBERS_MAX];
    service_status(instance->service, &status);
    size_t count = service_members(instance->service, "zookeeper", members, MEMBERS_MAX);
    const char *port = "2181";
    for (size_t i = 0; i < count; i++) {
        const char *colon = members[i].self ? strrchr(members[i].protocol_address, ':') : NULL;
        if (colon) port = colon + 1;
    }
    text_write(out,
               "clientPort=%s\nsecureClientPort=-1\ndataDir=%s\ndataDirSize=%llu\ndataLogDir=%s\ndataLogSize=%llu\n",
               port, status.data_folder, (unsigned long long)status.data_bytes_estimate, status.data_folder,
               (unsigned long long)status.journal_bytes);
    text_write(out,
               "tickTime=%u\nmaxClientCnxns=0\nminSessionTimeout=%u\nmaxSessionTimeout=%u\nclientPortListenBacklog=-"
               "1\nserverId=%u\n",
               s->tick_time_ms, s->session_timeout_min_ms, s->session_timeout_max_ms,
               status.members > 1 ? status.id : 0);
    if (status.members <= 1) return;
    text_write(out, "initLimit=10\nsyncLimit=5\nelectionAlg=3\nmembership: \n");
    for (size_t i = 0; i < count; i++)
        text_write(out, "server.%u=%s:%s;%s\n", members[i].id, members[i].address,
                   members[i].voter ? "participant" : "observer", members[i].protocol_address);
    text_write(out, "version=%llx", (unsigned long long)status.applied_index);
}

static void word_cons(struct instance *instance, struct writer *out) {
    each_connection(instance, out, true);
    text_write(out, "\n");
}

static void word_envi(struct instance *instance, struct writer *out) {
    struct service_status status;
    service_status(instance->service, &status);
    text_write(out, "Environment:\nzookeeper.version=");
    stats_version(out);
    text_write(out, "\nos.name=Linux\nuser.dir=%s\n", status.data_folder);
}

static void word_isro(struct instance *instance, struct writer *out) {
    struct service_status status;
    service_status(instance->service, &status);
    text_write(out, status.has_leader ? "rw" : "ro");
}

static void word_wchs(struct instance *instance, struct writer *out) {
    const struct watches *w = &instance->watches;
    text_write(out, "%u connections watching %u paths\nTotal watches:%llu\n", w->holder_count, w->path_count,
               (unsigned long long)w->count);
}

static void write_path(void *context, const struct watch_path *path) {
    struct writer *out = context;
    text_write(out, "\t");
    write_span(out, bytes_of(path->text, path->len));
    text_write(out, "\n");
}

static void word_wchc(struct instance *instance, struct writer *out) {
    for (struct list *at = instance->connections.next; at != &instance->connections; at = at->next) {
        const struct connection *c = CONTAINER_OF(at, struct connection, link);
        if (c->watches.count == 0) continue;
        text_write(out, "0x%llx\n", (unsigned long long)c->session_shown);
        watches_each_of(&instance->watches, &c->watches, write_path, out);
    }
    text_write(out, "\n");
}

struct by_path {
    struct watches *watches;
    struct writer *out;
};

static void write_holder(void *context, struct watch_holder *holder) {
    const struct connection *c = CONTAINER_OF(holder, struct connection, watches);
    text_write(context, "\t0x%llx\n", (unsigned long long)c->session_shown);
}

static void write_watched(void *context, const struct watch_path *path) {
    struct by_path *by = context;
    write_span(by->out, bytes_of(path->text, path->len));
    text_write(by->out, "\n");
    watches_each_holder(by->watches, path, write_holder, by->out);
}

static void word_wchp(struct instance *instance, struct writer *out) {
    struct by_path by = {&instance->watches, out};
    watches_each_path(&instance->watches, write_watched, &by);
    text_write(out, "\n");
}

struct dump {
    struct instance *instance;
    struct writer *sessions, *owners;
    uint64_t session_count, owner_count, paths;
};

static void dump_path(void *context, struct bytes path) {
    struct dump *dump = context;
    dump->paths++;
    text_write(dump->owners, "\t");
    write_span(dump->owners, path);
    text_write(dump->owners, "\n");
}

static void dump_session(void *context, const struct lease *lease) {
    struct dump *dump = context;
    if (lease->kind != LEASE_KIND_ZOOKEEPER) return;
    unsigned long long shown = SESSION_SHOWN_BASE | lease->session;
    dump->session_count++;
    text_write(dump->sessions, "\t0x%llx\n", shown);
    size_t at = dump->owners->len;
    dump->paths = 0;
    text_write(dump->owners, "0x%llx:\n", shown);
    struct tree_query query = {.op = TREE_EPHEMERALS, .session = lease->session, .name = dump_path, .context = dump};
    struct result result = {0};
    service_query(dump->instance->service, MODEL_TREE, &query, &result);
    if (dump->paths)
        dump->owner_count++;
    else
        dump->owners->len = at;
}

// Deadlines live in the leader's soft state, so sessions stand in one set without a time.
static void word_dump(struct instance *instance, struct writer *out) {
    struct writer sessions = {0}, owners = {0};
    struct dump dump = {instance, &sessions, &owners, 0, 0, 0};
    service_leases(instance->service, dump_session, &dump);
    text_write(out, "SessionTracker dump:\nSession Sets (%d)/(%llu):\n", dump.session_count ? 1 : 0,
               (unsigned long long)dump.session_count);
    if (dump.session_count)
        text_write(out, "%llu expire by their leader's clock:\n", (unsigned long long)dump.session_count);
    write_span(out, bytes_of(sessions.data, sessions.len));
    text_write(out, "ephemeral nodes dump:\nSessions with Ephemerals (%llu):\n", (unsigned long long)dump.owner_count);
    write_span(out, bytes_of(owners.data, owners.len));
    text_write(out, "Connections dump:\nConnections Sets (1)/(%u):\n", instance->connection_count);
    for (struct list *at = instance->connections.next; at != &instance->connections; at = at->next) {
        const struct connection *c = CONTAINER_OF(at, struct connection, link);
        struct io_conn_info info;
        client_info(c->client, &info);
        text_write(out, "\tip: /%s sessionId: 0x%llx\n", info.remote, (unsigned long long)c->session_shown);
    }
    writer_free(&sessions);
    writer_free(&owners);
}

static void word_dirs(struct instance *instance, struct writer *out) {
    struct service_status status;
    service_status(instance->service, &status);
    text_write(out, "datadir_size: %llu\nlogdir_size: %llu\n", (unsigned long long)status.data_bytes_estimate,
               (unsigned long long)status.journal_bytes);
}

static void word_crst(struct instance *instance, struct writer *out) {
    for (struct list *at = instance->connections.next; at != &instance->connections; at = at->next) {
        struct connection *c = CONTAINER_OF(at, struct connection, link);
        c->received = c->sent = c->last_zxid = c->last_reply_ms = 0;
        c->last_xid = 0;
        c->last_operation = ZOOKEEPER_OP_COUNT;
        c->latency = (struct latency){.min = UINT32_MAX};
    }
    text_write(out, "Connection stats reset.\n");
}

static void word_srst(struct instance *instance, struct writer *out) {
    stats_reset(instance);
    text_write(out, "Server stats reset.\n");
}

static bool word_allowed(const struct instance *instance, const char *word) {
    const char *list = instance->settings.four_letter_whitelist;
    if (!list || strcmp(list, "*") == 0) return true;
    const char *at = strstr(list, word);
    return at != NULL; // words have four letters each, and no word is a part of two others joined by a comma
}

bool four_letter_word(struct connection *c, const uint8_t word[4]) {
    static const struct {
        char text[5];
        void (*answer)(struct instance *instance, struct writer *out);
    } words[] = {
#define X(name) {#name, word_##name},
        FOUR_LETTER_WORDS(X)
#undef X
        // Words of ZooKeeper that there is nothing to answer to are refused as what is not allowed is.
        {"gtmk", NULL},
        {"stmk", NULL},
        {"hash", NULL},
        {"lead", NULL},
        {"orst", NULL},
        {"obsr", NULL},
        {"sysp", NULL},
        {"lsnp", NULL},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (memcmp(word, words[i].text, 4) != 0) continue;
        struct instance *instance = c->instance;
        c->received++;
        instance->packets_received++;
        struct writer out = {0};
        if (words[i].answer && word_allowed(instance, words[i].text))
            words[i].answer(instance, &out);
        else
            text_write(&out, "%s is not executed because it is not in the whitelist.\n", words[i].text);
        client_write(c->client, out.data, out.len);
        writer_free(&out);
        c->sent++;
        instance->packets_sent++;
        connection_end(c, true);
        return true;
    }
    return false;
}
