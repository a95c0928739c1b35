// Threads of the process: this one waits for signals, the two loops run on their own, the journal has a thread inside
// io.
//
//   main     signals, timers of the orderly end
//   service  clients, protocols, models          (struct io, listeners)
//   replica  consensus, peers, the journal       (struct io, journal thread)
#include "server/server.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/version.h"
#include "node/node.h"
#include "protocol/http/http.h"
#include "protocol/redis/redis.h"
#include "protocol/zookeeper/zookeeper.h"
#include "server/backup.h"
#include "server/verify.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define READY_POLL_US 20000u
#define STOP_MAX_MS 20000         // an orderly end that takes longer is broken off: the journal makes that safe
#define FILES_BESIDE_CLIENTS 512u // journal, snapshots, peers, libraries
#define LISTENERS_MAX 6

struct server {
    struct config *config;
    struct log *log;
    struct io *service_io, *replication_io;
    struct io_tls *client_tls, *peer_server, *peer_client;
    struct node *node;
    struct zookeeper_settings zookeeper;
    struct redis_settings redis;
    struct http_settings http;
    struct node_listener listeners[LISTENERS_MAX];
    enum setting flags[LISTENERS_MAX]; // of which setting each is
    size_t listener_count;
    char advertise[LISTENERS_MAX][ADDRESS_TEXT_MAX], peer_advertise[ADDRESS_TEXT_MAX];
    struct io_timer ready_timer;
    bool told_ready;
    int stopped_fd;
    _Atomic bool fatal;
};

static void complain(const char *text) {
    fprintf(stderr, "parley server: %s\n", text);
}

// ---- resources of the process
static void raise_open_files(const struct server *server) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) getrlimit(RLIMIT_NOFILE, &limit);
    uint64_t wanted = config_number(server->config, SETTING_MAX_CONNECTIONS) + FILES_BESIDE_CLIENTS;
    if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < wanted)
        LOG_WARN(server->log,
                 "open files are limited to %llu: fewer than max-connections wants; raise it (ulimit -n, LimitNOFILE)",
                 (unsigned long long)limit.rlim_cur);
}

static bool open_tls(struct server *server) {
    const struct config *c = server->config;
    char error[256];
    struct io_tls_options clients = {.cert_file = config_text(c, SETTING_TLS_CERT),
                                     .key_file = config_text(c, SETTING_TLS_KEY),
                                     .ca_file = config_text(c, SETTING_TLS_CA),
                                     .require_peer = config_text(c, SETTING_TLS_CA) != NULL &&
                                                     config_number(c, SETTING_TLS_CLIENT_CERTIFICATE) == 0};
    struct io_tls_options peers = {.cert_file = config_text(c, SETTING_PEER_TLS_CERT),
                                   .key_file = config_text(c, SETTING_PEER_TLS_KEY),
                                   .ca_file = config_text(c, SETTING_PEER_TLS_CA),
                                   .require_peer = true,
                                   .verify_name = config_number(c, SETTING_PEER_TLS_VERIFY_NAME) != 0};
    if (clients.cert_file != NULL) {
        server->client_tls = io_tls_new(&clients, true, error);
        if (server->client_tls == NULL) {
            fprintf(stderr, "parley server: --tls-cert, --tls-key, --tls-ca: %s\n", error);
            return false;
        }
    }
    if (peers.cert_file == NULL) return true;
    server->peer_server = io_tls_new(&peers, true, error);
    if (server->peer_server != NULL) server->peer_client = io_tls_new(&peers, false, error);
    if (server->peer_client == NULL) {
        fprintf(stderr, "parley server: --peer-tls-cert, --peer-tls-key, --peer-tls-ca: %s\n", error);
        return false;
    }
    return true;
}

static void reload_tls(struct server *server) {
    struct io_tls *all[] = {server->client_tls, server->peer_server, server->peer_client};
    char error[256];
    size_t read = 0;
    for (size_t i = 0; i < 3; i++) {
        if (all[i] == NULL) continue;
        if (io_tls_reload(all[i], error) != 0)
            LOG_ERROR(server->log, "SIGHUP: the old certificates stay: %s", error);
        else
            read++;
    }
    LOG_INFO(server->log, "SIGHUP: TLS files were read again contexts=%zu", read);
}

// ---- listeners
static const char *port_of(const char *address) {
    return strrchr(address, ':') + 1;
}

static bool is_wildcard(const char *address) {
    return address[0] == '*' || strncmp(address, "0.0.0.0:", 8) == 0 || strncmp(address, "[::]:", 5) == 0;
}

// What others are told: the setting; else the address it listens on; for a wildcard the machine's name.
static const char *advertised(struct server *server, enum setting setting, const char *address,
                              char out[ADDRESS_TEXT_MAX]) {
    const char *given = config_text(server->config, setting);
    if (given != NULL) {
        snprintf(out, ADDRESS_TEXT_MAX, "%s", given);
    } else if (is_wildcard(address)) {
        char host[128] = "localhost";
        gethostname(host, sizeof host - 1);
        snprintf(out, ADDRESS_TEXT_MAX, "%s:%s", host, port_of(address));
    } else {
        snprintf(out, ADDRESS_TEXT_MAX, "%s", address);
    }
    return out;
}

static void add_listener(struct server *server, enum setting setting, enum setting advertise,
                         const struct protocol *protocol, enum advertised as, const void *settings,
                         struct io_tls *tls) {
    const char *address = config_text(server->config, setting);
    if (address == NULL) return;
    ENSURE(server->listener_count < LISTENERS_MAX);
    size_t at = server->listener_count++;
    server->flags[at] = setting;
    server->listeners[at] = (struct node_listener){
        .protocol = protocol,
        .address = address,
        .advertise = advertised(server, advertise, address, server->advertise[at]),
        .advertised_as = as,
        .tls = tls,
        .connections_max = config_number(server->config, SETTING_MAX_CONNECTIONS),
        .per_host_max = config_number(server->config, SETTING_MAX_CONNECTIONS_PER_HOST),
        .settings = settings,
    };
}

static void add_listeners(struct server *server) {
    const struct config *c = server->config;
    const char *words = config_text(c, SETTING_ZOOKEEPER_4LW_WHITELIST);
    server->zookeeper = (struct zookeeper_settings){
        .tick_time_ms = (uint32_t)config_number(c, SETTING_ZOOKEEPER_TICK_TIME),
        .session_timeout_min_ms = (uint32_t)config_number(c, SETTING_ZOOKEEPER_MIN_SESSION_TIMEOUT),
        .session_timeout_max_ms = (uint32_t)config_number(c, SETTING_ZOOKEEPER_MAX_SESSION_TIMEOUT),
        .frame_bytes_max = (uint32_t)config_number(c, SETTING_ZOOKEEPER_FRAME_MAX),
        .outstanding_max = (uint32_t)config_number(c, SETTING_MAX_CLIENT_OUTSTANDING),
        .watches_max = (uint32_t)config_number(c, SETTING_MAX_CLIENT_WATCHES),
        .watches_node_max = config_number(c, SETTING_MAX_WATCHES),
        .four_letter_whitelist = words == NULL || strcmp(words, "none") == 0 ? "" : words,
        .super_digest = config_text(c, SETTING_ZOOKEEPER_SUPER_DIGEST),
    };
    server->redis = (struct redis_settings){
        .password = config_text(c, SETTING_REDIS_REQUIREPASS),
        .cluster = config_number(c, SETTING_REDIS_MODE) == 1,
        .sentinel_name = config_text(c, SETTING_REDIS_SENTINEL_NAME),
        .memory_max = config_number(c, SETTING_MEMORY_MAX),
    };
    server->http = (struct http_settings){.allow_remote = config_number(c, SETTING_ALLOW_REMOTE) != 0,
                                          .backup_open = backup_open,
                                          .backup_read = backup_read,
                                          .backup_close = backup_close,
                                          .context = (void *)(uintptr_t)config_text(c, SETTING_DATA)};
    add_listener(server, SETTING_ZOOKEEPER, SETTING_ZOOKEEPER_ADVERTISE, &zookeeper_protocol, ADVERTISED_ZOOKEEPER,
                 &server->zookeeper, NULL);
    add_listener(server, SETTING_ZOOKEEPER_TLS, SETTING_ZOOKEEPER_ADVERTISE, &zookeeper_protocol, ADVERTISED_ZOOKEEPER,
                 &server->zookeeper, server->client_tls);
    add_listener(server, SETTING_REDIS, SETTING_REDIS_ADVERTISE, &redis_protocol, ADVERTISED_REDIS, &server->redis,
                 NULL);
    add_listener(server, SETTING_REDIS_TLS, SETTING_REDIS_ADVERTISE, &redis_protocol, ADVERTISED_REDIS, &server->redis,
                 server->client_tls);
    add_listener(server, SETTING_HTTP, SETTING_HTTP_ADVERTISE, &http_protocol, ADVERTISED_HTTP, &server->http, NULL);
}

// A listener that cannot open is named by its flag.
static void complain_start(const struct server *server, const char *error) {
    const char *taken = strerror(EADDRINUSE);
    if (strncmp(error, "cannot listen", 13) != 0) {
        complain(error);
        return;
    }
    enum setting flag = SETTING_PEER;
    for (size_t i = 0; i < server->listener_count; i++)
        if (strstr(error, server->listeners[i].address) != NULL) flag = server->flags[i];
    const char *name = setting_row(flag)->name, *address = config_text(server->config, flag);
    if (strstr(error, taken) != NULL)
        fprintf(stderr,
                "parley server: --%s: another program uses %s; choose another address with --%s ADDR, or close this "
                "listener with --%s off\n",
                name, address, name, name);
    else
        fprintf(stderr, "parley server: --%s: %s\n", name, error);
}

// ---- what a person reads
static void print_start(const struct server *server) {
    const struct config *c = server->config;
    printf("Parley %s: node %llu, data in %s\n", PARLEY_VERSION, (unsigned long long)config_number(c, SETTING_ID),
           config_text(c, SETTING_DATA));
    for (size_t i = 0; i < server->listener_count; i++) {
        const struct setting_row *row = setting_row(server->flags[i]);
        printf("  %-14s %s\n", row->name, server->listeners[i].address);
    }
    if (config_text(c, SETTING_PEER) != NULL) printf("  %-14s %s\n", "peer", config_text(c, SETTING_PEER));
    fflush(stdout);
}

static void print_ready(const struct server *server) {
    const struct config *c = server->config;
    const char *zookeeper = config_text(c, SETTING_ZOOKEEPER), *http = config_text(c, SETTING_HTTP);
    if (zookeeper != NULL) {
        const char *address = server->listeners[0].advertise;
        printf("  try: zkCli.sh -server %s      parley zk -s %s ls /\n", address, address);
        printf("       python3 -c 'from kazoo.client import KazooClient as K; k = K(\"%s\"); k.start(); "
               "print(k.get_children(\"/\"))'\n",
               address);
    }
    for (size_t i = 0; i < server->listener_count; i++) {
        if (server->flags[i] != SETTING_REDIS) continue;
        const char *address = server->listeners[i].advertise, *port = port_of(address);
        printf("%sredis-cli -h %.*s -p %s\n", zookeeper == NULL ? "  try: " : "       ", (int)(port - 1 - address),
               address, port);
    }
    if (http != NULL) {
        const char *address = server->listeners[server->listener_count - 1].advertise;
        if (strcmp(address, "localhost:7450") == 0)
            printf("       parley status      curl http://%s/healthz\n", address);
        else
            printf("       parley status --http %s      curl http://%s/healthz\n", address, address);
    }
    printf("ready: node %llu serves\n", (unsigned long long)config_number(c, SETTING_ID));
    fflush(stdout);
}

// The members' addresses are replicated state, taken over when a node joins: flags that say others now are not told to
// anyone.
static void compare_addresses(const struct server *server) {
    const char *own[ADVERTISED_COUNT] = {[ADVERTISED_PEER] = server->peer_advertise};
    struct node_view view;
    node_get_view(server->node, &view);
    for (size_t i = 0; i < server->listener_count; i++)
        if (own[server->listeners[i].advertised_as] == NULL)
            own[server->listeners[i].advertised_as] = server->listeners[i].advertise;
    for (size_t i = 0; i < view.member_count; i++) {
        for (int j = 0; view.members[i].self && j < ADVERTISED_COUNT; j++) {
            const char *known = view.members[i].member.address[j];
            if (own[j] == NULL || own[j][0] == 0 || strcmp(known, own[j]) == 0) continue;
            LOG_INFO(server->log,
                     "the cluster knows this node by another address: known=%s flags=%s (the leader takes the new one)",
                     known[0] != 0 ? known : "none", own[j]);
        }
    }
}

static void on_ready_timer(struct io_timer *timer) {
    struct server *server = timer->context;
    if (server->told_ready) return;
    if (node_ready(server->node)) {
        server->told_ready = true;
        print_ready(server);
        compare_addresses(server);
        return;
    }
    server->service_io->ops->timer_start(server->service_io, timer, READY_POLL_US);
}

// ---- run
static void on_stopped(void *context) {
    struct server *server = context;
    uint64_t one = 1;
    ssize_t written = write(server->stopped_fd, &one, sizeof one);
    ENSURE(written == sizeof one);
}

// On some loop's thread. Nothing is tidied up: whatever is wrong with the disk or the state must not be written on.
static void on_fatal(void *context, const char *text) {
    struct server *server = context;
    if (atomic_exchange(&server->fatal, true)) return;
    LOG_ERROR(server->log, "fatal: %s", text);
    _exit(node_disk_failed(server->node) ? EXIT_DISK : EXIT_FATAL);
}

static void *run_loop(void *io) {
    io_uv_run(io);
    return NULL;
}

// Signals are taken by the main thread only: loops' threads inherit the blocked set.
static int open_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

// Until the node has ended. A second SIGINT or SIGTERM, or an end that takes too long, ends at once.
static int wait_for_end(struct server *server, int signals) {
    bool stopping = false;
    for (;;) {
        struct pollfd fds[2] = {{.fd = signals, .events = POLLIN}, {.fd = server->stopped_fd, .events = POLLIN}};
        int ready = poll(fds, 2, stopping ? STOP_MAX_MS : -1);
        if (ready < 0 && errno == EINTR) continue;
        if (ready == 0) {
            LOG_WARN(server->log, "the orderly end took too long: ending now");
            return EXIT_FATAL;
        }
        if (fds[1].revents != 0) return 0;
        struct signalfd_siginfo info;
        if (fds[0].revents == 0 || read(signals, &info, sizeof info) != sizeof info) continue;
        if (info.ssi_signo == SIGHUP) {
            reload_tls(server);
        } else if (stopping) {
            LOG_WARN(server->log, "a second signal: ending now");
            return EXIT_FATAL;
        } else {
            stopping = true;
            printf("stopping: leadership is handed over first\n");
            fflush(stdout);
            node_stop(server->node, on_stopped, server);
        }
    }
}

static struct node *start_node(struct server *server, char error[1024]) {
    const struct config *c = server->config;
    const char *peer = config_text(c, SETTING_PEER);
    struct node_options options = {
        .service_io = server->service_io,
        .replication_io = server->replication_io,
        .log = server->log,
        .data_folder = config_text(c, SETTING_DATA),
        .id = (uint32_t)config_number(c, SETTING_ID),
        .cluster = c->peers,
        .cluster_count = c->peer_count,
        .peer_address = peer,
        .peer_advertise =
            peer != NULL ? advertised(server, SETTING_PEER_ADVERTISE, peer, server->peer_advertise) : NULL,
        .peer_tls_server = server->peer_server,
        .peer_tls_client = server->peer_client,
        .listeners = server->listeners,
        .listener_count = server->listener_count,
        .heartbeat_ms = (uint32_t)config_number(c, SETTING_HEARTBEAT),
        .election_ms = (uint32_t)config_number(c, SETTING_ELECTION_TIMEOUT),
        .journal_align = (uint32_t)config_number(c, SETTING_JOURNAL_ALIGN),
        .segment_bytes = config_number(c, SETTING_SEGMENT_SIZE),
        .snapshot_every_entries = config_number(c, SETTING_SNAPSHOT_ENTRIES),
        .snapshot_every_bytes = config_number(c, SETTING_SNAPSHOT_BYTES),
        .snapshot_rate_bytes = config_number(c, SETTING_SNAPSHOT_RATE),
        .ephemerals_max = (uint32_t)config_number(c, SETTING_SESSION_EPHEMERALS_MAX),
        .memory_max = config_number(c, SETTING_MEMORY_MAX),
        .container_check_ms = config_number(c, SETTING_CONTAINER_CHECK),
        .checks_off = config_number(c, SETTING_SERVICE_CHECKS) == 0,
        .client_pending_bytes_max = config_number(c, SETTING_MAX_CLIENT_PENDING),
    };
    return node_start(&options, error);
}

static int run_node(struct server *server, int signals) {
    pthread_t service, replication;
    node_on_fatal(server->node, on_fatal, server);
    server->http.node = server->node;
    server->ready_timer = (struct io_timer){.fire = on_ready_timer, .context = server};
    server->service_io->ops->timer_start(server->service_io, &server->ready_timer, READY_POLL_US);
    print_start(server);
    if (pthread_create(&service, NULL, run_loop, server->service_io) != 0 ||
        pthread_create(&replication, NULL, run_loop, server->replication_io) != 0) {
        complain("cannot start a thread");
        exit(EXIT_FATAL);
    }
    pthread_setname_np(service, "service");
    pthread_setname_np(replication, "replication");
    int code = wait_for_end(server, signals);
    if (code != 0) _exit(code); // loops still run: nothing may be freed under them
    io_uv_stop(server->service_io);
    io_uv_stop(server->replication_io);
    pthread_join(service, NULL);
    pthread_join(replication, NULL);
    node_free(server->node);
    server->node = NULL;
    return 0;
}

static int start_and_run(struct server *server, int signals) {
    char error[1024] = "";
    if (!open_tls(server)) return EXIT_USAGE;
    server->service_io = io_uv_new(&(struct io_uv_options){.journal_thread_name = NULL});
    server->replication_io = io_uv_new(&(struct io_uv_options){.journal_thread_name = "journal", .shared_turns = true});
    if (server->service_io == NULL || server->replication_io == NULL) {
        complain("the system gives no descriptors for the loops");
        return EXIT_FATAL;
    }
    add_listeners(server);
    server->node = start_node(server, error);
    if (server->node != NULL) {
        int code = run_node(server, signals);
        if (code == 0) printf("stopped\n");
        return code;
    }
    complain_start(server, error);
    if (strncmp(error, "cannot listen", 13) == 0) return EXIT_FATAL;
    return verify_is_damaged(config_text(server->config, SETTING_DATA)) ? EXIT_DAMAGED : EXIT_FATAL;
}

int server_run(struct config *config) {
    ENSURE(config != NULL);
    enum log_level level =
        (enum log_level)config_number(config, SETTING_LOG_LEVEL); // the words stand in the enum's order
    struct server server = {.config = config, .log = log_new(level, NULL, NULL)};
    atomic_init(&server.fatal, false);
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); // a fork for a snapshot would copy 2 MB at each first write (replication.md)
    raise_open_files(&server);
    fputs(config_notes(config), stderr);
    int signals = open_signals();
    server.stopped_fd = eventfd(0, EFD_CLOEXEC);
    int code = EXIT_FATAL;
    if (signals < 0 || server.stopped_fd < 0)
        complain("the system gives no descriptors for signals");
    else
        code = start_and_run(&server, signals);
    io_uv_free(server.service_io);
    io_uv_free(server.replication_io);
    io_tls_free(server.client_tls);
    io_tls_free(server.peer_server);
    io_tls_free(server.peer_client);
    if (signals >= 0) close(signals);
    if (server.stopped_fd >= 0) close(server.stopped_fd);
    log_free(server.log);
    return code;
}
