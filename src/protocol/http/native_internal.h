// What the files of the native operations share.
//
//   native.c          JSON in, problem documents out, which operation it is
//   native_table.c    the rooms, and all errors
//   native_fields.h   what the rooms' tables of fields are written with
//   native_flat.c     the same JSON without a tree, as far as it is plain
//   native_agent.c    agents (who submits commands) and calls (a request until it is answered)
//   native_session.c  sessions
//   native_json.c     what operations' arguments and answers are made of
//   native_ROOM.c     the operations of one model: arguments into commands, results and events into answers; its table
//
// A call belongs to its connection and to an agent. An agent is a client without a socket: one for each session that is
// attached here, and one for everything that has no session. So sessions outlive connections, and what a connection
// that has gone was waiting for can be cancelled.
//
//   connection --waits for--> call --of--> agent --commands, reads--> node
//                              ^ events of the model: by ticket or token
#pragma once
#include "base/hash.h"
#include "model/items.h"
#include "model/lease/lease.h"
#include "model/remember.h"
#include "protocol/http/internal.h"
#include "protocol/http/native.h"

struct native_value {
    bool given;
    struct bytes text;
    uint64_t number;
    const json_t *list;
};

enum agent_state { AGENT_READS, AGENT_ATTACHES, AGENT_READY, AGENT_ENDED };
struct http_agent {
    struct list link;
    struct hash_node by_session;
    struct http_instance *instance;
    struct client *client;
    enum agent_state state;
    uint64_t session; // 0: of calls without a session, or one that is being created
    uint8_t secret[LEASE_PASSWORD_BYTES];
    uint64_t since_ms;
    struct list calls;     // that wait for the agent or for events
    struct list timed;     // that time or an acknowledgement ends
    struct list submitted; // in the order of their commands
    struct list reading;
};

struct native_once { // the header Idempotency-Key, and the digest of the request
    size_t key_len;
    uint8_t key[REMEMBER_ID_BYTES_MAX], fingerprint[16];
};

enum call_state { CALL_WAITS_FOR_AGENT, CALL_SUBMITTED, CALL_READS, CALL_KEEPALIVE, CALL_WAITS_FOR_EVENT, CALL_GATED };
struct call_open {                // what a call needs while it does something, and not while it waits for an event
    json_t *body;                 // its texts are those of `values`; NULL: they are behind `values`
    struct native_once *once;     // NULL: none
    json_t *answer;               // CALL_GATED
    uint64_t tag;                 // of its command or read
    uint64_t since_ms;            // when it came; 0: it has waited since
    uint64_t token;               // of a run that began, and was not told yet
    uint64_t retry_after_ms;      // told in a header too, in whole seconds; 0: no
    int status;                   // CALL_GATED: the answer that waits
    struct native_value values[]; // of each field; behind them texts
};
struct http_call {               // 100,000 of them may wait at once
    struct http_waiting waiting; // its connection
    struct list of_agent;
    struct hash_node by_number; // while `numbered`: of call_number_waited
    struct http_agent *agent;
    const struct native_operation *operation;
    uint64_t until_ms;
    union {
        struct call_open *open;
        uint8_t *folded; // while `is_folded`: the values that were given, short
    };
    uint32_t folded_len;
    uint8_t state; // enum call_state
    bool is_folded;
    bool numbered;
    bool cleans_up; // its connection has gone, and it gives back what it got
};

// native.c
bool native_choice(const struct native_field *field, struct native_value *value); // its text is one of the words
void call_fold(struct http_call *call);
void call_unfold(struct http_call *call);
void native_standards(struct http_call *call); // values of what is not given
const struct native_value *call_value(const struct http_call *call, const char *field);
struct bytes call_text(const struct http_call *call, const char *field);
uint64_t call_number(const struct http_call *call, const char *field);
json_t *json_number(uint64_t number);
json_t *json_bytes(struct bytes text); // "" when it is no UTF-8
void http_problem(struct http_connection *c, const char *error, const char *detail, json_t *members); // members: taken

// native_flat.c: false: the library has to read it
bool native_flat(struct http_call *call, char *text, size_t len);

// native_agent.c
void call_dispose(struct http_instance *instance, struct http_call *call); // of no agent, and nowhere linked
void call_gone(struct http_call *call);                                    // its connection has
void call_begin(struct http_connection *c, struct http_call *call);        // finds its agent and runs it
void call_answer(struct http_call *call, int status, json_t *json); // frees the call; held back by the keep-alive rule
void call_answer_text(struct http_call *call, struct writer *w); // the same with 200; ends the object, takes the writer
void call_fail(struct http_call *call, const char *error, const char *detail, json_t *members); // at once
void call_fail_command(struct http_call *call, int error);                                      // of COMMAND_ERRORS
void call_submit(struct http_call *call, struct writer *w);    // a command; takes the writer
void call_read(struct http_call *call);                        // operation->read follows
uint64_t call_until(struct http_call *call, uint64_t wait_ms); // until when it may wait; set at its first read
void call_set_number(struct http_call *call, uint64_t number); // what it got without waiting, for `gone`
void call_wait(struct http_call *call, uint64_t number);       // for an event that names this ticket or token
// Submits the end of its wait. The event may come first, so it is waited for on, under another number.
void call_cancel(struct http_call *call, struct writer *w, uint64_t number);
void call_keepalive(struct http_call *call);
void call_attach(struct http_call *call, uint32_t ttl_ms); // a new session
void call_end(struct http_call *call);                     // nobody is told
uint64_t call_session(const struct http_call *call);
uint64_t call_attach_number(const struct http_call *call);
// The event that it waits for, or last waited for; 0: none. Tickets, tokens and digests are as good as their hashes.
static inline uint64_t call_number_waited(const struct http_call *call) {
    return call->by_number.hash;
}
struct http_call *call_waiting_for(struct http_instance *instance, uint64_t number); // NULL: none
void agent_submit(struct http_agent *agent, struct writer *w); // nobody waits for its answer; takes the writer
void agents_tick(struct http_instance *instance, uint64_t now_ms);
void agents_event(struct http_instance *instance, const struct lease_event *event);

// native_session.c
void session_text(uint64_t session, const uint8_t secret[LEASE_PASSWORD_BYTES], char out[64]);
bool session_parse(const char *text, uint64_t *session, uint8_t secret[LEASE_PASSWORD_BYTES]);
void session_keepalive_done(struct http_call *call); // the leader knows
void session_close_reply(struct http_call *call, const struct result *result);

// native_lock.c
struct lock_result;
void lock_fail(struct http_call *call, int error, const struct lock_result *lock); // of elections too

// native_registry_turns.c
struct registry_rotation;
struct registry_rotation *native_turn(struct http_instance *instance, struct bytes service, struct bytes zone,
                                      uint64_t strategy); // valid during the call
void native_turns_free(struct http_instance *instance);

// native_json.c
// As `name` when it is UTF-8 without a zero byte, else as base64 under `name_base64`.
void native_set_bytes(json_t *json, const char *name, const char *name_base64, struct bytes bytes);
// What one of two fields gives: text, or base64. false: both were given, and the call was answered.
bool call_bytes(struct http_call *call, const char *name, const char *name_base64, struct bytes *out);
// Answers that are written at once, without a tree: {"name":1,"other":true
void answer_begin(struct writer *w);
void answer_name(struct writer *w, const char *name); // a value follows
void answer_number(struct writer *w, const char *name, uint64_t number);
void answer_bool(struct writer *w, const char *name, bool value);
void answer_text(struct writer *w, const char *name, struct bytes text); // as json_bytes
void answer_bytes(struct writer *w, const char *name, const char *name_base64, struct bytes bytes);
uint64_t native_log_ms(const struct http_call *call);    // log time, as of what is applied here
uint64_t native_until(uint64_t from_ms, uint64_t to_ms); // 0 when it is over
// For lists: one more than `limit` is asked for, and says whether there are more.
struct native_list {
    json_t *items;
    size_t limit;
    bool more;
    uint64_t now_ms; // log time
};
struct items_page call_page(const struct http_call *call, struct native_list *list);
bool native_list_takes(struct native_list *list); // false: there is no room for this one
void native_list_answer(struct http_call *call, struct native_list *list, const char *name);
