// One-time tokens. One that was consumed is kept until its time is over, so that it is never consumed again.
#include "base/alloc.h"
#include "base/assert.h"
#include "base/planted.h"
#include "model/guard/guard_internal.h"

struct token {
    struct item item;
    struct deadline due;
    uint64_t number;
    bool consumed;
    int64_t consumed_unix_ms;
    struct guard_blob caller; // who consumed it
    uint32_t purpose_len;
    uint8_t purpose[]; // then the name
};

static struct token *token_of(struct item *item) {
    return item ? CONTAINER_OF(item, struct token, item) : NULL;
}

static struct bytes purpose_of(const struct token *token) {
    return bytes_of(token->purpose, token->purpose_len);
}

static void record(const struct item *item, struct item_record *to) {
    const struct token *token = CONTAINER_OF_CONST(item, struct token, item);
    item_record_text(to, purpose_of(token));
    item_record_u64(to, token->number);
    item_record_u64(to, deadline_of(&token->due));
    item_record_u64(to, token->consumed);
    item_record_u64(to, (uint64_t)token->consumed_unix_ms);
    guard_blob_record(&token->caller, to);
}

static struct bytes body(const struct item *item) {
    return guard_blob_bytes(&CONTAINER_OF_CONST(item, struct token, item)->caller);
}

const struct item_kind guard_token_kind = {.tag = 't', .record = record, .body = body};

static struct token *make(struct guard_state *state, struct bytes name, struct bytes purpose, uint64_t number,
                          uint64_t due_ms) {
    struct token *token = item_make(sizeof *token + purpose.len, name);
    token->purpose_len = (uint32_t)purpose.len;
    if (purpose.len > 0) memcpy(token->purpose, purpose.data, purpose.len);
    token->number = number;
    token->due.kind = DUE_TOKEN;
    deadline_set(&state->due, &token->due, due_ms, number);
    ENSURE(items_insert(&state->tokens, &token->item));
    return token;
}

int guard_apply_issue(struct guard_state *state, struct apply *apply, struct reader *r) {
    struct bytes purpose = read_blob(r), tokens[GUARD_TOKENS_MAX];
    uint64_t ttl_ms = read_varint(r), count = read_varint(r);
    if (r->failed) return COMMAND_BAD_COMMAND;
    if (count == 0 || count > GUARD_TOKENS_MAX) return GUARD_BAD_ARGUMENTS;
    for (uint64_t i = 0; i < count; i++) tokens[i] = read_blob(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (ttl_ms == 0 || ttl_ms > GUARD_TTL_MS_MAX || purpose.len > GUARD_TEXT_BYTES_MAX) return GUARD_BAD_ARGUMENTS;
    for (uint64_t i = 0; i < count; i++) {
        if (!guard_name_good(tokens[i])) return GUARD_BAD_ARGUMENTS;
        if (items_find(&state->tokens, tokens[i])) return GUARD_EXISTS;
        for (uint64_t k = 0; k < i; k++)
            if (bytes_equal(tokens[i], tokens[k])) return GUARD_EXISTS;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t due_ms = time_after(apply->log_time_ms, ttl_ms);
        struct token *token = make(state, tokens[i], purpose, ++state->words[WORD_NUMBER], due_ms);
        items_changed(&state->tokens, &token->item);
    }
    return 0;
}

int guard_apply_consume(struct guard_state *state, struct apply *apply, struct reader *r, struct guard_result *out) {
    struct bytes name = read_blob(r), purpose = read_blob(r), caller = read_blob(r);
    if (!reader_done(r)) return COMMAND_BAD_COMMAND;
    if (caller.len > GUARD_TEXT_BYTES_MAX) return GUARD_BAD_ARGUMENTS;
    struct token *token = token_of(items_find(&state->tokens, name));
    if (token == NULL) return GUARD_NOT_FOUND;
    if (!bytes_equal(purpose_of(token), purpose)) return GUARD_MISMATCH;
    if (token->consumed && !PLANTED(ONE_TIME_TOKEN_TWICE)) {
        out->by = guard_blob_bytes(&token->caller);
        out->at_unix_ms = token->consumed_unix_ms;
        return GUARD_CONSUMED;
    }
    token->consumed = true;
    token->consumed_unix_ms = apply->unix_ms;
    guard_blob_set(&token->caller, caller);
    items_changed(&state->tokens, &token->item);
    return 0;
}

void guard_token_remove(struct guard_state *state, struct item *item) {
    struct token *token = token_of(item);
    deadline_set(&state->due, &token->due, NO_DEADLINE, 0);
    mem_free(token->caller.data);
    items_remove(&state->tokens, item);
}

struct item *guard_token_due(struct deadline *due) {
    return &CONTAINER_OF(due, struct token, due)->item;
}

void guard_token_show(const struct item *item, const struct guard_query *query) {
    const struct token *token = CONTAINER_OF_CONST(item, struct token, item);
    struct guard_token_info info = {.token = item_name(item),
                                    .purpose = purpose_of(token),
                                    .caller = guard_blob_bytes(&token->caller),
                                    .consumed = token->consumed,
                                    .consumed_unix_ms = token->consumed_unix_ms,
                                    .due_ms = deadline_of(&token->due)};
    query->token(query->context, &info);
}

bool guard_token_load(struct guard_state *state, struct reader *r) {
    struct bytes name = item_read_text(r), purpose = item_read_text(r);
    uint64_t number = read_u64_le(r), due_ms = read_u64_le(r), consumed = read_u64_le(r), unix_ms = read_u64_le(r);
    struct digest digest = guard_blob_read_digest(r);
    struct bytes caller = items_read_body(r);
    if (r->failed || !guard_name_good(name) || items_find(&state->tokens, name)) return false;
    if (purpose.len > GUARD_TEXT_BYTES_MAX || caller.len > GUARD_TEXT_BYTES_MAX || consumed > 1) return false;
    if (due_ms == NO_DEADLINE || number > state->words[WORD_NUMBER] || (caller.len > 0 && !consumed)) return false;
    struct token *token = make(state, name, purpose, number, due_ms);
    token->consumed = consumed == 1;
    token->consumed_unix_ms = (int64_t)unix_ms;
    if (token->consumed) guard_blob_set(&token->caller, caller);
    items_changed(&state->tokens, &token->item);
    return digest_equal(token->caller.digest, digest);
}
