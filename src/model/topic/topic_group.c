// Groups: members come and go, and who reads which partition follows in the same entry.
//
// Invariants, whenever no command is under way: a slot has an owner if and only if it has a target, and a token if and
// only if it has an owner; they differ only while it is revoked, and then both live. So a partition has one reader at
// most: the one whose token it is.
//
//   a reads it --rebalance: b is to--> revoked --RELEASE, or the hand-over time is over--> b reads it, under a new
//   token
//       \------- the end of a -----------------------------------------------------------/
#include "base/assert.h"
#include "base/planted.h"
#include "model/topic/topic_internal.h"

// ---- slots

static void tell(struct apply *apply, uint64_t member, uint64_t token) {
    struct topic_event event = {.type = TOPIC_EVENT_CHANGED, .member = member, .token = token};
    if (apply->emit) apply->emit(apply->emit_context, MODEL_TOPIC, &event);
}

static void assignment_changed(struct topic_state *state, struct apply *apply, const struct slot *slot) {
    slot->owner->version++;
    topic_changed(state, TABLE_MEMBERS, &slot->owner->item);
    tell(apply, slot->owner->id.number, slot->token);
}

static void revoke(struct topic_state *state, struct apply *apply, struct slot *slot) {
    uint64_t due_ms = time_after(apply->log_time_ms, slot->group->handover_ms);
    deadline_set(&state->due, &slot->handover, due_ms, slot->group->id.number + 1 + slot->partition);
    assignment_changed(state, apply, slot);
}

static void take_away(struct topic_state *state, struct apply *apply, struct slot *slot) {
    struct member *owner = slot->owner;
    deadline_set(&state->due, &slot->handover, NO_DEADLINE, 0);
    assignment_changed(state, apply, slot);
    owner->reads--;
    slot->owner = NULL;
    if (!PLANTED(TOPIC_TOKEN_KEPT)) slot->token = 0;
}

static void grant(struct topic_state *state, struct apply *apply, struct slot *slot) {
    uint64_t *token = &state->words[WORD_TOKEN];
    *token = *token + 1 > apply->index ? *token + 1 : apply->index;
    if (!PLANTED(TOPIC_TOKEN_KEPT) || slot->token == 0) slot->token = *token;
    slot->owner = slot->target;
    slot->owner->reads++;
    assignment_changed(state, apply, slot);
}

// Lets this member, or nobody, read it: at once where nobody does, else when its reader has been asked.
static void assign(struct topic_state *state, struct apply *apply, struct slot *slot, struct member *target) {
    bool revoked = slot_revoked(slot);
    if (slot->target == target && slot->owner == target && !revoked) return;
    slot->target = target;
    if (slot->owner == NULL) {
        grant(state, apply, slot);
    } else if (target == NULL) {
        take_away(state, apply, slot);
    } else if (slot->owner == target) { // it keeps what it was asked for
        deadline_set(&state->due, &slot->handover, NO_DEADLINE, 0);
        assignment_changed(state, apply, slot);
    } else if (!revoked) { // else its time goes on
        revoke(state, apply, slot);
    }
    topic_changed(state, TABLE_SLOTS, &slot->item);
}

void topic_handover(struct topic_state *state, struct apply *apply, struct slot *slot) {
    take_away(state, apply, slot);
    grant(state, apply, slot);
    topic_changed(state, TABLE_SLOTS, &slot->item);
}

// ---- rebalance

static struct topic_candidate candidate_of(const struct member *member) {
    return (struct topic_candidate){.name = topic_own_name(&member->item),
                                    .room = bytes_of(member->room, member->room_len),
                                    .configured = bytes_of(member->configured, member->configured_len)};
}

void topic_rebalance(struct topic_state *state, struct apply *apply, struct group *group) {
    const struct topic *topic = group->topic;
    struct member **members = arena_alloc(&state->arena, sizeof(struct member *) * (group->members + 1));
    struct topic_candidate *candidates = arena_alloc(&state->arena, sizeof *candidates * (group->members + 1));
    struct bytes *rooms = arena_alloc(&state->arena, sizeof *rooms * topic->partition_count);
    uint32_t *places = arena_alloc(&state->arena, sizeof *places * topic->partition_count), count = 0;
    struct item *item = topic_first_of(state, TABLE_MEMBERS, group->id.number);
    for (; item; item = topic_next_of(item, group->id.number)) {
        members[count] = CONTAINER_OF(item, struct member, item);
        candidates[count] = candidate_of(members[count]);
        count++;
    }
    for (uint32_t p = 0; p < topic->partition_count; p++)
        rooms[p] = bytes_of(topic->partitions[p]->room, topic->partitions[p]->room_len);
    struct topic_allocation allocation = {.strategy = group->strategy,
                                          .partitions = topic->partition_count,
                                          .members = count,
                                          .rooms = rooms,
                                          .candidates = candidates};
    topic_allocate(&allocation, places);
    for (uint32_t p = 0; p < topic->partition_count; p++)
        assign(state, apply, group->slots[p], places[p] == TOPIC_NOBODY ? NULL : members[places[p]]);
    group->generation++;
    topic_changed(state, TABLE_GROUPS, &group->item);
}

// Whoever was to get something from it, or it from others, is seen to by the rebalance that follows.
void topic_member_end(struct topic_state *state, struct apply *apply, struct member *member) {
    struct group *group = member->group;
    uint64_t number = member->id.number;
    for (uint32_t p = 0; p < group->topic->partition_count; p++) {
        struct slot *slot = group->slots[p];
        if (slot->owner != member && slot->target != member) continue;
        if (slot->owner == member) take_away(state, apply, slot);
        slot->target = slot->owner; // while it is revoked its time goes on, for whoever comes next
        topic_changed(state, TABLE_SLOTS, &slot->item);
    }
    member_free(state, member);
    tell(apply, number, 0);
}

// ---- JOIN

static bool join_good(const struct topic_join *join, uint64_t session) {
    if (!topic_name_good(join->topic) || !topic_name_good(join->group) || !topic_name_good(join->member)) return false;
    if ((session != 0) == (join->ttl_ms > 0) || join->ttl_ms > TOPIC_TIME_MS_MAX) return false;
    if (join->strategy >= TOPIC_STRATEGY_END || join->start > TOPIC_LATEST) return false;
    return join->handover_ms <= TOPIC_TIME_MS_MAX && join->room.len <= TOPIC_ROOM_BYTES_MAX;
}

static bool read_join(struct topic_state *state, struct reader *r, struct topic_join *join) {
    *join = (struct topic_join){.topic = read_blob(r)};
    join->group = read_blob(r);
    join->member = read_blob(r);
    join->ttl_ms = read_varint(r);
    join->strategy = read_u8(r);
    join->start = read_u8(r);
    join->handover_ms = read_varint(r);
    join->room = read_blob(r);
    uint64_t count = read_varint(r);
    if (r->failed || count > reader_left(r)) return false;
    uint32_t *partitions = arena_alloc(&state->arena, sizeof *partitions * (size_t)count);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t partition = read_varint(r);
        partitions[i] = partition > UINT32_MAX ? UINT32_MAX : (uint32_t)partition;
    }
    join->partitions = partitions;
    join->partition_count = (uint32_t)count;
    return reader_done(r) && count <= UINT32_MAX;
}

static void configure(struct member *member, const struct topic_join *join) {
    memset(member->configured, 0, sizeof member->configured);
    member->configured_len = 0;
    for (uint32_t i = 0; i < join->partition_count; i++) {
        uint32_t p = join->partitions[i];
        member->configured[p / 8] |= (uint8_t)(1u << p % 8);
        if (p / 8 >= member->configured_len) member->configured_len = (uint8_t)(p / 8 + 1);
    }
    member->room_len = (uint8_t)join->room.len;
    if (join->room.len > 0) memcpy(member->room, join->room.data, join->room.len);
}

static int may_join(const struct topic_state *state, const struct topic *topic, const struct group *group,
                    const struct member *former, const struct topic_join *join, uint64_t session) {
    for (uint32_t i = 0; i < join->partition_count; i++)
        if (join->partitions[i] >= topic->partition_count) return TOPIC_PARTITION;
    if (group == NULL && topic->groups >= TOPIC_GROUPS_MAX) return TOPIC_LIMIT;
    uint32_t others = group ? group->members - (former ? 1 : 0) : 0;
    if (others > 0 && join->strategy != TOPIC_STRATEGY_ANY && join->strategy != group->strategy) return TOPIC_STRATEGY;
    if (others >= TOPIC_MEMBERS_MAX) return TOPIC_LIMIT;
    bool more = former == NULL || former->session != session;
    return more && owned_count(&state->owned, session) >= TOPIC_SESSION_MAX ? TOPIC_LIMIT : 0;
}

static struct group *make_group(struct topic_state *state, struct topic *topic, const struct topic_join *join) {
    uint64_t number = topic_next_number(state);
    struct group *group = group_make(state, topic, join->group, number);
    state->words[WORD_NUMBER] += topic->partition_count;
    group->strategy = TOPIC_AVERAGELY;
    group->handover_ms = TOPIC_HANDOVER_MS_DEFAULT;
    for (uint32_t p = 0; p < topic->partition_count; p++) {
        const struct partition *partition = topic->partitions[p];
        group->slots[p]->committed = join->start == TOPIC_LATEST ? partition->end : partition->first;
        topic_changed(state, TABLE_SLOTS, &group->slots[p]->item);
    }
    return group;
}

// The group's first member says how it is shared, and how long a hand-over may take.
static void settings(struct group *group, const struct topic_join *join) {
    if (join->strategy != TOPIC_STRATEGY_ANY) group->strategy = join->strategy;
    if (join->handover_ms > 0) group->handover_ms = join->handover_ms;
}

static struct member *new_member(struct topic_state *state, const struct apply *apply, struct group *group,
                                 const struct topic_join *join, uint64_t session) {
    struct member *member = member_make(state, group, join->member, topic_next_number(state), session);
    member->since_ms = apply->log_time_ms;
    return member;
}

int topic_apply_join(struct topic_state *state, struct apply *apply, uint64_t session, struct reader *r,
                     struct topic_result *out) {
    struct topic_join join;
    if (!read_join(state, r, &join)) return COMMAND_BAD_COMMAND;
    if (!join_good(&join, session)) return TOPIC_BAD_ARGUMENTS;
    struct topic *topic = topic_find(state, join.topic);
    if (topic == NULL) return TOPIC_NOT_FOUND;
    struct group *group = group_find(state, topic, join.group);
    struct item *same = group ? topic_find_item(state, TABLE_MEMBERS, group->id.number, join.member) : NULL;
    struct member *member = same ? CONTAINER_OF(same, struct member, item) : NULL;
    int error = may_join(state, topic, group, member, &join, session);
    if (error) return error;
    if (group == NULL) group = make_group(state, topic, &join);
    if (member && (session == 0 || member->session != session)) { // its name goes to who joins now, its tokens end
        topic_member_end(state, apply, member);
        member = NULL;
    }
    if (group->members == (member ? 1u : 0u)) settings(group, &join);
    if (member == NULL) member = new_member(state, apply, group, &join, session);
    configure(member, &join);
    member->ttl_ms = join.ttl_ms;
    if (session == 0)
        deadline_set(&state->due, &member->due, time_after(apply->log_time_ms, join.ttl_ms), member->id.number);
    topic_changed(state, TABLE_MEMBERS, &member->item);
    topic_rebalance(state, apply, group);
    out->member = member->id.number;
    out->generation = group->generation;
    out->version = member->version;
    return 0;
}

// ---- what members ask

int topic_apply_of_member(struct topic_state *state, struct apply *apply, uint8_t op, struct reader *r,
                          struct topic_result *out) {
    struct bytes topic_name = read_blob(r), group_name = read_blob(r);
    uint64_t number = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    const struct topic *topic = topic_find(state, topic_name);
    struct group *group = topic ? group_find(state, topic, group_name) : NULL;
    struct member *member = group ? topic_numbered(state, NUMBERED_MEMBER, number) : NULL;
    if (member == NULL || member->group != group) return TOPIC_NOT_MEMBER;
    if (op == TOPIC_LEAVE) {
        topic_member_end(state, apply, member);
        topic_rebalance(state, apply, group);
        return 0;
    }
    if (member->ttl_ms == 0) return TOPIC_BAD_ARGUMENTS;
    deadline_set(&state->due, &member->due, time_after(apply->log_time_ms, member->ttl_ms), number);
    topic_changed(state, TABLE_MEMBERS, &member->item);
    out->member = number;
    out->generation = group->generation;
    out->version = member->version;
    return 0;
}

static int commit(struct topic_state *state, struct slot *slot, uint64_t offset, struct topic_result *out) {
    if (offset > slot->group->topic->partitions[slot->partition]->end) return TOPIC_OFFSET;
    if (offset > slot->committed) { // a repeat, or an older one that comes late, takes nothing back
        slot->committed = offset;
        topic_changed(state, TABLE_SLOTS, &slot->item);
    }
    out->committed = slot->committed;
    out->revoked = slot_revoked(slot);
    return 0;
}

int topic_apply_of_slot(struct topic_state *state, struct apply *apply, uint8_t op, struct reader *r,
                        struct topic_result *out) {
    struct bytes topic_name = read_blob(r), group_name = read_blob(r);
    uint64_t partition = read_varint(r), token = read_varint(r), offset = op == TOPIC_COMMIT ? read_varint(r) : 0;
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    const struct topic *topic = topic_find(state, topic_name);
    struct group *group = topic ? group_find(state, topic, group_name) : NULL;
    if (group == NULL) return TOPIC_NOT_FOUND;
    if (partition >= topic->partition_count) return TOPIC_PARTITION;
    struct slot *slot = group->slots[partition];
    if (slot->owner == NULL || slot->token != token) return TOPIC_NOT_ASSIGNED;
    if (op == TOPIC_COMMIT) return commit(state, slot, offset, out);
    topic_handover(state, apply, slot);
    return 0;
}
