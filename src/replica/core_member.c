// Members (replication.md "Members"): who may talk to us, the formation, taking in a wiped node, adding and removing,
// orderly end.
#include <errno.h>
#include <stdio.h>

#include "replica/core_internal.h"

#define ADMIN_WAIT_MS 30000u
#define TRANSFER_WAIT_MS 3000u
#define FORM_TELL_MS 5000u
#define CLUSTER_DOMAIN 0x636c7573u

bool core_peer_trusted(const struct core *core, uint32_t id) {
    const struct peer_state *peer = id < CORE_MEMBER_IDS ? core->peers[id] : NULL;
    const struct member *member = membership_find(raft_membership(core->raft), id);
    return peer != NULL && member != NULL && memcmp(peer->incarnation, member->incarnation, INCARNATION_BYTES) == 0;
}

// ---- hello

void core_own_hello(const struct core *core, struct core_hello *hello) {
    memset(hello, 0, sizeof *hello);
    hello->id = core->options.id;
    memcpy(hello->incarnation, core->options.incarnation, INCARNATION_BYTES);
    if (core->formed) memcpy(hello->cluster_id, core->options.cluster_id, 16);
    hello->empty = !core->formed;
    hello->apply_level_max = core->options.apply_level_max;
    memcpy(hello->address, core->options.advertised, sizeof hello->address);
}

static bool is_listed(const struct core *core, uint32_t id) {
    for (size_t i = 0; i < core->options.listed_count; i++)
        if (core->listed[i].id == id) return true;
    return false;
}

bool core_hello(struct core *core, uint64_t now_ms, const struct core_hello *hello, const char **refusal) {
    core->now_ms = now_ms;
    *refusal = NULL;
    if (hello->id < 1 || hello->id >= CORE_MEMBER_IDS)
        *refusal = "member ids are 1 to 255";
    else if (hello->id == core->options.id)
        *refusal = "that is this node's own id: two nodes run with the same --id";
    else if (core->formed && !hello->empty && memcmp(hello->cluster_id, core->options.cluster_id, 16) != 0)
        *refusal = "that node's data belongs to another cluster";
    else if (!core->formed && hello->empty && !is_listed(core, hello->id))
        *refusal = "that node is not in this node's --cluster";
    if (*refusal != NULL) return false;
    struct peer_state *peer = core_peer(core, hello->id);
    peer->seen = true;
    peer->empty = hello->empty;
    peer->heard_ms = now_ms;
    memcpy(peer->cluster_id, hello->cluster_id, 16);
    memcpy(peer->hello_incarnation, hello->incarnation, INCARNATION_BYTES);
    peer->apply_level_max = hello->apply_level_max;
    memcpy(peer->address, hello->address, sizeof peer->address);
    for (int a = 0; a < ADVERTISED_COUNT; a++) peer->address[a][ADDRESS_TEXT_MAX - 1] = 0;
    return true;
}

static size_t put_peer(struct core_peer *out, size_t count, size_t max, uint32_t id, const char *address) {
    if (address[0] == 0 || count >= max) return count;
    for (size_t i = 0; i < count; i++)
        if (out[i].id == id) return count;
    out[count].id = id;
    snprintf(out[count].address, ADDRESS_TEXT_MAX, "%s", address);
    return count + 1;
}

static bool adds(const struct admin_request *request) {
    return request->what == CORE_MEMBER_ADD || request->what == CORE_MEMBER_ADD_OBSERVER;
}

size_t core_peers(const struct core *core, struct core_peer *out, size_t max) {
    size_t count = 0;
    const struct raft_membership *m = raft_membership(core->raft);
    for (uint32_t i = 0; i < m->count; i++)
        if (m->members[i].id != core->options.id)
            count = put_peer(out, count, max, m->members[i].id, m->members[i].address[ADVERTISED_PEER]);
    for (size_t i = 0; !core->formed && i < core->options.listed_count; i++)
        if (core->listed[i].id != core->options.id)
            count = put_peer(out, count, max, core->listed[i].id, core->listed[i].address);
    for (size_t i = 0; i < core->admins.count; i++) {
        const struct admin_request *request = ring_at(&core->admins, i);
        if (adds(request)) count = put_peer(out, count, max, request->member, request->address);
    }
    for (uint32_t id = 1; id < CORE_MEMBER_IDS; id++) { // empty nodes that wait to be added
        const struct peer_state *peer = core->peers[id];
        if (peer != NULL && peer->seen && peer->empty && core->now_ms < peer->heard_ms + ADMIN_WAIT_MS)
            count = put_peer(out, count, max, id, peer->address[ADVERTISED_PEER]);
    }
    return count;
}

// ---- formation

static void describe(struct member *member, const uint8_t incarnation[INCARNATION_BYTES],
                     const char address[ADVERTISED_COUNT][ADDRESS_TEXT_MAX], uint32_t apply_level_max,
                     const char *peer_address) {
    memcpy(member->incarnation, incarnation, INCARNATION_BYTES);
    memcpy(member->address, address, sizeof member->address);
    member->apply_level_max = apply_level_max;
    if (member->address[ADVERTISED_PEER][0] == 0 && peer_address != NULL)
        snprintf(member->address[ADVERTISED_PEER], ADDRESS_TEXT_MAX, "%s", peer_address);
}

static const char *listed_address(const struct core *core, uint32_t id) {
    for (size_t i = 0; i < core->options.listed_count; i++)
        if (core->listed[i].id == id) return core->listed[i].address;
    return NULL;
}

static void form(struct core *core, const struct raft_membership *m) {
    struct writer w;
    writer_init(&w);
    for (uint32_t i = 0; i < m->count; i++) write_span(&w, bytes_of(m->members[i].incarnation, INCARNATION_BYTES));
    struct digest hash = digest_hash(w.data, w.len, CLUSTER_DOMAIN);
    writer_free(&w);
    uint8_t cluster_id[16];
    put_u64_le(cluster_id, hash.lo);
    put_u64_le(cluster_id + 8, hash.hi);
    LOG_INFO(core->options.log, "forms the cluster members=%u", m->count);
    if (core->ops.form != NULL) core->ops.form(core->ops.context, m, cluster_id, 1, 1);
    core_install(core, 1, 1, m, cluster_id);
    core_step_simple(core, RAFT_EVENT_CAMPAIGN, 0, true);
}

// Who is present and empty? The lowest of them forms, and only when all are: two halves can then never form both,
// because whoever was in a formation is not empty any more.
void core_member_form(struct core *core) {
    if (core->formed || core->stopping) return;
    struct raft_membership m;
    membership_init(&m);
    const struct core_options *o = &core->options;
    struct member *self = membership_add(&m, o->id);
    describe(self, o->incarnation, o->advertised, o->apply_level_max, listed_address(core, o->id));
    uint32_t missing = 0, belongs = 0;
    bool lowest = true;
    for (size_t i = 0; i < o->listed_count; i++) {
        uint32_t id = core->listed[i].id;
        if (id == o->id) continue;
        const struct peer_state *peer = core->peers[id];
        bool present = peer != NULL && peer->seen && peer->up[CORE_CONTROL];
        if (present && !peer->empty) belongs = id; // to a cluster: we wait to be taken in
        if (core->without[id]) continue;
        if (id < o->id) lowest = false;
        if (!present) {
            missing = id;
            continue;
        }
        if (membership_find(&m, id) == NULL)
            describe(membership_add(&m, id), peer->hello_incarnation, peer->address, peer->apply_level_max,
                     core->listed[i].address);
    }
    for (uint32_t i = 0; i < m.count; i++) m.members[i].role = MEMBER_VOTER;
    m.index = 1;
    if (belongs != 0) {
        if (core->now_ms >= core->form_told_ms + FORM_TELL_MS) {
            core->form_told_ms = core->now_ms;
            LOG_INFO(o->log,
                     "member %u belongs to a formed cluster: waits to be taken in (a lost disk's old member must be "
                     "silent for 10 s)",
                     belongs);
        }
    } else if (missing == 0 && lowest && !core->without[o->id]) {
        form(core, &m);
    } else if (missing != 0 && core->now_ms >= core->form_told_ms + FORM_TELL_MS) {
        core->form_told_ms = core->now_ms;
        LOG_INFO(o->log, "waits for member %u; to form the cluster without it: parley cluster form --without %u",
                 missing, missing);
    }
    membership_free(&m);
}

// ---- changes

static int propose(struct core *core, struct raft_membership *m) {
    m->joint = false;
    for (uint32_t i = 0; i < m->count; i++)
        if (m->members[i].role == MEMBER_OUTGOING || m->members[i].role == MEMBER_INCOMING) m->joint = true;
    struct raft_event event = {.type = RAFT_EVENT_MEMBERSHIP, .membership = m};
    int refused = core_step(core, &event)->refused;
    if (refused != 0) LOG_DEBUG(core->options.log, "membership change refused reason=%d", refused);
    return refused;
}

static bool settled(const struct core *core) {
    const struct raft_membership *m = raft_membership(core->raft);
    return !m->joint && m->index <= raft_commit(core->raft) && raft_term_committed(core->raft);
}

static bool newcomer(const struct core *core, uint32_t id) {
    const struct peer_state *peer = core->peers[id];
    return peer != NULL && peer->seen && peer->empty && peer->up[CORE_CONTROL] &&
           memcmp(peer->incarnation, peer->hello_incarnation, INCARNATION_BYTES) == 0;
}

// Who may be added: an empty node, or a member of before that still has its data. Raft brings its log up to date like
// that of any node that was away, whatever stands at its end.
static bool may_be_added(const struct core *core, uint32_t id) {
    const struct peer_state *peer = core->peers[id];
    bool here = peer != NULL && peer->seen && peer->up[CORE_CONTROL] &&
                memcmp(peer->incarnation, peer->hello_incarnation, INCARNATION_BYTES) == 0;
    return here && (peer->empty || memcmp(peer->cluster_id, core->options.cluster_id, 16) == 0);
}

static bool silent(const struct core *core, const struct peer_state *peer) {
    uint64_t heard = peer->member_heard_ms > core->leader_since_ms ? peer->member_heard_ms : core->leader_since_ms;
    return core->now_ms >= heard + CORE_SILENT_MS;
}

// A known id comes with a new incarnation: its disk was lost. The old voter is dead, so making it a learner (through
// both majorities) takes nothing away that was there: it answered no more. As a learner its incarnation is replaced,
// and the new one becomes a voter when it has caught up. Each step stands in the log, so a new leader goes on where the
// last one stopped. One joint change for all of it would need two members with one id.
static bool take_in(struct core *core) {
    const struct raft_membership *now = raft_membership(core->raft);
    for (uint32_t i = 0; i < now->count; i++) {
        const struct member *member = &now->members[i];
        if (member->id == core->options.id || !newcomer(core, member->id)) continue;
        const struct peer_state *peer = core->peers[member->id];
        if (memcmp(peer->hello_incarnation, member->incarnation, INCARNATION_BYTES) == 0) continue;
        if (core_level_too_old(core, member->id)) continue; // it could not go on behind the first entry
        if (member->role == MEMBER_VOTER && (membership_voters(now) < 2 || !silent(core, peer))) continue;
        if (member->role == MEMBER_LEARNER && !silent(core, peer) && !peer->taking_in) continue;
        struct raft_membership next;
        membership_copy(&next, now);
        struct member *changed = membership_find(&next, member->id);
        if (member->role == MEMBER_VOTER) {
            changed->role = MEMBER_OUTGOING;
            changed->stays = true;
            core->peers[member->id]->taking_in = true;
        } else {
            describe(changed, peer->hello_incarnation, peer->address, peer->apply_level_max,
                     member->address[ADVERTISED_PEER]);
            core->peers[member->id]->taking_in = false;
        }
        LOG_INFO(core->options.log, "takes in a new incarnation member=%u step=%s", member->id,
                 member->role == MEMBER_VOTER ? "old voter steps back" : "learner");
        int refused = propose(core, &next);
        membership_free(&next);
        return refused == 0;
    }
    return false;
}

static bool caught_up(const struct core *core, const struct member *member) {
    struct raft_progress progress;
    return core_peer_trusted(core, member->id) && raft_progress(core->raft, member->id, &progress) &&
           progress.state == RAFT_REPLICATE && progress.recent_active &&
           progress.match + CORE_CAUGHT_UP >= raft_last_index(core->raft);
}

// All learners that have caught up, but for observers, become voters in one joint change. A single voter waits for two
// of them: a cluster of two stops when either dies, so one grows to three at once.
static bool promote(struct core *core) {
    const struct raft_membership *now = raft_membership(core->raft);
    struct raft_membership next;
    membership_copy(&next, now);
    uint32_t ready = 0;
    for (uint32_t i = 0; i < next.count; i++) {
        if (next.members[i].role != MEMBER_LEARNER || next.members[i].observer) continue;
        if (!caught_up(core, &next.members[i])) continue;
        next.members[i].role = MEMBER_INCOMING;
        ready++;
    }
    bool done = ready > (membership_voters(now) == 1 ? 1u : 0u) && propose(core, &next) == 0;
    if (done) LOG_INFO(core->options.log, "learners become voters count=%u", ready);
    membership_free(&next);
    return done;
}

static bool told_anew(struct member *member, char (*address)[ADDRESS_TEXT_MAX], uint32_t apply_level_max) {
    bool differs = member->apply_level_max != apply_level_max;
    member->apply_level_max = apply_level_max;
    for (int a = 0; a < ADVERTISED_COUNT; a++) {
        if (a == ADVERTISED_PEER && address[a][0] == 0) continue;
        if (strcmp(address[a], member->address[a]) == 0) continue;
        memset(member->address[a], 0, ADDRESS_TEXT_MAX);
        snprintf(member->address[a], ADDRESS_TEXT_MAX, "%s", address[a]);
        differs = true;
    }
    return differs;
}

// A member that was restarted with other flags, or as another binary, tells its addresses and its apply level in its
// hello; the leader puts them into the log, so that clients (/zookeeper/config) and links find it. What the hello
// leaves empty stays as it was.
static bool redescribe(struct core *core) {
    const struct raft_membership *now = raft_membership(core->raft);
    struct raft_membership next;
    membership_copy(&next, now);
    uint32_t moved = 0;
    for (uint32_t i = 0; i < next.count; i++) {
        struct member *member = &next.members[i];
        const struct peer_state *peer = core->peers[member->id];
        bool self = member->id == core->options.id;
        const uint8_t *incarnation = self ? core->options.incarnation : peer != NULL ? peer->hello_incarnation : NULL;
        if (incarnation == NULL || memcmp(incarnation, member->incarnation, INCARNATION_BYTES) != 0) continue;
        if (!self && (!peer->seen || !peer->up[CORE_CONTROL])) continue;
        moved += self ? told_anew(member, core->options.advertised, core->options.apply_level_max)
                      : told_anew(member, core->peers[member->id]->address, peer->apply_level_max);
    }
    bool done = moved > 0 && propose(core, &next) == 0;
    if (done) LOG_INFO(core->options.log, "members have other addresses or binaries count=%u", moved);
    membership_free(&next);
    return done;
}

// ---- administration

void core_admin_finish(struct core *core, const struct admin_request *request, int error, const char *text) {
    if (request->from == 0) {
        core->ops.admin_done(core->ops.context, request->request, error, text);
        return;
    }
    struct core_frame frame = {.type = FRAME_ADMIN_DONE,
                               .term = core->term,
                               .a = request->request,
                               .signed_value = error,
                               .tail = bytes_of_text(text)};
    core_send_frame(core, request->from, CORE_CONTROL, &frame, NULL, 0);
}

static void add_answer(struct core *core, const struct admin_request *request, const struct member *member) {
    bool observer = request->what == CORE_MEMBER_ADD_OBSERVER;
    if (observer && !member->observer)
        core_admin_finish(core, request, -EINVAL, "it is a member already, and no observer: remove it first");
    else if (!observer && member->observer)
        core_admin_finish(core, request, -EINVAL, "it is an observer: promote it");
    else if (!request->proposed)
        core_admin_finish(core, request, 0, "it is a member already");
    else
        core_admin_finish(core, request, 0,
                          observer ? "added as an observer"
                                   : "added as a learner; it becomes a voter when it has caught up");
}

// Gives true when the request is answered.
static bool add(struct core *core, struct admin_request *request) {
    const struct raft_membership *now = raft_membership(core->raft);
    const struct member *member = membership_find(now, request->member);
    if (member != NULL) {
        if (now->index > raft_commit(core->raft)) return false;
        add_answer(core, request, member);
        return true;
    }
    if (now->count >= MEMBERS_MAX) {
        core_admin_finish(core, request, -ENOSPC, "the group has as many members as it can");
        return true;
    }
    if (may_be_added(core, request->member) && core_level_too_old(core, request->member)) {
        char text[160];
        snprintf(text, sizeof text,
                 "its binary knows apply level %u, this cluster is at level %u: install a newer one there",
                 core->peers[request->member]->apply_level_max, core_level_needed(core));
        core_admin_finish(core, request, -EINVAL, text);
        return true;
    }
    // Its removal must be applied here first: until then this leader's table of numbers holds its old stream.
    if (!may_be_added(core, request->member) || !settled(core) || core->membership_seen != now->index) return false;
    const struct peer_state *peer = core->peers[request->member];
    struct raft_membership next;
    membership_copy(&next, now);
    struct member *added = membership_add(&next, request->member);
    describe(added, peer->hello_incarnation, peer->address, peer->apply_level_max, request->address);
    added->observer = request->what == CORE_MEMBER_ADD_OBSERVER;
    if (propose(core, &next) == 0) request->proposed = true;
    membership_free(&next);
    return false;
}

static bool remove_member(struct core *core, struct admin_request *request) {
    const struct raft_membership *now = raft_membership(core->raft);
    const struct member *member = membership_find(now, request->member);
    if (member == NULL) {
        if (now->index > raft_commit(core->raft)) return false;
        bool done = request->proposed || request->retried; // retried: the leader asked first may have done it
        core_admin_finish(core, request, done ? 0 : -ENOENT, done ? "removed" : "no such member");
        return true;
    }
    if (!settled(core)) return false;
    if (member->role == MEMBER_VOTER && membership_voters(now) < 2) {
        core_admin_finish(core, request, -EINVAL, "it is the only voter");
        return true;
    }
    struct raft_membership next;
    membership_copy(&next, now);
    if (member->role == MEMBER_VOTER)
        membership_find(&next, request->member)->role = MEMBER_OUTGOING;
    else
        membership_remove(&next, request->member);
    if (propose(core, &next) == 0) request->proposed = true;
    membership_free(&next);
    return false;
}

static bool promote_one(struct core *core, struct admin_request *request) {
    const struct raft_membership *now = raft_membership(core->raft);
    const struct member *member = membership_find(now, request->member);
    if (member == NULL || (member->role == MEMBER_VOTER && now->index <= raft_commit(core->raft))) {
        core_admin_finish(core, request, member == NULL ? -ENOENT : 0,
                          member == NULL ? "no such member" : "it is a voter");
        return true;
    }
    if (!settled(core) || !caught_up(core, member)) return false;
    struct raft_membership next;
    membership_copy(&next, now);
    membership_find(&next, request->member)->role = MEMBER_INCOMING;
    membership_find(&next, request->member)->observer = false;
    if (propose(core, &next) == 0) request->proposed = true;
    membership_free(&next);
    return false;
}

static bool transfer(struct core *core, struct admin_request *request) {
    if (request->proposed) return false; // answered when this node leads no more
    struct raft_event event = {.type = RAFT_EVENT_TRANSFER, .peer = request->member};
    int refused = core_step(core, &event)->refused;
    request->proposed = true;
    request->deadline_ms = core->now_ms + TRANSFER_WAIT_MS;
    if (request->member == core->options.id)
        core_admin_finish(core, request, 0, "it leads already");
    else if (refused != 0)
        core_admin_finish(core, request, -EINVAL, "no such voter, or none that could lead");
    return refused != 0 || request->member == core->options.id;
}

static bool removal_committed(const struct core *core, uint32_t id) {
    const struct raft_membership *now = raft_membership(core->raft);
    return membership_find(now, id) == NULL && now->index <= raft_commit(core->raft);
}

static bool work_on(struct core *core, struct admin_request *request) {
    if (core->now_ms >= request->deadline_ms) {
        core_admin_finish(
            core, request, -ETIMEDOUT,
            adds(request) && !request->proposed
                ? "that node has not connected: start it with an empty folder and --cluster naming the members"
                : "not done in time; it may still happen");
        return true;
    }
    // A leader that removed itself leads no more once that is committed (thesis 4.2.2), and nobody takes its frames any
    // more: whoever proposed a removal and sees it committed answers, leader or not.
    if (request->what == CORE_MEMBER_REMOVE && request->proposed && removal_committed(core, request->member)) {
        core_admin_finish(core, request, 0, "removed");
        return true;
    }
    bool answered_elsewhere = core->role != RAFT_LEADER;
    if (answered_elsewhere) {
        if (request->what == CORE_TRANSFER && request->proposed && core->leader != 0) {
            core_admin_finish(core, request, 0, "handed over");
            return true;
        }
        if (request->from != 0) { // the asker's node sees the new leader and asks there
            return true;
        }
        if (core->leader == 0 || request->asked == core->leader) return false;
        if (request->asked != 0) request->retried = true;
        request->asked = core->leader;
        struct core_frame frame = {.type = FRAME_ADMIN,
                                   .term = core->term,
                                   .a = request->request,
                                   .b = (uint64_t)request->what,
                                   .c = request->member,
                                   .tail = bytes_of_text(request->address)};
        core_send_frame(core, core->leader, CORE_CONTROL, &frame, NULL, 0);
        return false;
    }
    if (request->asked != 0) request->retried = true;
    request->asked = 0;
    if (!core->leading) return false;
    switch (request->what) {
    case CORE_MEMBER_ADD:
    case CORE_MEMBER_ADD_OBSERVER:
        return add(core, request);
    case CORE_MEMBER_REMOVE:
        return remove_member(core, request);
    case CORE_MEMBER_PROMOTE:
        return promote_one(core, request);
    case CORE_TRANSFER:
        return transfer(core, request);
    case CORE_TIME_STEP:
        return core_time_step(core, request);
    case CORE_FORM_WITHOUT:
    case CORE_ADMIN_COUNT:
        break;
    }
    core_admin_finish(core, request, -EINVAL, "unknown request");
    return true;
}

static void work_on_all(struct core *core) {
    for (size_t left = core->admins.count; left > 0; left--) { // each once, in order
        struct admin_request request = *(struct admin_request *)ring_front(&core->admins);
        ring_pop(&core->admins);
        if (!work_on(core, &request)) *(struct admin_request *)ring_push(&core->admins) = request;
    }
}

void core_admin(struct core *core, uint64_t now_ms, uint64_t request, enum core_admin what, uint32_t member,
                const char *address) {
    core->now_ms = now_ms;
    if (what == CORE_FORM_WITHOUT) {
        if (core->formed)
            core->ops.admin_done(core->ops.context, request, -EEXIST, "the cluster is formed already");
        else if (member == core->options.id || !is_listed(core, member))
            core->ops.admin_done(core->ops.context, request, -EINVAL,
                                 "that member is not among the others in --cluster");
        else {
            core->without[member] = true;
            core_member_form(core);
            core->ops.admin_done(core->ops.context, request, 0,
                                 core->formed ? "formed" : "noted; waits for the others");
        }
        core_flush(core);
        return;
    }
    struct admin_request *r = ring_push(&core->admins);
    *r = (struct admin_request){
        .request = request, .what = what, .member = member, .deadline_ms = now_ms + ADMIN_WAIT_MS};
    if (address != NULL) snprintf(r->address, sizeof r->address, "%s", address);
    work_on_all(core);
    core_flush(core);
}

void core_member_frame(struct core *core, uint32_t from, const struct core_frame *frame) {
    if (frame->type == FRAME_ADMIN) {
        if (core->role != RAFT_LEADER || !core_peer_trusted(core, from) || frame->c >= CORE_MEMBER_IDS) return;
        if (frame->b >= CORE_ADMIN_COUNT || frame->tail.len >= ADDRESS_TEXT_MAX) return;
        struct admin_request *r = ring_push(&core->admins);
        *r = (struct admin_request){.request = frame->a,
                                    .from = from,
                                    .what = (enum core_admin)frame->b,
                                    .member = (uint32_t)frame->c,
                                    .deadline_ms = core->now_ms + ADMIN_WAIT_MS};
        if (frame->tail.len > 0) memcpy(r->address, frame->tail.data, frame->tail.len);
        work_on_all(core);
    } else if (frame->type == FRAME_ADMIN_DONE) {
        for (size_t left = core->admins.count; left > 0; left--) {
            struct admin_request request = *(struct admin_request *)ring_front(&core->admins);
            ring_pop(&core->admins);
            if (request.from == 0 && request.request == frame->a) {
                char text[256] = {0};
                memcpy(text, frame->tail.data, frame->tail.len < sizeof text ? frame->tail.len : sizeof text - 1);
                bool gone = request.what == CORE_MEMBER_REMOVE && request.retried && frame->signed_value == -ENOENT;
                core_admin_finish(core, &request, gone ? 0 : (int)frame->signed_value, gone ? "removed" : text);
            } else {
                *(struct admin_request *)ring_push(&core->admins) = request;
            }
        }
    }
}

// ---- orderly end

void core_stop(struct core *core, uint64_t now_ms) {
    core->now_ms = now_ms;
    if (core->stopping) return;
    core->stopping = true;
    core->stop_deadline_ms = now_ms + CORE_STOP_MS;
    core_stream_refuse(core, COMMAND_NOT_APPLIED);
    core_read_refuse(core, COMMAND_NOT_APPLIED);
    core_flush(core);
}

static void stop_tick(struct core *core) {
    if (!core->stopping || core->stopped) return;
    bool over = core->now_ms >= core->stop_deadline_ms || core->leader == 0;
    bool written = core->persisted == core->issued && core->own.chunks.count == 0;
    bool leads = core->role == RAFT_LEADER;
    if (leads && core->leading && !core->stop_time_done && !over) return; // its last time entry first
    if (leads) written = written && raft_commit(core->raft) == raft_last_index(core->raft);
    if (!over && !written) return;
    if (!over && leads && !core_alone(core)) {
        core_step_simple(core, RAFT_EVENT_TRANSFER, 0, true); // again: nothing while one is under way
        if (core->role == RAFT_LEADER) return;
    }
    core->stopped = true;
    core->ops.admin_done(core->ops.context, 0, 0, "stopped");
}

// ---- tick

static void lost_links(struct core *core) {
    core->lost_soon_ms = UINT64_MAX;
    for (uint32_t id = 1; id < CORE_MEMBER_IDS; id++) {
        struct peer_state *peer = core->peers[id];
        if (peer == NULL || peer->lost_at_ms == 0) continue;
        if (core->now_ms >= peer->lost_at_ms + CORE_LOST_GRACE_MS) {
            peer->lost_at_ms = 0;
            core_step_simple(core, RAFT_EVENT_PEER_LOST, id, false);
        } else if (peer->lost_at_ms + CORE_LOST_GRACE_MS < core->lost_soon_ms) {
            core->lost_soon_ms = peer->lost_at_ms + CORE_LOST_GRACE_MS;
        }
    }
}

void core_member_applied(struct core *core) {
    // Apply closes the stream of whoever is no member any more; so does the leader's table.
    const struct raft_membership *m = raft_membership(core->raft);
    if (m->index == core->membership_seen || m->index > core->applied) return;
    core->membership_seen = m->index;
    for (uint32_t id = 1; id < CORE_MEMBER_IDS; id++) {
        if (membership_find(m, id) != NULL) continue;
        core->streams[id].last_seq = core->appended[id].last_seq = STREAM_CLOSED;
    }
}

void core_member_tick(struct core *core) {
    core_member_form(core);
    lost_links(core);
    work_on_all(core);
    stop_tick(core);
    if (!core->leading || core->stopping || core->now_ms < core->member_check_ms) return;
    core->member_check_ms = core->now_ms + CORE_HOUSEKEEPING_MS;
    if (!settled(core) || take_in(core) || redescribe(core) || promote(core)) return;
    core_level_raise(core);
}
