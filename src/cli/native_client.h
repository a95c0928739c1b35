// Native operations (POST /v1/MODEL/OPERATION) of the commands: JSON in, JSON out, several servers, thread-safe. What
// one server did not answer, or says was not done, goes to the next one until the time is over. So only what may be
// done twice may be asked for here.
#pragma once
#include "base/limits.h"
#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define NATIVE_SERVERS_MAX 9u
#define NATIVE_TIMEOUT_MS 10000u // of a request that waits for nothing

struct native_client {
    char addresses[NATIVE_SERVERS_MAX][ADDRESS_TEXT_MAX];
    size_t count;
    _Atomic size_t at; // the one that answered last
};
struct native_answer {
    int status;      // 0: nobody answered in time
    json_t *json;    // NULL when status is 0
    char error[512]; // one line that says what went wrong; "" at status 200
};
// servers: "host:port,host:port". false: error says which is none.
bool native_client_init(struct native_client *client, const char *servers, char error[512]);
// operation: "lock/acquire". body is taken. An answer is waited for as long as answer_ms from one server; others are
// asked until until_ms (native_now_ms). true: status 200.
bool native_call(struct native_client *client, const char *operation, json_t *body, uint64_t answer_ms,
                 uint64_t until_ms, struct native_answer *answer);
void native_answer_free(struct native_answer *answer);
const char *native_error_name(const struct native_answer *answer); // "busy"; "" when it is no problem document
uint64_t native_now_ms(void);                                      // monotonic

// For commands that ask one thing and print it. NULL: it failed, which was printed.
json_t *native_ask(struct native_client *client, const char *command, const char *operation, json_t *body);
long long native_number(const json_t *json, const char *key); // 0: there is none
const char *native_text(const json_t *json, const char *key); // "": there is none
int native_print(json_t *json);                               // takes it; gives the exit code
// The same of an answer that has nothing to tell but `words`; raw: its JSON. NULL: it failed.
int native_done(json_t *json, bool raw, const char *words);
