// Double barriers: who waits, who is inside, who leaves; when a round begins and when it is over.
//
// Invariants: a barrier without a place does not exist; round is not 0 exactly while somebody is inside; while nobody
// is inside, fewer than `size` wait; a member has one place in a barrier.
#include "base/assert.h"
#include "base/planted.h"
#include "model/barrier/barrier_internal.h"
#include <string.h>

static struct barrier *barrier_of(struct item *item) {
    return item ? CONTAINER_OF(item, struct barrier, item) : NULL;
}
static struct place *place_of(struct item *item) {
    return item ? CONTAINER_OF(item, struct place, item) : NULL;
}
static struct bytes member_of(const struct place *place) {
    return bytes_of(place->member, place->member_len);
}

static void record_barrier(const struct item *item, struct item_record *to) {
    const struct barrier *barrier = CONTAINER_OF_CONST(item, struct barrier, item);
    item_record_u64(to, barrier->number);
    item_record_u64(to, barrier->round);
    item_record_u64(to, barrier->size);
}
const struct item_kind barrier_kind = {.tag = 'b', .record = record_barrier};

static void record_place(const struct item *item, struct item_record *to) {
    const struct place *place = CONTAINER_OF_CONST(item, struct place, item);
    item_record_u64(to, place->session);
    item_record_u64(to, place->ticket);
    item_record_u64(to, place->since_ms);
    item_record_u64(to, place->state);
    item_record_u64(to, deadline_of(&place->due));
    item_record_text(to, member_of(place));
}
const struct item_kind place_kind = {.tag = 'p', .record = record_place};

// ---- places: those of a barrier stand together in their table, in the order in which they came

#define PLACE_NAME_BYTES_MAX (1 + BARRIER_NAME_BYTES_MAX + 8)

static struct bytes place_name(uint8_t to[PLACE_NAME_BYTES_MAX], const struct barrier *barrier, uint64_t number) {
    struct bytes name = item_name(&barrier->item);
    to[0] = (uint8_t)name.len;
    memcpy(to + 1, name.data, name.len);
    put_u64_be(to + 1 + name.len, number);
    return bytes_of(to, 1 + name.len + 8);
}

static const struct item *first_place(const struct barrier_state *state, const struct barrier *barrier) {
    uint8_t name[PLACE_NAME_BYTES_MAX];
    struct items_page page = {.after = place_name(name, barrier, 0)};
    page.prefix = bytes_of(page.after.data, page.after.len - 8);
    return items_page_first(&state->places, &page);
}

static struct place *next_place(const struct barrier *barrier, const struct item *item) {
    struct place *place = place_of(item ? (struct item *)(uintptr_t)item : NULL);
    return place && place->barrier == barrier ? place : NULL;
}

#define EACH_PLACE(state, barrier, place, next)                                                                        \
    for (struct place *place = next_place(barrier, first_place(state, barrier)), *next;                                \
         place && (next = next_place(barrier, items_next(&place->item)), true); place = next)

int place_compare(const struct omap_node *a, const struct omap_node *b) {
    const struct place *x = CONTAINER_OF_CONST(a, struct place, of_session);
    const struct place *y = CONTAINER_OF_CONST(b, struct place, of_session);
    if (x->session != y->session) return x->session < y->session ? -1 : 1;
    if (x->barrier->number != y->barrier->number) return x->barrier->number < y->barrier->number ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

struct place_key {
    uint64_t session, barrier;
};

static int below(const void *key, const struct omap_node *node) { // no place is equal: a lower bound is the first
    const struct place *place = CONTAINER_OF_CONST(node, struct place, of_session);
    const struct place_key *want = key;
    if (want->session != place->session) return want->session < place->session ? -1 : 1;
    return want->barrier <= place->barrier->number ? -1 : 1;
}

static struct place *first_of(const struct barrier_state *state, uint64_t session, uint64_t barrier) {
    struct place_key key = {session, barrier};
    struct omap_node *node = omap_lower_bound(&state->by_session, below, &key);
    struct place *place = node ? CONTAINER_OF(node, struct place, of_session) : NULL;
    return place && place->session == session ? place : NULL;
}

static struct place *next_of(const struct place *before) {
    struct omap_node *node = omap_next(&before->of_session);
    struct place *place = node ? CONTAINER_OF(node, struct place, of_session) : NULL;
    return place && place->session == before->session ? place : NULL;
}

static struct place *place_find(const struct barrier_state *state, const struct barrier *barrier, uint64_t session,
                                struct bytes member) {
    struct place *place = barrier ? first_of(state, session, barrier->number) : NULL;
    for (; place && place->barrier == barrier; place = next_of(place))
        if (bytes_equal(member_of(place), member)) return place;
    return NULL;
}

static uint32_t *count_of(struct barrier *barrier, enum barrier_place_state state) {
    return state == PLACE_WAITS ? &barrier->waiting : state == PLACE_INSIDE ? &barrier->inside : &barrier->leaving;
}

static struct place *place_make(struct barrier_state *state, struct barrier *barrier, uint64_t session,
                                struct bytes member, uint64_t number, enum barrier_place_state as) {
    uint8_t name[PLACE_NAME_BYTES_MAX];
    struct place *place = item_make(sizeof *place + member.len, place_name(name, barrier, number));
    place->due.kind = DUE_PLACE;
    place->barrier = barrier;
    place->session = session;
    place->number = place->ticket = number;
    place->state = as;
    place->member_len = (uint32_t)member.len;
    if (member.len > 0) memcpy(place->member, member.data, member.len);
    ENSURE(items_insert(&state->places, &place->item));
    ENSURE(omap_insert(&state->by_session, &place->of_session) == NULL);
    owned_more(&state->owned, session);
    ++*count_of(barrier, as);
    return place;
}

static void place_remove(struct barrier_state *state, struct place *place) {
    --*count_of(place->barrier, place->state);
    deadline_set(&state->due, &place->due, NO_DEADLINE, 0);
    omap_remove(&state->by_session, &place->of_session);
    owned_less(&state->owned, place->session);
    items_remove(&state->places, &place->item);
}

void barrier_free_places(struct barrier_state *state) {
    for (struct item *item; (item = items_first(&state->places)) != NULL;) place_remove(state, place_of(item));
}

// The wait of a place's newest request.
static void place_waits(struct barrier_state *state, const struct apply *apply, struct place *place,
                        enum barrier_place_state as, uint64_t wait_ms) {
    --*count_of(place->barrier, place->state);
    ++*count_of(place->barrier, as);
    place->state = as;
    place->since_ms = apply->log_time_ms;
    deadline_set(&state->due, &place->due, as == PLACE_INSIDE ? NO_DEADLINE : time_after(apply->log_time_ms, wait_ms),
                 place->number);
    items_changed(&state->places, &place->item);
}

static void tell(struct apply *apply, const struct place *place, enum barrier_event_type type, bool over) {
    struct barrier_event event = {.type = type, .ticket = place->ticket, .round = place->barrier->round, .over = over};
    if (apply->emit) apply->emit(apply->emit_context, MODEL_BARRIER, &event);
}

// The same member asks for what it waits for already: the older request is told, the place stays.
static void place_again(struct barrier_state *state, struct apply *apply, struct place *place) {
    tell(apply, place, BARRIER_EVENT_SUPERSEDED, false);
    place->ticket = ++state->words[WORD_NUMBER];
    items_changed(&state->places, &place->item);
}

// ---- rounds

static void barrier_drop_if_unused(struct barrier_state *state, struct barrier *barrier) {
    if (barrier->waiting + barrier->inside + barrier->leaving == 0) items_remove(&state->barriers, &barrier->item);
}

// `asks` is answered by its own result.
static void begin_round(struct barrier_state *state, struct apply *apply, struct barrier *barrier,
                        const struct place *asks) {
    if (barrier->inside > 0 || barrier->waiting + PLANTED(BARRIER_BEGINS_WITHOUT_ONE) < barrier->size) return;
    barrier->round = ++state->words[WORD_NUMBER];
    items_changed(&state->barriers, &barrier->item);
    EACH_PLACE(state, barrier, place, next) {
        if (place->state != PLACE_WAITS || barrier->inside == barrier->size) continue;
        place_waits(state, apply, place, PLACE_INSIDE, 0);
        if (place != asks) tell(apply, place, BARRIER_EVENT_ENTERED, false);
    }
}

// Somebody who was inside is so no longer.
static void end_round(struct barrier_state *state, struct apply *apply, struct barrier *barrier,
                      const struct place *asks) {
    if (barrier->inside > 0) return;
    EACH_PLACE(state, barrier, place, next) {
        if (place->state != PLACE_LEAVES) continue;
        if (place != asks) tell(apply, place, BARRIER_EVENT_LEFT, true);
        place_remove(state, place);
    }
    barrier->round = 0;
    items_changed(&state->barriers, &barrier->item);
    begin_round(state, apply, barrier, NULL);
    barrier_drop_if_unused(state, barrier);
}

// ---- operations

struct request {
    struct bytes name, member;
    uint64_t session, number, wait_ms; // number: a size, or a round
};

static int read_request(struct request *q, uint64_t session, struct reader *r) {
    *q = (struct request){.name = read_blob(r), .session = session};
    q->member = read_blob(r);
    q->number = read_varint(r);
    q->wait_ms = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    bool good = session != 0 && barrier_name_good(q->name) && q->member.len <= BARRIER_MEMBER_BYTES_MAX &&
                q->wait_ms <= BARRIER_WAIT_MS_MAX;
    return good ? 0 : BARRIER_BAD_ARGUMENTS;
}

static bool has_room(const struct barrier_state *state, const struct barrier *barrier, uint64_t session) {
    return owned_count(&state->owned, session) < BARRIER_SESSION_MAX &&
           (barrier == NULL || barrier->waiting + barrier->inside + barrier->leaving < BARRIER_PLACES_MAX);
}

static struct barrier *barrier_make(struct barrier_state *state, struct bytes name, uint64_t number, uint32_t size) {
    struct barrier *barrier = item_make(sizeof *barrier, name);
    barrier->number = number;
    barrier->size = size;
    ENSURE(items_insert(&state->barriers, &barrier->item));
    items_changed(&state->barriers, &barrier->item);
    return barrier;
}

int barrier_apply_enter(struct barrier_state *state, struct apply *apply, uint64_t session, struct reader *r,
                        struct barrier_result *out) {
    struct request q;
    int error = read_request(&q, session, r);
    if (error) return error;
    if (q.number == 0 || q.number > BARRIER_SIZE_MAX) return BARRIER_BAD_ARGUMENTS;
    struct barrier *barrier = barrier_of(items_find(&state->barriers, q.name));
    if (barrier && barrier->size != q.number) return BARRIER_KIND;
    struct place *place = place_find(state, barrier, session, q.member);
    if (place && place->state == PLACE_INSIDE) { // a retry
        out->round = barrier->round;
        return 0;
    }
    bool waits_already = place && place->state == PLACE_WAITS;
    bool begins = barrier ? barrier->inside == 0 && barrier->waiting + 1 >= barrier->size : q.number == 1;
    if (!waits_already && !begins && q.wait_ms == 0) return BARRIER_BUSY;
    if (place == NULL && !has_room(state, barrier, session)) return BARRIER_LIMIT;
    if (waits_already) {
        place_again(state, apply, place);
    } else {
        if (place) { // it waits for the others of its old round no longer
            tell(apply, place, BARRIER_EVENT_LEFT, false);
            place_remove(state, place);
        }
        if (barrier == NULL) barrier = barrier_make(state, q.name, ++state->words[WORD_NUMBER], (uint32_t)q.number);
        place = place_make(state, barrier, session, q.member, ++state->words[WORD_NUMBER], PLACE_WAITS);
        place_waits(state, apply, place, PLACE_WAITS, q.wait_ms);
        begin_round(state, apply, barrier, place);
    }
    out->waits = place->state == PLACE_WAITS;
    out->ticket = place->ticket;
    out->round = out->waits ? 0 : barrier->round;
    return 0;
}

int barrier_apply_leave(struct barrier_state *state, struct apply *apply, uint64_t session, struct reader *r,
                        struct barrier_result *out) {
    struct request q;
    int error = read_request(&q, session, r);
    if (error) return error;
    if (q.number == 0 || q.number > state->words[WORD_NUMBER]) return BARRIER_BAD_ARGUMENTS;
    struct barrier *barrier = barrier_of(items_find(&state->barriers, q.name));
    out->over = barrier == NULL || barrier->round != q.number;
    if (out->over) return 0;
    struct place *place = place_find(state, barrier, session, q.member);
    if (place && place->state == PLACE_WAITS) return 0; // it has left before, and waits for the next round
    if (place == NULL && q.wait_ms > 0 && !has_room(state, barrier, session)) return BARRIER_LIMIT;
    if (place && place->state == PLACE_LEAVES) place_again(state, apply, place);
    if (place == NULL && q.wait_ms == 0) return 0;
    if (place == NULL) place = place_make(state, barrier, session, q.member, ++state->words[WORD_NUMBER], PLACE_LEAVES);
    place->ticket = ++state->words[WORD_NUMBER];
    place_waits(state, apply, place, PLACE_LEAVES, q.wait_ms);
    out->over = barrier->inside <= PLANTED(BARRIER_OVER_WITH_ONE_INSIDE);
    out->waits = !out->over && q.wait_ms > 0;
    out->ticket = out->waits ? place->ticket : 0;
    if (out->over)
        end_round(state, apply, barrier, place);
    else if (!out->waits)
        place_remove(state, place);
    return 0;
}

int barrier_apply_cancel(struct barrier_state *state, struct apply *apply, uint64_t session, struct reader *r) {
    struct bytes name = read_blob(r), member = read_blob(r);
    uint64_t ticket = read_varint(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    struct barrier *barrier = barrier_of(items_find(&state->barriers, name));
    struct place *place = place_find(state, barrier, session, member);
    if (place == NULL || place->state == PLACE_INSIDE || place->ticket != ticket) return BARRIER_NOT_FOUND;
    tell(apply, place, BARRIER_EVENT_CANCELLED, false);
    place_remove(state, place);
    barrier_drop_if_unused(state, barrier);
    return 0;
}

// ---- what ends by time or with its session

void place_time_out(struct barrier_state *state, struct apply *apply, struct place *place) {
    struct barrier *barrier = place->barrier;
    tell(apply, place, place->state == PLACE_WAITS ? BARRIER_EVENT_TIMED_OUT : BARRIER_EVENT_LEFT, false);
    place_remove(state, place);
    barrier_drop_if_unused(state, barrier);
}

// What it waits for goes first: a round that begins by its leaving another is not to begin with it.
void barrier_end_session(struct barrier_state *state, struct apply *apply, uint64_t session) {
    for (struct place *place = first_of(state, session, 0), *next; place; place = next) {
        struct barrier *barrier = place->barrier;
        next = next_of(place);
        if (place->state == PLACE_INSIDE) continue;
        place_remove(state, place);
        barrier_drop_if_unused(state, barrier);
    }
    if (PLANTED(BARRIER_KEEPS_THE_DEAD)) return;
    for (struct place *place; (place = first_of(state, session, 0)) != NULL;) {
        struct barrier *barrier = place->barrier;
        place_remove(state, place);
        end_round(state, apply, barrier, NULL);
    }
}

// ---- queries and load

static void show_barrier(const struct barrier *barrier, const struct barrier_query *query) {
    struct barrier_info info = {.name = item_name(&barrier->item),
                                .round = barrier->round,
                                .size = barrier->size,
                                .waiting = barrier->waiting,
                                .inside = barrier->inside,
                                .leaving = barrier->leaving};
    query->barrier(query->context, &info);
}

static void show_place(const struct place *place, const struct barrier_query *query) {
    struct barrier_place_info info = {.member = member_of(place),
                                      .session = place->session,
                                      .ticket = place->ticket,
                                      .since_ms = place->since_ms,
                                      .state = place->state};
    query->place(query->context, &info);
}

void barrier_show(const struct barrier_state *state, const struct item *item, const struct barrier_query *query) {
    const struct barrier *barrier = CONTAINER_OF_CONST(item, struct barrier, item);
    show_barrier(barrier, query);
    if (query->place == NULL) return;
    EACH_PLACE(state, barrier, place, next) show_place(place, query);
}

void barrier_show_session(const struct barrier_state *state, const struct barrier_query *query) {
    for (struct place *place = first_of(state, query->session, 0); place; place = next_of(place)) {
        show_barrier(place->barrier, query);
        show_place(place, query);
    }
}

bool barrier_load(struct barrier_state *state, struct reader *r) {
    struct bytes name = item_read_text(r);
    uint64_t number = read_u64_le(r), round = read_u64_le(r), size = read_u64_le(r), newest = state->words[WORD_NUMBER];
    if (r->failed || !barrier_name_good(name) || items_find(&state->barriers, name)) return false;
    if (number > newest || round > newest || size == 0 || size > BARRIER_SIZE_MAX) return false;
    struct barrier *barrier = barrier_make(state, name, number, (uint32_t)size);
    barrier->round = round;
    items_changed(&state->barriers, &barrier->item);
    return true;
}

bool place_load(struct barrier_state *state, struct reader *r) {
    struct bytes name = item_read_text(r);
    uint64_t session = read_u64_le(r), ticket = read_u64_le(r), since_ms = read_u64_le(r), as = read_u64_le(r);
    uint64_t due_ms = read_u64_le(r), newest = state->words[WORD_NUMBER];
    struct bytes member = item_read_text(r);
    if (r->failed || name.len < 9 || name.data[0] != name.len - 9 || session == 0) return false;
    if (ticket > newest || as > PLACE_LEAVES || member.len > BARRIER_MEMBER_BYTES_MAX) return false;
    struct reader end = reader_of(name.data + name.len - 8, 8);
    uint64_t number = read_u64_be(&end);
    struct barrier *barrier = barrier_of(items_find(&state->barriers, bytes_of(name.data + 1, name.len - 9)));
    if (barrier == NULL || number > newest || items_find(&state->places, name)) return false;
    if (place_find(state, barrier, session, member) || (as != PLACE_WAITS && barrier->round == 0)) return false;
    if (as == PLACE_INSIDE && barrier->inside == barrier->size) return false;
    struct place *other = first_of(state, session, barrier->number);
    for (; other && other->barrier->number == barrier->number; other = next_of(other))
        if (other->barrier != barrier) return false; // two of one number
    struct place *place = place_make(state, barrier, session, member, number, (enum barrier_place_state)as);
    place->ticket = ticket;
    place->since_ms = since_ms;
    deadline_set(&state->due, &place->due, due_ms, number);
    items_changed(&state->places, &place->item);
    return true;
}
