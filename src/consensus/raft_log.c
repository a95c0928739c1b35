// The log as Raft sees it: batches in memory for its tail, a run per term for all of it. Older batches are on disk and
// are asked for.
#include "base/alloc.h"
#include "consensus/raft_internal.h"

void raft_log_init(struct raft_log *log, uint64_t start_index, uint64_t start_term) {
    memset(log, 0, sizeof *log);
    log->start_index = log->last = log->persisted = log->commit = start_index;
    log->start_term = log->last_term = start_term;
}

static void drop_all(struct raft_log *log) {
    for (size_t i = 0; i < log->count; i++) batch_ref_release(raft_log_slot(log, i));
    log->head = log->count = 0;
    log->bytes = 0;
}

void raft_log_free(struct raft_log *log) {
    drop_all(log);
    mem_free(log->slots);
    mem_free(log->runs);
    memset(log, 0, sizeof *log);
}

// Place of the run that holds index; the newest is by far the most asked for.
static size_t run_of(const struct raft_log *log, uint64_t index) {
    ENSURE(log->run_count > 0 && log->runs[0].first <= index);
    if (log->runs[log->run_count - 1].first <= index) return log->run_count - 1;
    size_t low = 0, high = log->run_count - 1; // runs[low].first <= index < runs[high].first
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (log->runs[middle].first <= index)
            low = middle;
        else
            high = middle;
    }
    return low;
}

bool raft_log_term_at(const struct raft_log *log, uint64_t index, uint64_t *term) {
    if (index < log->start_index || index > log->last) return false;
    *term = index == log->start_index ? log->start_term : log->runs[run_of(log, index)].term;
    return true;
}

uint64_t raft_log_backtrack(const struct raft_log *log, uint64_t index, uint64_t term, uint64_t *found_term) {
    if (index > log->last) index = log->last;
    while (index > log->start_index) { // a step per run, not per entry
        size_t run = run_of(log, index);
        if (log->runs[run].term <= term) {
            *found_term = log->runs[run].term;
            return index;
        }
        index = log->runs[run].first - 1;
    }
    *found_term = log->start_term;
    return log->start_index;
}

uint64_t raft_log_tail_first(const struct raft_log *log) {
    return log->count > 0 ? raft_log_slot(log, 0)->first : log->last + 1;
}

size_t raft_log_find(const struct raft_log *log, uint64_t index) {
    if (log->count == 0 || index < raft_log_slot(log, 0)->first || index > log->last) return SIZE_MAX;
    if (index >= raft_log_slot(log, log->count - 1)->first) return log->count - 1;
    size_t low = 0, high = log->count - 1; // slot(low).first <= index < slot(high).first
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (raft_log_slot(log, middle)->first <= index)
            low = middle;
        else
            high = middle;
    }
    return low;
}

uint64_t raft_batch_end(const struct raft_log *log, uint64_t index) {
    size_t place = raft_log_find(log, index);
    if (place == SIZE_MAX) return index;
    const struct batch_ref *batch = raft_log_slot(log, place);
    return batch->last == index ? index : batch->first - 1;
}

static void grow(struct raft_log *log) {
    size_t capacity = log->capacity == 0 ? 64 : log->capacity * 2;
    struct batch_ref *slots = mem_alloc(capacity * sizeof *slots);
    for (size_t i = 0; i < log->count; i++) slots[i] = *raft_log_slot(log, i);
    mem_free(log->slots);
    log->slots = slots;
    log->capacity = capacity;
    log->head = 0;
}

void raft_log_append(struct raft_log *log, struct batch_ref batch) {
    ENSURE(batch.first == log->last + 1 && batch.last >= batch.first);
    ENSURE(batch.term >= log->last_term && batch.term > 0);
    if (log->count == log->capacity) grow(log);
    log->slots[(log->head + log->count++) & (log->capacity - 1)] = batch;
    log->bytes += batch.buf->len;
    if (log->run_count == 0 || log->runs[log->run_count - 1].term != batch.term) {
        if (log->run_count == log->run_capacity) {
            log->run_capacity = log->run_capacity == 0 ? 16 : log->run_capacity * 2;
            log->runs = mem_realloc(log->runs, log->run_capacity * sizeof *log->runs);
        }
        log->runs[log->run_count++] = (struct term_run){batch.first, batch.term};
    }
    log->last = batch.last;
    log->last_term = batch.term;
    uint64_t time_ms = raft_batch_time(&batch);
    if (time_ms > log->log_time_ms) log->log_time_ms = time_ms;
}

void raft_log_truncate(struct raft_log *log, uint64_t from) {
    ENSURE(from > log->commit &&
           from <= log->last); // what is committed never changes (thesis 3.6, State Machine Safety)
    while (log->count > 0 && raft_log_slot(log, log->count - 1)->first >= from) {
        struct batch_ref *newest = raft_log_slot(log, log->count - 1);
        log->bytes -= newest->buf->len;
        batch_ref_release(newest);
        log->count--;
    }
    log->last = from - 1;
    ENSURE(log->count == 0 || raft_log_slot(log, log->count - 1)->last == log->last); // only between batches
    while (log->run_count > 0 && log->runs[log->run_count - 1].first >= from) log->run_count--;
    log->last_term = log->run_count > 0 ? log->runs[log->run_count - 1].term : log->start_term;
    if (log->persisted > log->last) log->persisted = log->last;
}

void raft_log_replace(struct raft_log *log, uint64_t index, uint64_t term) {
    ENSURE(index > log->commit);
    if (log->persisted > log->commit) log->persisted = log->commit; // until the new start is on disk
    drop_all(log);
    log->run_count = 0;
    log->start_index = log->last = log->commit = index;
    log->start_term = log->last_term = term;
}

void raft_log_trim(struct raft_log *log, uint64_t bytes_max) {
    uint64_t safe = log->commit < log->persisted ? log->commit : log->persisted;
    while (log->bytes > bytes_max && log->count > 0 && raft_log_slot(log, 0)->last <= safe) {
        struct batch_ref *oldest = raft_log_slot(log, 0);
        log->bytes -= oldest->buf->len;
        batch_ref_release(oldest);
        log->head = (log->head + 1) & (log->capacity - 1);
        log->count--;
    }
}

void raft_log_forget_runs(struct raft_log *log, uint64_t index) {
    if (log->run_count <= RAFT_TERM_RUNS_KEPT) return;
    size_t drop = 0; // the runs that end at or below index, but keep half of the bound for followers
    while (log->run_count - drop > RAFT_TERM_RUNS_KEPT / 2 && log->runs[drop + 1].first - 1 <= index &&
           log->runs[drop + 1].first < raft_log_tail_first(log))
        drop++;
    if (drop == 0) return;
    log->start_index = log->runs[drop].first - 1;
    log->start_term = log->runs[drop - 1].term;
    log->run_count -= drop;
    memmove(log->runs, log->runs + drop, log->run_count * sizeof *log->runs);
}
