// Time (replication.md "Time"): the leader's log time, entries that let time pass, and the offset to Unix time.
#include <errno.h>

#include "replica/core_internal.h"

#define OFFSET_CHECK_MS 1000u
#define OFFSET_LEAST_MS 20  // smaller differences are left alone: no entry a second for a clock's jitter
#define OFFSET_STEP_MS 1000 // larger ones need a majority of the clocks
#define OFFSET_SLEW_PART 20 // backward corrections take at most 1/20 (5 %) of the log time that passed
#define CLOCK_TELL_MS 50u   // how fine the service loop is told log time
#define HISTORY_STEP_MS 10u

// ---- log time

static void remember(struct core *core, uint64_t log_time_ms, uint64_t term) {
    const struct history *newest = &core->history[(core->history_at + CORE_HISTORY - 1) % CORE_HISTORY];
    if (newest->term == term && core->now_ms < newest->at_ms + HISTORY_STEP_MS) return;
    core->history[core->history_at] = (struct history){core->now_ms, log_time_ms, term};
    core->history_at = (core->history_at + 1) % CORE_HISTORY;
}

static void tell_clock(struct core *core) {
    if (core->log_time_ms < core->clock_told_ms + CLOCK_TELL_MS) return;
    core->clock_told_ms = core->log_time_ms;
    core->ops.clock(core->ops.context, core->log_time_ms);
}

// Log time follows our clock, but never further than 250 ms past the service loop's last turn that read its sockets;
// what a pause leaves out is dropped for good, so nobody is judged by time in which we could not have heard of him.
void core_time_move(struct core *core) {
    if (core->role != RAFT_LEADER) return;
    uint64_t turn = core->ops.service_turn_ms(core->ops.context);
    if (turn > core->turn_seen_ms) {
        if (turn > core->turn_seen_ms + CORE_TIME_AHEAD_MS && core->log_at_ms < turn) core->log_at_ms = turn;
        core->turn_seen_ms = turn;
    }
    uint64_t end = core->turn_seen_ms + CORE_TIME_AHEAD_MS;
    if (core->now_ms < end) end = core->now_ms;
    if (end <= core->log_at_ms) return;
    core->log_time_ms += end - core->log_at_ms;
    core->log_at_ms = end;
    remember(core, core->log_time_ms, core->term);
    tell_clock(core);
}

// term: of the leader who said it; 0: an entry's. A deposed leader's time went on while the new one's stood still:
// whoever took it over would let time jump, and end early what others hold.
void core_time_seen(struct core *core, uint64_t log_time_ms, uint64_t term) {
    if (term != 0 && term < core->term) return;
    if (log_time_ms > core->log_time_ms) core->log_time_ms = log_time_ms; // a new leader goes on from here
    if (core->role == RAFT_LEADER) return;
    // Only what the leader of this term said counts as known: a deposed one may be ahead of it.
    if (term != 0 && term == core->term) remember(core, log_time_ms, term);
    tell_clock(core);
}

uint64_t core_time_known_at(const struct core *core, uint64_t at_ms) {
    uint64_t known = 0;
    for (uint32_t i = 0; i < CORE_HISTORY; i++) {
        const struct history *h = &core->history[i];
        if (h->term == core->term && h->term != 0 && h->at_ms <= at_ms && h->log_ms > known) known = h->log_ms;
    }
    return known;
}

void core_time_leader_changed(struct core *core) {
    core->time_entry_index = 0;
    core->settings_told = false;
    core->time_waiting = false;
    core->time_entry_log_ms = core->log_time_ms;
    core->offset_entry_index = 0;
    core->offset_entry_log_ms = core->log_time_ms;
    core->unix_check_ms = core->now_ms;
    for (uint32_t id = 1; id < CORE_MEMBER_IDS; id++)
        if (core->peers[id] != NULL) core->peers[id]->unix_at_ms = 0;
    if (core->role != RAFT_LEADER) return;
    core->log_at_ms = core->now_ms;
    core->turn_seen_ms = core->ops.service_turn_ms(core->ops.context);
}

uint64_t core_time_deadline(const struct core *core, uint64_t log_deadline_ms) {
    if (log_deadline_ms == UINT64_MAX) return UINT64_MAX;
    if (log_deadline_ms <= core->log_time_ms) return core->now_ms;
    return core->now_ms + (log_deadline_ms - core->log_time_ms);
}

// ---- entries

static void propose_time(struct core *core) {
    struct writer w;
    writer_init(&w);
    group_write_time(&w);
    core_internal_command(core, bytes_of(w.data, w.len));
    writer_free(&w);
    core->time_waiting = true;
    core->time_entry_log_ms = core->log_time_ms;
}

static void time_entries(struct core *core) {
    if (core->time_waiting) return;
    if (core->stopping) {
        if (!core->stop_time_done) propose_time(core); // what has passed is then in the log
        core->stop_time_done = true;
        return;
    }
    if (core->time_entry_index != 0) {
        if (core->applied < core->time_entry_index)
            return; // one at a time; a full one is followed by the next as it is applied
        core->time_entry_index = 0;
    }
    if (core->next_deadline_ms == UINT64_MAX && core->leases.count == 0) return;
    bool due = core->next_deadline_ms <= core->log_time_ms;
    if (due || core->log_time_ms >= core->time_entry_log_ms + CORE_TIME_EVERY_MS) propose_time(core);
}

// ---- settings that every replica must have alike: those of the newest leader, proposed once in its term

static void settings(struct core *core) {
    if (core->settings_told) return;
    core->settings_told = true;
    for (size_t i = 0; i < GROUP_SETTING_COUNT; i++) {
        uint64_t wanted = core->options.settings[i];
        if (wanted == 0 || wanted == core->settings[i]) continue;
        struct writer w;
        writer_init(&w);
        group_write_setting(&w, (enum group_setting)i, wanted);
        core_internal_command(core, bytes_of(w.data, w.len));
        writer_free(&w);
    }
}

// ---- Unix time

// Do the clocks of a majority agree with ours to within a second? Every member counts that has told its clock lately.
static bool majority_of_clocks(const struct core *core) {
    const struct raft_membership *m = raft_membership(core->raft);
    uint32_t voters = 0, agree = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        const struct member *member = &m->members[i];
        if (member->role == MEMBER_LEARNER || member->role == MEMBER_OUTGOING) continue;
        voters++;
        const struct peer_state *peer = core->peers[member->id];
        if (member->id == core->options.id)
            agree++;
        else if (peer != NULL && peer->unix_at_ms != 0 && core->now_ms < peer->unix_at_ms + 2 * OFFSET_CHECK_MS &&
                 peer->unix_ahead_ms > -OFFSET_STEP_MS && peer->unix_ahead_ms < OFFSET_STEP_MS)
            agree++;
    }
    return agree > voters / 2;
}

static int64_t wanted_offset(const struct core *core) {
    return core->ops.unix_ms(core->ops.context) - (int64_t)core->log_time_ms;
}

static bool offset_under_way(const struct core *core) {
    return core->offset_entry_index == UINT64_MAX || core->offset_entry_index > core->applied;
}

static void propose_offset(struct core *core, int64_t offset_ms) {
    struct writer w;
    writer_init(&w);
    group_write_unix_offset(&w, offset_ms);
    core_internal_command(core, bytes_of(w.data, w.len));
    writer_free(&w);
    core->offset_entry_index = UINT64_MAX; // its batch's last index once proposed
    core->offset_entry_log_ms = core->log_time_ms;
}

// A new group has no Unix time. Internal commands go first in a batch, so its first command finds it set, whatever the
// others' clocks say.
void core_time_leading(struct core *core) {
    if (core->unix_offset_ms == 0 && !offset_under_way(core)) propose_offset(core, wanted_offset(core));
}

static void unix_offset(struct core *core) {
    if (core->now_ms < core->unix_check_ms) return;
    core->unix_check_ms = core->now_ms + OFFSET_CHECK_MS;
    if (offset_under_way(core)) return;
    int64_t change = wanted_offset(core) - core->unix_offset_ms;
    if (change > -OFFSET_LEAST_MS && change < OFFSET_LEAST_MS) return;
    bool step = change > OFFSET_STEP_MS || change < -OFFSET_STEP_MS;
    if (step && !majority_of_clocks(core)) {
        core->unix_check_ms = core->now_ms + OFFSET_CHECK_MS / 10; // after a start: as soon as the others have spoken
        return;
    }
    if (change < 0) { // it never goes back: log time has moved by `passed`, so 5 % less of that still goes forward
        int64_t passed = (int64_t)(core->log_time_ms - core->offset_entry_log_ms);
        int64_t most = passed / OFFSET_SLEW_PART;
        if (most > (int64_t)(10 * OFFSET_CHECK_MS / OFFSET_SLEW_PART)) most = 10 * OFFSET_CHECK_MS / OFFSET_SLEW_PART;
        if (change < -most) change = -most;
        if (change == 0) return;
    }
    propose_offset(core, core->unix_offset_ms + change);
}

// An operator's word (replication.md "Time"): Unix time is set to the leader's clock at once, back too, if a majority
// of the clocks agrees with it. Gives true when the request is answered.
bool core_time_step(struct core *core, struct admin_request *request) {
    int64_t wanted = wanted_offset(core), change = wanted - core->unix_offset_ms;
    if (offset_under_way(core) || !core_may_propose(core)) return false;
    if (change > -OFFSET_STEP_MS && change < OFFSET_STEP_MS) {
        bool done = request->proposed || request->retried;
        core_admin_finish(core, request, 0,
                          done ? "stepped" : "Unix time is within a second of the clocks: there is nothing to step");
        return true;
    }
    if (!majority_of_clocks(core)) { // those of a new leader's followers come with their next rounds
        if (core->now_ms < core->leader_since_ms + 3 * OFFSET_CHECK_MS) return false;
        core_admin_finish(core, request, -EINVAL,
                          "the leader's clock does not agree with a majority of the members': set the clocks first");
        return true;
    }
    LOG_WARN(core->options.log, "an operator steps Unix time by_ms=%lld", (long long)change);
    propose_offset(core, wanted);
    request->proposed = true;
    return false;
}

void core_time_tick(struct core *core) {
    if (!core_may_propose(core)) return;
    time_entries(core);
    unix_offset(core);
    settings(core);
}
