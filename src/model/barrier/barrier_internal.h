// What the files of the barrier model share. Nothing outside this folder includes it.
//
//   barrier.c         state, what ends by time or with a session, queries, save and load
//   barrier_double.c  double barriers: places and rounds
//   barrier_latch.c   latches
//   barrier_write.c   commands' bytes
#pragma once
#include "model/barrier/barrier.h"
#include "model/owned.h"

struct barrier { // exists while it has a place
    struct item item;
    uint64_t number, round;            // round 0: nobody is inside
    uint32_t size;                     // members of a round
    uint32_t waiting, inside, leaving; // places in each state
};

struct place { // a member's; its item's name: see place_name
    struct item item;
    struct omap_node of_session; // by (session, the barrier's number, number)
    struct deadline due;         // of its waiting
    struct barrier *barrier;
    uint64_t number, session, ticket, since_ms; // ticket: of the newest request
    enum barrier_place_state state;
    uint32_t member_len;
    uint8_t member[];
};

struct latch {
    struct item item;
    struct deadline due;
    uint64_t number, count, from;
};

enum barrier_deadline { DUE_PLACE, DUE_LATCH, DUE_REQUEST };
enum barrier_word { WORD_NUMBER, WORD_COUNT }; // the newest of barriers, places, tickets, rounds, latches, requests

struct barrier_state {
    struct items barriers, places, latches;
    struct remember_kind requests; // of LATCH_DOWN; scope: the latch's number; answer: what was left
    struct omap by_session;
    struct owned owned;
    struct heap due;
    struct item_sum sum;
    uint64_t words[WORD_COUNT];
    struct barrier_result result;
};

static inline bool barrier_name_good(struct bytes name) {
    return name.len > 0 && name.len <= BARRIER_NAME_BYTES_MAX;
}

// barrier_double.c
extern const struct item_kind barrier_kind, place_kind;
int place_compare(const struct omap_node *a, const struct omap_node *b); // of by_session
int barrier_apply_enter(struct barrier_state *state, struct apply *apply, uint64_t session, struct reader *r,
                        struct barrier_result *out);
int barrier_apply_leave(struct barrier_state *state, struct apply *apply, uint64_t session, struct reader *r,
                        struct barrier_result *out);
int barrier_apply_cancel(struct barrier_state *state, struct apply *apply, uint64_t session, struct reader *r);
void barrier_end_session(struct barrier_state *state, struct apply *apply, uint64_t session);
void place_time_out(struct barrier_state *state, struct apply *apply, struct place *place);
void barrier_show(const struct barrier_state *state, const struct item *item, const struct barrier_query *query);
void barrier_show_session(const struct barrier_state *state, const struct barrier_query *query);
bool barrier_load(struct barrier_state *state, struct reader *r);
bool place_load(struct barrier_state *state, struct reader *r);
void barrier_free_places(struct barrier_state *state);

// barrier_latch.c
extern const struct item_kind latch_kind;
int latch_apply_set(struct barrier_state *state, struct apply *apply, struct reader *r, struct barrier_result *out);
int latch_apply_down(struct barrier_state *state, struct apply *apply, struct reader *r, struct barrier_result *out);
int latch_apply_delete(struct barrier_state *state, struct apply *apply, struct reader *r);
void latch_end(struct barrier_state *state, struct apply *apply, struct latch *latch);
void latch_show(const struct item *item, const struct barrier_query *query);
bool latch_load(struct barrier_state *state, struct reader *r);
