// The replication loop: feeds core with what happened (mails, peer frames, disk completions, time), and does what core
// asks for: the journal, peer links, snapshot files, mails to the service loop. core is ticked at the end of each turn
// in which it was fed.
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/planted.h"
#include "node/internal.h"

struct persist {
    struct list link;
    struct journal_append append;
    struct journal_hard hard;
    struct replication *replication;
    uint64_t number;
};
struct log_read {
    struct list link;
    struct replication *replication;
    struct raft_need need;
};

static uint64_t now_of(const struct replication *replication) {
    return io_now_ms(replication->io);
}

void replication_fed(struct replication *replication) {
    replication->dirty = true;
}

// ---- to the service loop

static void flush_apply(struct replication *replication) {
    struct node_mail *mail = replication->apply;
    if (mail == NULL) return;
    replication->apply = NULL;
    if (replication->service_gone)
        mail_free(mail);
    else
        mail_post(&replication->node->to_service, mail);
}

static void tell(struct replication *replication, struct node_mail *mail) {
    flush_apply(replication); // order holds
    if (replication->service_gone)
        mail_free(mail);
    else
        mail_post(&replication->node->to_service, mail);
}

static void op_apply(void *context, const struct batch_ref *batches, size_t count, uint64_t epoch) {
    struct replication *replication = context;
    if (replication->apply != NULL && replication->apply->apply.epoch != epoch) flush_apply(replication);
    if (replication->apply == NULL) {
        replication->apply = mail_new(MAIL_APPLY);
        replication->apply->apply.epoch = epoch;
    }
    struct node_mail *mail = replication->apply;
    if (mail->apply.count + count > mail->apply.capacity) {
        size_t capacity = mail->apply.capacity == 0 ? 8 : mail->apply.capacity * 2;
        while (capacity < mail->apply.count + count) capacity *= 2;
        mail->apply.batches = mem_realloc(mail->apply.batches, capacity * sizeof *mail->apply.batches);
        mail->apply.capacity = capacity;
    }
    for (size_t i = 0; i < count; i++) {
        mail->apply.batches[mail->apply.count] = batches[i];
        mail->apply.batches[mail->apply.count++].buf = buf_ref(batches[i].buf);
    }
}

static void op_refused(void *context, uint64_t first_tag, uint64_t count, int error) {
    struct node_mail *mail = mail_new(MAIL_REFUSED);
    mail->refused.first_tag = first_tag;
    mail->refused.count = count;
    mail->refused.error = error;
    tell(context, mail);
}

static void op_read_ready(void *context, uint64_t round, uint64_t index, int error) {
    struct node_mail *mail = mail_new(MAIL_READ_READY);
    mail->read.round = round;
    mail->read.index = index;
    mail->read.error = error;
    tell(context, mail);
}

static void op_keepalive_acked(void *context, uint64_t round, const struct core_keepalive *unknown, size_t count) {
    struct node_mail *mail = mail_new(MAIL_KEEPALIVE_ACKED);
    mail->keepalive.round = round;
    mail->keepalive.count = count;
    if (count > 0) {
        mail->keepalive.list = mem_alloc(count * sizeof *unknown);
        memcpy(mail->keepalive.list, unknown, count * sizeof *unknown);
    }
    tell(context, mail);
}

static void op_status(void *context, const struct core_status *status) {
    struct replication *replication = context;
    if (status->leader != replication->last_leader) {
        if (status->leader != 0) replication->leader_changes++;
        LOG_INFO(replication->log, "leader id=%u term=%llu", status->leader, (unsigned long long)status->term);
        replication->last_leader = status->leader;
    }
    struct node_mail *mail = mail_new(MAIL_STATUS);
    mail->status = *status;
    tell(replication, mail);
}

static void op_clock(void *context, uint64_t log_time_ms) {
    const struct replication *replication = context;
    atomic_store_explicit(&replication->node->log_time_ms, log_time_ms, memory_order_relaxed);
}

static void op_alone(void *context, bool alone) {
    const struct replication *replication = context;
    atomic_store(&replication->node->alone, alone);
}

static void op_install(void *context, uint64_t index, uint64_t term, uint64_t epoch) {
    struct replication *replication = context;
    replication->installing = true;
    struct node_mail *mail = mail_new(MAIL_INSTALL);
    mail->snapshot.index = index;
    mail->snapshot.term = term;
    mail->snapshot.epoch = epoch;
    tell(replication, mail);
}

static void op_want_snapshot(void *context) {
    tell(context, mail_new(MAIL_WANT_SNAPSHOT));
}

static void begin_end(struct replication *replication) {
    if (replication->ending) return;
    replication->ending = true;
    tell(replication, mail_new(MAIL_END));
    replication->service_gone = true; // nothing may follow that mail: the service closes its wake-up behind it
}

static void op_admin_done(void *context, uint64_t request, int error, const char *text) {
    struct replication *replication = context;
    if (request == 0) {
        replication->stop_done = true; // the end begins outside of core, in the turn
        return;
    }
    struct node_mail *mail = mail_new(MAIL_ADMIN_DONE);
    mail->admin.request = request;
    mail->admin.error = error;
    mail->admin.text = text == NULL ? NULL : mem_strdup(text);
    tell(replication, mail);
}

// ---- disk

static void persist_free(struct persist *persist) {
    for (size_t i = 0; i < persist->append.batch_count; i++) batch_ref_release(&persist->append.batches[i]);
    mem_free(persist->append.batches);
    list_remove(&persist->link);
    mem_free(persist);
}

static void on_persisted(struct journal_append *append, int result) {
    struct persist *persist = append->context;
    struct replication *replication = persist->replication;
    uint64_t number = persist->number;
    persist_free(persist);
    replication->persists--;
    if (replication->node->dead) return;
    core_persisted(replication->core, now_of(replication), number, result);
    replication_fed(replication);
}

static void op_persist(void *context, const struct raft_update *update, uint64_t number) {
    struct replication *replication = context;
    struct persist *persist = mem_zalloc(sizeof *persist);
    persist->replication = replication;
    persist->number = number;
    persist->hard = (struct journal_hard){.term = update->term, .voted_for = update->voted_for};
    persist->append = (struct journal_append){.hard = update->hard_changed ? &persist->hard : NULL,
                                              .has_start = update->installed,
                                              .start_index = update->start_index,
                                              .start_term = update->start_term,
                                              .truncate_from = update->truncate_from,
                                              .batch_count = update->append_count,
                                              .done = on_persisted,
                                              .context = persist};
    if (update->append_count > 0) {
        persist->append.batches = mem_alloc(update->append_count * sizeof *update->append);
        for (size_t i = 0; i < update->append_count; i++) {
            persist->append.batches[i] = update->append[i];
            buf_ref(update->append[i].buf);
        }
    }
    replication->persists++;
    list_push_back(&replication->persisting, &persist->link);
    journal_append(replication->journal, &persist->append);
}

static void on_log_read(void *context, int result, struct batch_ref *batches, size_t count) {
    struct log_read *read = context;
    struct replication *replication = read->replication;
    struct raft_need need = read->need;
    list_remove(&read->link);
    mem_free(read);
    replication->persists--;
    if (result != 0)
        LOG_INFO(replication->log, "log read first=%llu last=%llu: %s", (unsigned long long)need.first,
                 (unsigned long long)need.last, strerror(-result));
    if (replication->node->dead) {
        for (size_t i = 0; i < count; i++) batch_ref_release(&batches[i]);
        return;
    }
    if (need.peer == 0 && result != 0 && result != -ENOENT) { // nobody sends it what it has: its state stands for ever
        node_fatal(replication->node, "cannot read the journal from index %llu on, to apply it: %s",
                   (unsigned long long)need.first, strerror(-result));
        return;
    }
    core_entries(replication->core, now_of(replication), &need, batches, count);
    replication_fed(replication);
}

static void op_read_log(void *context, const struct raft_need *need) {
    struct replication *replication = context;
    struct log_read *read = mem_zalloc(sizeof *read);
    read->replication = replication;
    read->need = *need;
    list_push_back(&replication->reading, &read->link);
    replication->persists++;
    journal_read(replication->journal, need->first, need->last, need->bytes_max, on_log_read, read);
}

// ---- snapshot files

static int64_t op_snapshot_read(void *context, uint64_t index, uint64_t term, uint64_t offset, void *data, size_t len) {
    struct node *node = ((struct replication *)context)->node;
    pthread_mutex_lock(&node->store_lock);
    int64_t n = snapshot_store_read(node->store, index, term, offset, data, len);
    pthread_mutex_unlock(&node->store_lock);
    return n;
}

static int verify_received(struct replication *replication, uint64_t index, uint64_t term,
                           struct raft_membership *membership) {
    struct node *node = replication->node;
    char path[4096], text[512] = "";
    struct snapshot_meta meta;
    struct writer encoded;
    writer_init(&encoded);
    snapshot_store_temporary(node->store, index, term, path);
    int error = snapshot_load(replication->io, path, &meta, &encoded, NULL, NULL, text);
    if (error == 0 && (meta.index != index || meta.term != term)) error = -EBADMSG;
    if (error == 0 && !membership_decode(membership, bytes_of(encoded.data, encoded.len))) error = -EBADMSG;
    writer_free(&encoded);
    if (error == 0) error = snapshot_store_commit(node->store, index, term);
    if (error != 0) {
        LOG_ERROR(replication->log, "received snapshot refused index=%llu: %s", (unsigned long long)index,
                  text[0] != 0 ? text : strerror(-error));
        snapshot_store_abandon(node->store, index, term);
    }
    return error;
}

static int op_snapshot_write(void *context, uint64_t index, uint64_t term, uint64_t offset, const void *data,
                             size_t len, bool last, struct raft_membership *membership) {
    struct replication *replication = context;
    struct node *node = replication->node;
    pthread_mutex_lock(&node->store_lock);
    int error = snapshot_store_receive(node->store, index, term, offset, data, len);
    if (error == 0 && last) error = verify_received(replication, index, term, membership);
    pthread_mutex_unlock(&node->store_lock);
    return error;
}

static int64_t op_snapshot_received(void *context, uint64_t index, uint64_t term) {
    struct node *node = ((struct replication *)context)->node;
    pthread_mutex_lock(&node->store_lock);
    int64_t n = snapshot_store_received(node->store, index, term);
    pthread_mutex_unlock(&node->store_lock);
    return n;
}

static bool op_snapshot_newest(void *context, uint64_t *index, uint64_t *term, uint64_t *bytes) {
    struct node *node = ((struct replication *)context)->node;
    struct snapshot_entry newest;
    pthread_mutex_lock(&node->store_lock);
    size_t count = snapshot_store_list(node->store, &newest, 1);
    pthread_mutex_unlock(&node->store_lock);
    if (count == 0) return false;
    *index = newest.index;
    *term = newest.term;
    *bytes = newest.bytes;
    return true;
}

// Segments behind the snapshot go, but what a follower a little behind may still ask for.
static void cut_journal(struct replication *replication, uint64_t index) {
    uint64_t keep = replication->node->options.journal_keep_entries;
    if (keep == 0) keep = JOURNAL_KEEP_ENTRIES_DEFAULT;
    uint64_t keep_from = index > keep ? index - keep : 1;
    const struct raft_membership *members = core_membership(replication->core);
    for (uint32_t i = 0; i < members->count; i++) {
        struct raft_progress progress;
        if (raft_role(core_raft(replication->core)) != RAFT_LEADER) break;
        if (!raft_progress(core_raft(replication->core), members->members[i].id, &progress)) continue;
        if (progress.recent_active && progress.match > 0 && progress.match + 1 < keep_from)
            keep_from = progress.match + 1;
    }
    if (PLANTED(JOURNAL_CUT_TOO_FAR)) index = keep_from = index + 2000;
    journal_cut(replication->journal, index, keep_from, JOURNAL_KEEP_BYTES);
}

// ---- identity

static uint64_t op_raise_boot(void *context) {
    struct replication *replication = context;
    struct node *node = replication->node;
    int error = folder_raise_boot(node->folder);
    if (error != 0) node_fatal(node, "cannot write %s/identity: %s", folder_path(node->folder), strerror(-error));
    uint64_t boot = folder_identity(node->folder)->boot;
    struct node_mail *mail = mail_new(MAIL_BOOT);
    mail->boot = boot;
    tell(replication, mail);
    return boot;
}

static void op_set_cluster(void *context, const uint8_t cluster_id[16]) {
    struct replication *replication = context;
    struct node *node = replication->node;
    int error = folder_set_cluster(node->folder, cluster_id);
    if (error != 0) node_fatal(node, "cannot write %s/identity: %s", folder_path(node->folder), strerror(-error));
    struct node_mail *mail = mail_new(MAIL_FORMED);
    memcpy(mail->formed.cluster_id, cluster_id, 16);
    tell(replication, mail);
}

static void op_form(void *context, const struct raft_membership *membership, const uint8_t cluster_id[16],
                    uint64_t index, uint64_t term) {
    node_save_genesis(((struct replication *)context)->node, membership, index, term, cluster_id);
}

// ---- the rest

static void op_send(void *context, uint32_t peer, enum core_channel channel, struct bytes head, struct buf *const *bufs,
                    size_t buf_count) {
    struct replication *replication = context;
    if (replication->links != NULL) links_send(replication->links, peer, channel, head, bufs, buf_count);
}

static int64_t op_unix_ms(void *context) {
    return io_unix_ms(((struct replication *)context)->io);
}

static uint64_t op_service_turn_ms(void *context) {
    return atomic_load_explicit(&((struct replication *)context)->node->service_turn_ms, memory_order_acquire);
}

// ---- mails

static void finish(struct replication *replication);

static void on_mail(struct replication *replication, struct node_mail *mail, uint64_t now_ms) {
    struct core *core = replication->core;
    replication_fed(replication);
    switch (mail->type) {
    case MAIL_COMMANDS:
        // Sent before the service loop saw the install: it has answered them as unknown, so they must not get numbers
        // now.
        if (replication->installing) break;
        core_commands(core, now_ms, mail->commands.first_tag, mail->commands.count,
                      bytes_of(mail->commands.bytes.data, mail->commands.bytes.len));
        break;
    case MAIL_WITHDRAW:
        if (!replication->installing) core_withdraw(core, now_ms, mail->refused.first_tag, mail->refused.error);
        break;
    case MAIL_READ:
        core_read(core, now_ms, mail->read.round);
        break;
    case MAIL_KEEPALIVE:
        core_keepalive(core, now_ms, mail->keepalive.round, mail->keepalive.list, mail->keepalive.count);
        break;
    case MAIL_APPLIED:
        core_applied(core, now_ms, &mail->applied);
        break;
    case MAIL_SNAPSHOT_MADE:
        core_snapshot_made(core, now_ms, mail->snapshot.index, mail->snapshot.term);
        cut_journal(replication, mail->snapshot.index);
        break;
    case MAIL_INSTALLED:
        replication->installing = false;
        core_installed(core, now_ms, mail->snapshot.epoch, mail->snapshot.index);
        cut_journal(replication, mail->snapshot.index);
        break;
    case MAIL_ADMIN:
        core_admin(core, now_ms, mail->admin.request, mail->admin.what, mail->admin.member, mail->admin.text);
        break;
    case MAIL_STOP:
        replication->stopping = true;
        replication->io->ops->timer_start(replication->io, &replication->stop_timer, STOP_WAIT_MS * 1000ull);
        core_stop(core, now_ms);
        break;
    case MAIL_SERVICE_ENDED:
        replication->service_ended = true;
        break;
    default:
        UNREACHABLE();
    }
}

void replication_mails(struct replication *replication) {
    struct mail *next = mailbox_take(&replication->node->to_replication.box);
    uint64_t now_ms = now_of(replication);
    while (next != NULL) {
        struct node_mail *mail = CONTAINER_OF(next, struct node_mail, link);
        next = next->next;
        if (!replication->ended && !replication->node->dead) on_mail(replication, mail, now_ms);
        mail_free(mail);
    }
}

// ---- the turn

static void arm(struct replication *replication, uint64_t now_ms) {
    uint64_t due = core_next_deadline_ms(replication->core);
    if (replication->armed_ms <= due && replication->armed_ms > now_ms)
        return; // it fires early enough, and looks again
    replication->armed_ms = due > now_ms ? due : now_ms + 1;
    replication->io->ops->timer_start(replication->io, &replication->deadline, (replication->armed_ms - now_ms) * 1000);
}

static void on_deadline(struct io_timer *timer) {
    struct replication *replication = timer->context;
    replication->armed_ms = UINT64_MAX;
    replication_fed(replication);
}

static void on_stop_timer(struct io_timer *timer) {
    ((struct replication *)timer->context)->stop_done = true; // nobody took over: ends all the same
}

static void on_tick(struct io_timer *timer) {
    struct replication *replication = timer->context;
    uint64_t now_ms = now_of(replication);
    replication->io->ops->timer_start(replication->io, timer, TICK_MS * 1000);
    if (replication->node->dead) return;
    if (replication->links != NULL) links_tick(replication->links, now_ms);
    struct journal_stats stats;
    journal_stats(replication->journal, &stats);
    core_disk_stall(replication->core, now_ms, stats.stalled_us / 1000); // also when it goes on again
    view_send(replication, now_ms);
    replication_fed(replication);
}

void replication_turn(struct replication *replication) {
    if (replication->ended || replication->node->dead) return;
    flush_apply(replication);
    uint64_t now_ms = now_of(replication);
    if (replication->dirty || now_ms >= core_next_deadline_ms(replication->core)) {
        replication->dirty = false;
        core_tick(replication->core, now_ms);
        flush_apply(replication);
    }
    if (replication->stop_done) begin_end(replication);
    arm(replication, now_ms);
    if (replication->service_ended && replication->persists == 0) finish(replication);
}

static void on_woken(struct io_wake *wake) {
    replication_mails(wake->context);
}

// ---- life

void replication_init(struct replication *replication, struct node *node) {
    replication->node = node;
    replication->io = node->options.replication_io;
    replication->log = node->log;
    replication->armed_ms = UINT64_MAX;
    list_init(&replication->persisting);
    list_init(&replication->reading);
    replication->ops = (struct core_ops){.persist = op_persist,
                                         .send = op_send,
                                         .apply = op_apply,
                                         .refused = op_refused,
                                         .read_ready = op_read_ready,
                                         .keepalive_acked = op_keepalive_acked,
                                         .status = op_status,
                                         .clock = op_clock,
                                         .alone = op_alone,
                                         .install = op_install,
                                         .want_snapshot = op_want_snapshot,
                                         .admin_done = op_admin_done,
                                         .read_log = op_read_log,
                                         .snapshot_read = op_snapshot_read,
                                         .snapshot_write = op_snapshot_write,
                                         .snapshot_received = op_snapshot_received,
                                         .snapshot_newest = op_snapshot_newest,
                                         .raise_boot = op_raise_boot,
                                         .set_cluster = op_set_cluster,
                                         .form = op_form,
                                         .unix_ms = op_unix_ms,
                                         .service_turn_ms = op_service_turn_ms,
                                         .context = replication};
    mailbox_init(&node->to_replication.box);
    node->to_replication.wake = (struct io_wake){.woken = on_woken, .context = replication, .io = replication->io};
}

void replication_begin(struct replication *replication) {
    struct io *io = replication->io;
    replication->deadline = (struct io_timer){.fire = on_deadline, .context = replication};
    replication->tick = (struct io_timer){.fire = on_tick, .context = replication};
    replication->stop_timer = (struct io_timer){.fire = on_stop_timer, .context = replication};
    io->ops->timer_start(io, &replication->tick, TICK_MS * 1000);
    io->ops->timer_start(io, &replication->deadline, 0);
}

static void close_all(struct replication *replication) {
    struct node *node = replication->node;
    struct io *io = replication->io;
    replication->ended = true;
    if (replication->links != NULL) links_free(replication->links);
    replication->links = NULL;
    io->ops->timer_stop(io, &replication->deadline);
    io->ops->timer_stop(io, &replication->tick);
    io->ops->timer_stop(io, &replication->stop_timer);
    if (replication->apply != NULL) mail_free(replication->apply);
    replication->apply = NULL;
    if (replication->journal != NULL && (replication->persists > 0 || node->abandoned))
        journal_abandon(replication->journal); // not an orderly end: the io has forgotten its jobs
    else if (replication->journal != NULL)
        journal_close(replication->journal);
    replication->journal = NULL;
    if (node->store != NULL) snapshot_store_close(node->store);
    node->store = NULL;
    if (node->folder != NULL) folder_close(node->folder);
    node->folder = NULL;
    if (node->to_replication.open) io->ops->wake_close(&node->to_replication.wake);
    node->to_replication.open = false;
}

static void finish(struct replication *replication) {
    struct node *node = replication->node;
    close_all(replication);
    replication->io->ops->set_turn_hook(replication->io, NULL, NULL);
    node_replication_done(node);
}

void replication_free(struct replication *replication) {
    if (replication->node == NULL) return;
    if (!replication->ended) {
        replication->io->ops->set_turn_hook(replication->io, NULL, NULL);
        close_all(replication);
    }
    while (!list_empty(&replication->persisting)) // nobody answers them any more
        persist_free(CONTAINER_OF(replication->persisting.next, struct persist, link));
    while (!list_empty(&replication->reading)) {
        struct log_read *read = CONTAINER_OF(replication->reading.next, struct log_read, link);
        list_remove(&read->link);
        mem_free(read);
    }
    struct mail *next = mailbox_take(&replication->node->to_replication.box);
    while (next != NULL) {
        struct node_mail *mail = CONTAINER_OF(next, struct node_mail, link);
        next = next->next;
        mail_free(mail);
    }
    core_free(replication->core);
    replication->core = NULL;
}
