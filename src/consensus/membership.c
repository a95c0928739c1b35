// The list of members, its bytes, and the majorities of joint consensus (Raft thesis 4.3).
#include "consensus/membership.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/planted.h"
#include <string.h>

// 1: before there were observers. It is written as long as there is none, so that older binaries read it.
#define MEMBERSHIP_FORMAT_FIRST 1u
#define MEMBERSHIP_FORMAT_OBSERVERS 2u
enum { FLAG_STAYS = 1, FLAG_OBSERVER = 2 };

void membership_init(struct raft_membership *m) {
    memset(m, 0, sizeof *m);
}

void membership_free(struct raft_membership *m) {
    mem_free(m->members);
    membership_init(m);
}

void membership_copy(struct raft_membership *to, const struct raft_membership *from) {
    struct raft_membership copy = *from;
    copy.members = NULL;
    if (from->count > 0) {
        copy.members = mem_alloc(from->count * sizeof *copy.members);
        memcpy(copy.members, from->members, from->count * sizeof *copy.members);
    }
    if (to != from)
        *to = copy; // a copy onto itself would lose the members
    else
        mem_free(copy.members);
}

static uint32_t place_of(const struct raft_membership *m, uint32_t id) {
    uint32_t place = 0;
    while (place < m->count && m->members[place].id < id) place++;
    return place;
}

struct member *membership_find(const struct raft_membership *m, uint32_t id) {
    uint32_t place = place_of(m, id);
    return place < m->count && m->members[place].id == id ? &m->members[place] : NULL;
}

struct member *membership_add(struct raft_membership *m, uint32_t id) {
    uint32_t place = place_of(m, id);
    ENSURE(id >= 1 && id <= 255 && m->count < MEMBERS_MAX);
    ENSURE(place == m->count || m->members[place].id != id);
    m->members = mem_realloc(m->members, (m->count + 1) * sizeof *m->members);
    memmove(&m->members[place + 1], &m->members[place], (m->count - place) * sizeof *m->members);
    memset(&m->members[place], 0, sizeof *m->members);
    m->members[place].id = id;
    m->count++;
    return &m->members[place];
}

void membership_remove(struct raft_membership *m, uint32_t id) {
    uint32_t place = place_of(m, id);
    ENSURE(place < m->count && m->members[place].id == id);
    m->count--;
    memmove(&m->members[place], &m->members[place + 1], (m->count - place) * sizeof *m->members);
}

void membership_encode(const struct raft_membership *m, struct writer *w) {
    bool observers = false;
    for (uint32_t i = 0; i < m->count; i++) observers |= m->members[i].observer;
    write_u8(w, observers ? MEMBERSHIP_FORMAT_OBSERVERS : MEMBERSHIP_FORMAT_FIRST);
    write_u64_le(w, m->index);
    write_u8(w, (uint8_t)m->count);
    for (uint32_t i = 0; i < m->count; i++) {
        const struct member *member = &m->members[i];
        write_u32_le(w, member->id);
        write_span(w, bytes_of(member->incarnation, INCARNATION_BYTES));
        write_u8(w, (uint8_t)member->role);
        write_u8(w, (uint8_t)((member->stays ? FLAG_STAYS : 0) | (member->observer ? FLAG_OBSERVER : 0)));
        write_u32_le(w, member->apply_level_max);
        write_u8(w, ADVERTISED_COUNT);
        for (int a = 0; a < ADVERTISED_COUNT; a++) write_blob(w, bytes_of_text(member->address[a]));
    }
}

static bool good_flags(uint8_t format, uint8_t role, uint8_t flags) {
    if ((flags & FLAG_STAYS) && role != MEMBER_OUTGOING) return false;
    if ((flags & FLAG_OBSERVER) && (format < MEMBERSHIP_FORMAT_OBSERVERS || role != MEMBER_LEARNER)) return false;
    return role <= MEMBER_INCOMING && (flags & ~(FLAG_STAYS | FLAG_OBSERVER)) == 0;
}

static bool read_member(struct reader *r, struct raft_membership *m, uint8_t format, uint32_t *id_before) {
    uint32_t id = read_u32_le(r);
    if (r->failed || id <= *id_before || id > 255) return false;
    *id_before = id;
    struct member *member = membership_add(m, id);
    struct bytes incarnation = read_span(r, INCARNATION_BYTES);
    if (r->failed) return false;
    memcpy(member->incarnation, incarnation.data, INCARNATION_BYTES);
    uint8_t role = read_u8(r), flags = read_u8(r);
    if (r->failed || !good_flags(format, role, flags)) return false;
    member->role = (enum member_role)role;
    member->stays = (flags & FLAG_STAYS) != 0;
    member->observer = (flags & FLAG_OBSERVER) != 0;
    member->apply_level_max = read_u32_le(r);
    uint8_t addresses = read_u8(r);
    for (uint8_t a = 0; a < addresses; a++) {
        struct bytes text = read_blob(r);
        if (r->failed || text.len >= ADDRESS_TEXT_MAX || (text.len > 0 && memchr(text.data, 0, text.len) != NULL))
            return false;
        if (a < ADVERTISED_COUNT && text.len > 0)
            memcpy(member->address[a], text.data, text.len); // later kinds: skipped
    }
    if (role == MEMBER_OUTGOING || role == MEMBER_INCOMING) m->joint = true;
    return !r->failed;
}

bool membership_decode(struct raft_membership *m, struct bytes span) {
    struct reader r = reader_of(span.data, span.len);
    membership_init(m);
    uint8_t format = read_u8(&r);
    m->index = read_u64_le(&r);
    uint8_t count = read_u8(&r);
    bool known = format == MEMBERSHIP_FORMAT_FIRST || format == MEMBERSHIP_FORMAT_OBSERVERS;
    bool good = !r.failed && known && count <= MEMBERS_MAX;
    uint32_t id_before = 0;
    for (uint8_t i = 0; good && i < count; i++) good = read_member(&r, m, format, &id_before);
    if (!good || !reader_done(&r)) {
        membership_free(m);
        return false;
    }
    return true;
}

bool membership_leave_joint(struct raft_membership *m) {
    if (!m->joint) return false;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        struct member *member = &m->members[i];
        if (member->role == MEMBER_OUTGOING && !member->stays) continue;
        if (member->role == MEMBER_OUTGOING) member->role = MEMBER_LEARNER;
        if (member->role == MEMBER_INCOMING) member->role = MEMBER_VOTER;
        member->stays = false;
        if (kept != i) m->members[kept] = *member;
        kept++;
    }
    m->count = kept;
    m->joint = false;
    return true;
}

bool membership_quorum(const struct raft_membership *m, bool (*vote)(void *context, uint32_t id), void *context) {
    uint32_t old_size = 0, old_votes = 0, new_size = 0, new_votes = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        const struct member *member = &m->members[i];
        if (member->role == MEMBER_LEARNER) continue;
        bool holds = vote(context, member->id);
        if (member->role != MEMBER_INCOMING) old_size++, old_votes += holds;
        if (member->role != MEMBER_OUTGOING) new_size++, new_votes += holds;
    }
    if (old_size == 0 && new_size == 0) return true;
    if (PLANTED(JOINT_ONE_MAJORITY)) return new_votes > new_size / 2;
    return old_votes > old_size / 2 && new_votes > new_size / 2; // an empty set has no majority
}

uint32_t membership_voters(const struct raft_membership *m) {
    uint32_t voters = 0;
    for (uint32_t i = 0; i < m->count; i++) voters += m->members[i].role != MEMBER_LEARNER;
    return voters;
}
