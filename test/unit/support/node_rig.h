// Nodes on real loops for tests: each with two threads of its own, in this process or in a forked child (to be killed),
// and a blocking line client.
#pragma once
#include "node/node.h"
#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

struct rig_node {
    struct node_options options;
    struct node_listener listener;
    struct io *service_io, *replication_io;
    pthread_t service_thread, replication_thread;
    struct node *node;
    struct log *log;
    char folder[256], address[64], peer[64], error[1024];
    struct core_peer cluster[8];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopped, running;
    void (*patch_replication_io)(struct rig_node *rig, struct io *io); // faults; NULL: none
    bool one_loop;                                                     // both halves on one io, as in the simulator
    // a call onto the service loop
    struct io_wake call_wake, idle_wake;
    bool idle;
    void (*call)(struct rig_node *rig, void *context);
    void *call_context;
    bool called;
};
int rig_free_port(void);
void rig_folder(char folder[256], const char *name); // a fresh one in TMPDIR
void rig_remove(const char *folder);
void rig_init(struct rig_node *rig, uint32_t id, const char *folder, int port);
bool rig_start(struct rig_node *rig); // false: rig->error
void rig_stop(struct rig_node *rig);  // orderly, waits
void rig_crash(struct rig_node *rig); // loops stop at once, nothing is flushed or said
// Runs on the service loop's thread and waits for it.
void rig_call(struct rig_node *rig, void (*call)(struct rig_node *rig, void *context), void *context);
struct rig_state {
    bool ready, leading;
    uint32_t leader;
    uint64_t applied, snapshot_index;
    uint32_t voters, members;
    struct node_metrics metrics;
};
struct rig_state rig_state(struct rig_node *rig);
bool rig_wait(struct rig_node *rig, bool (*holds)(const struct rig_state *state, uint64_t argument), uint64_t argument,
              int timeout_ms);
bool rig_wait_ready(struct rig_node *rig);
// Asks the node's administration, and waits for the answer; gives its error.
int rig_admin(struct rig_node *rig, enum core_admin what, uint32_t member, const char *address, char text[256]);
uint64_t rig_snapshot(struct rig_node *rig); // its index; 0: failed
pid_t rig_fork(struct rig_node *rig);        // the node runs in a child until killed; options as set

struct line_client {
    int fd;
    char buf[1 << 16];
    size_t len;
};
bool line_connect(struct line_client *client, const char *address);
void line_send(struct line_client *client, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool line_read(struct line_client *client, char *line, size_t max, int timeout_ms); // false: ended or late
void line_close_client(struct line_client *client);
// Sends one line, gives the answer's line ("" when the connection ended).
const char *line_ask(struct line_client *client, char *line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
