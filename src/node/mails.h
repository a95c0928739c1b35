// What the service loop and the replication loop tell each other: messages by value, in order, each owned by its
// receiver. A mail is one allocation; spans that hang on it are freed with it by the receiver.
#pragma once
#include "base/alloc.h"
#include "base/histogram.h"
#include "base/mailbox.h"
#include "io/io.h"
#include "replica/core.h"

enum mail_type {
    // service -> replication
    MAIL_COMMANDS,      // all commands of one turn
    MAIL_WITHDRAW,      // this command shall not be proposed any more
    MAIL_READ,          // a linearizable round
    MAIL_KEEPALIVE,     // every 100 ms
    MAIL_APPLIED,       // once a turn in which something was applied
    MAIL_SNAPSHOT_MADE, // an own snapshot is on disk
    MAIL_INSTALLED,     // the received snapshot is loaded
    MAIL_ADMIN,
    MAIL_STOP,          // begin the orderly end
    MAIL_SERVICE_ENDED, // the service loop sends nothing more
    // replication -> service
    MAIL_APPLY,
    MAIL_REFUSED,
    MAIL_READ_READY,
    MAIL_KEEPALIVE_ACKED,
    MAIL_STATUS,
    MAIL_INSTALL,
    MAIL_WANT_SNAPSHOT,
    MAIL_ADMIN_DONE,
    MAIL_BOOT,   // the stream's new boot after an install
    MAIL_FORMED, // the cluster's id is known
    MAIL_VIEW,   // peers and journal figures, for status pages
    MAIL_END,    // close everything now; answer MAIL_SERVICE_ENDED
};

struct peer_view {
    uint32_t id;
    bool connected;
    uint64_t match;
};
struct replication_view { // every half second, for metrics and status pages
    struct peer_view peers[MEMBERS_MAX];
    size_t peer_count;
    uint64_t journal_bytes, journal_writes, journal_disk_bytes, leader_changes;
    struct histogram fsync_us;
};

struct node_mail {
    struct mail link;
    enum mail_type type;
    union {
        struct {
            uint64_t first_tag, count;
            struct writer bytes;
        } commands;
        struct {
            uint64_t round, index;
            int error;
        } read;
        struct {
            uint64_t round;
            struct core_keepalive *list;
            size_t count;
        } keepalive;                 // acked: the unknown ones
        struct core_applied applied; // leases, streams: owned
        struct {
            uint64_t index, term, epoch;
        } snapshot;
        struct {
            uint64_t request;
            enum core_admin what;
            uint32_t member;
            int error;
            char *text;
        } admin; // text: the address, or the answer
        struct {
            struct batch_ref *batches;
            size_t count, capacity;
            uint64_t epoch;
        } apply;
        struct {
            uint64_t first_tag, count;
            int error;
        } refused;
        struct core_status status;
        uint64_t boot;
        struct {
            uint8_t cluster_id[16];
        } formed;
        struct replication_view *view;
    };
};

// One direction: the box, and the wake-up of the loop that empties it.
struct postbox {
    struct mailbox box;
    struct io_wake wake;
    bool open; // the receiver's and, before both loops run, the starter's
};

static inline struct node_mail *mail_new(enum mail_type type) {
    struct node_mail *mail = mem_zalloc(sizeof *mail);
    mail->type = type;
    return mail;
}
static inline void mail_post(struct postbox *to, struct node_mail *mail) {
    if (mailbox_push(&to->box, &mail->link)) to->wake.io->ops->wake_signal(&to->wake);
}
void mail_free(struct node_mail *mail); // with everything that hangs on it
