// Up to three clients' bytes, interleaved, into protocol/redis over the fake node (the real model of keys).
//   first byte: settings. Then actions: low two bits the client, the rest what happens (see `act`).
// Held against: what leaves is whole replies of the protocol, never more than there were requests (messages of channels
// apart); the digest of the keys is the one of a recount, and survives save and load.
#include "test/unit/support/protocol/redis_room.c"

#include "test/fuzz/fuzz.h"

#define CONNECTIONS 3

static struct fake *fake;
static struct client *clients[CONNECTIONS];

// ---- replies

static bool take_line_of(struct reader *r, struct bytes *line) {
    const uint8_t *from = r->data + r->at;
    const uint8_t *end = memchr(from, '\n', r->len - r->at);
    if (end == NULL || end == from || end[-1] != '\r') return false;
    *line = bytes_of(from, (size_t)(end - from) - 1);
    r->at += (size_t)(end - from) + 1;
    return memchr(line->data, '\r', line->len) == NULL;
}

static bool take_value(struct reader *r, int depth);
static bool take_values(struct reader *r, int64_t count, int depth) {
    for (int64_t i = 0; i < count; i++)
        if (!take_value(r, depth + 1)) return false;
    return true;
}

static bool take_value(struct reader *r, int depth) {
    struct bytes line;
    int64_t number;
    if (depth > 12 || r->at == r->len || !take_line_of(r, &line)) return false;
    struct bytes rest = bytes_of(line.data + 1, line.len - 1);
    switch (line.data[0]) {
    case '+':
    case '-':
    case ',':
        return true;
    case ':':
        return parse_number(rest, &number);
    case '_':
        return rest.len == 0;
    case '#':
        return rest.len == 1 && (rest.data[0] == 't' || rest.data[0] == 'f');
    case '$':
    case '=':
        if (!parse_number(rest, &number) || number < -1) return false;
        if (number < 0) return true;
        if (r->len - r->at < (size_t)number + 2 || memcmp(r->data + r->at + number, "\r\n", 2) != 0) return false;
        r->at += (size_t)number + 2;
        return true;
    case '*':
    case '~':
    case '>':
        return parse_number(rest, &number) && number >= -1 && take_values(r, number, depth);
    case '%':
        return parse_number(rest, &number) && number >= 0 && take_values(r, 2 * number, depth);
    default:
        return false;
    }
}

static void check_output(struct client *client) {
    if (client == NULL) return;
    struct reader r = reader_of(client->output.data, client->output.len);
    while (r.at < r.len) ENSURE(take_value(&r, 0));
    writer_clear(&client->output);
}

// ---- state

static void check_keys(void) {
    const struct model_ops *ops = model_table(MODEL_KEYS);
    void *state = fake->models[MODEL_KEYS], *other = ops->create();
    struct digest digest = ops->digest(state);
    struct save_cursor cursor = {0};
    static uint8_t chunk[256u << 10];
    ENSURE(digest_equal(digest, ops->digest_recount(state)));
    for (size_t len; (len = ops->save(state, &cursor, chunk, sizeof chunk)) > 0;)
        ENSURE(ops->load(other, chunk, len) == 0);
    ENSURE(digest_equal(digest, ops->digest_recount(other)));
    ops->destroy(other);
}

// ---- what happens

static void send(struct client *client, struct bytes bytes) {
    if (client->closed || client->closing) return;
    uint8_t *copy = exact(bytes);
    fake_send(client, copy, bytes.len);
    mem_free(copy);
}

static struct client *open_client(int which) {
    if (clients[which] != NULL && !clients[which]->closed) return clients[which];
    check_output(clients[which]);
    return clients[which] = fake_connect(fake, "10.1.2.3:4000");
}

// A well-made request: any command of the table with arguments out of a few.
static void request(struct take *t, struct client *client) {
    static const char *const words[] = {"a",  "b",       "{a}c", "1",  "0",   "-1",    "10", "x",
                                        "*",  "nx",      "px",   "ex", "",    "\n",    "id", "type",
                                        "no", "default", "auth", "on", "off", "match", "get"};
    struct writer w = {0};
    const struct keys_row *row = &keys_rows[take_u16(t) % keys_row_count];
    const char *stroke = strchr(row->name, '|');
    size_t wanted = row->arity > 0 ? (size_t)row->arity : (size_t)-row->arity + (take_u8(t) & 3);
    size_t names = stroke == NULL ? 1 : 2;
    if (wanted < names) wanted = names;
    text_format(&w, "*%zu\r\n", wanted);
    size_t first = stroke == NULL ? strlen(row->name) : (size_t)(stroke - row->name);
    text_format(&w, "$%zu\r\n%.*s\r\n", first, (int)first, row->name);
    if (stroke != NULL) text_format(&w, "$%zu\r\n%s\r\n", strlen(stroke + 1), stroke + 1);
    for (size_t i = names; i < wanted; i++) {
        uint8_t which = take_u8(t);
        struct bytes word =
            which < 0xf0 ? bytes_of_text(words[which % (sizeof words / sizeof words[0])]) : take_bytes(t, which & 15);
        text_format(&w, "$%zu\r\n", word.len);
        write_span(&w, word);
        write_span(&w, bytes_of("\r\n", 2));
    }
    send(client, bytes_of(w.data, w.len));
    writer_free(&w);
}

static void act(struct take *t, uint8_t byte) {
    struct client *client = open_client((byte & 3) % CONNECTIONS);
    switch (byte >> 2 & 15) {
    case 0:
        send(client, take_bytes(t, take_u8(t)));
        break;
    case 1: { // in pieces
        struct bytes raw = take_bytes(t, take_u8(t));
        for (size_t i = 0; i < raw.len; i++) send(client, bytes_of(raw.data + i, 1));
        break;
    }
    case 2:
        fake_step_one(fake);
        break;
    case 3:
        fake_step(fake);
        break;
    case 4:
        fake_tick(fake, take_u8(t) * 20u);
        break;
    case 5:
        fake->has_leader = fake->leading = !fake->has_leader;
        break;
    case 6:
        if (!client->closed) fake_disconnect(client);
        break;
    case 7:
        fake_pass_time(fake, take_u8(t) * 10u);
        break;
    default:
        request(t, client);
    }
    if (byte & 0x80) fake_step(fake);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct take t = take_of(data, size);
    uint8_t how = take_u8(&t);
    struct redis_settings settings = {.password = how & 1 ? "x" : NULL,
                                      .cluster = (how & 2) != 0,
                                      .outstanding_max = how & 4 ? 2 : 0,
                                      .memory_max = 1u << 20};
    fake = fake_new(&redis_protocol, &settings);
    fake->members = how & 8 ? 3 : 1;
    memset(clients, 0, sizeof clients);
    for (int i = 0; i < 200 && t.left > 0; i++) {
        act(&t, take_u8(&t));
        for (int c = 0; c < CONNECTIONS; c++) check_output(clients[c]);
    }
    fake_step(fake);
    for (int c = 0; c < CONNECTIONS; c++) check_output(clients[c]);
    check_keys();
    fake_free(fake);
    return 0;
}
