// The room's table of functions: one instance a node, one connection a client.
#include "base/alloc.h"
#include "base/assert.h"
#include "io/io.h"
#include "protocol/redis/internal.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#define SPARE_SPANS_MAX 65536u
#define SCRATCH_KEPT_BYTES (1u << 20)
#define ID_NODE_SHIFT 44 // with 8 bits of node ids still exact as a double, which JavaScript reads numbers as

bool word_is(struct bytes text, const char *word) {
    return text.len == strlen(word) && strncasecmp((const char *)text.data, word, text.len) == 0;
}

struct bytes text_of(const char *text) {
    return text == NULL ? bytes_of("", 0) : bytes_of_text(text);
}

void text_set(char **to, struct bytes text) {
    mem_free(*to);
    *to = NULL;
    if (text.len == 0) return;
    *to = mem_alloc(text.len + 1);
    memcpy(*to, text.data, text.len);
    (*to)[text.len] = 0;
}

void text_format(struct writer *out, const char *format, ...) {
    char text[1024];
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int len = vsnprintf(text, sizeof text, format, arguments);
    ENSURE(len >= 0);
    if ((size_t)len < sizeof text) {
        write_span(out, bytes_of(text, (size_t)len));
    } else {
        writer_reserve(out, (size_t)len + 1);
        vsnprintf((char *)out->data + out->len, (size_t)len + 1, format, again);
        out->len += (size_t)len;
    }
    va_end(again);
    va_end(arguments);
}

// ---- the instance

static own_handler own_of(const char *name) {
    static const struct {
        const char *name;
        own_handler handler;
    } table[] = {
#define X(command, function) {command, function},
        REDIS_OWN_COMMANDS(X)
#undef X
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i].name, name) == 0) return table[i].handler;
    return NULL;
}

static uint8_t traits_of(const struct keys_row *row) {
    static const struct {
        const char *name;
        uint8_t traits;
    } table[] = {{"exec", TRAIT_EXEC | TRAIT_DATA | TRAIT_AT_ONCE},
                 {"watch", TRAIT_WATCH | TRAIT_DATA | TRAIT_AT_ONCE},
                 {"discard", TRAIT_AT_ONCE},
                 {"multi", TRAIT_AT_ONCE},
                 {"quit", TRAIT_AT_ONCE | TRAIT_APART | TRAIT_LISTENS},
                 {"reset", TRAIT_AT_ONCE | TRAIT_LISTENS},
                 {"ping", TRAIT_LISTENS},
                 {"wait", TRAIT_APART},
                 {"publish", TRAIT_APART},
                 {"spublish", TRAIT_APART},
                 {"client|kill", TRAIT_APART},
                 {"cluster|slots", TRAIT_NAMES_LEADER},
                 {"cluster|shards", TRAIT_NAMES_LEADER},
                 {"cluster|nodes", TRAIT_NAMES_LEADER},
                 {"sentinel|get-master-addr-by-name", TRAIT_NAMES_LEADER},
                 {"sentinel|master", TRAIT_NAMES_LEADER},
                 {"sentinel|masters", TRAIT_NAMES_LEADER},
                 {"sentinel|replicas", TRAIT_NAMES_LEADER},
                 {"sentinel|slaves", TRAIT_NAMES_LEADER}};
    if (row->run != NULL) return TRAIT_DATA;
    uint8_t traits = row_subcommands(row) > 0 ? TRAIT_CONTAINS : 0;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i].name, row->name) == 0) traits |= table[i].traits;
    bool subscribes = (row->categories & KEYS_IN_PUBSUB) && strstr(row->name, "subscribe") != NULL;
    return subscribes ? traits | TRAIT_LISTENS : traits;
}

bool redis_serves(const struct keys_row *row) {
    return traits_of(row) & (TRAIT_DATA | TRAIT_CONTAINS) || own_of(row->name) != NULL;
}

static void *redis_start(struct service *service, const void *settings) {
    struct instance *instance = mem_zalloc(sizeof *instance);
    instance->service = service;
    struct redis_settings *s = &instance->settings;
    if (settings) *s = *(const struct redis_settings *)settings;
    if (s->sentinel_name == NULL) s->sentinel_name = "mymaster";
    if (s->leader_wait_ms == 0) s->leader_wait_ms = REDIS_LEADER_WAIT_MS;
    if (s->outstanding_max == 0) s->outstanding_max = REDIS_OUTSTANDING_MAX;
    list_init(&instance->connections);
    list_init(&instance->waiting);
    instance->handlers = mem_zalloc(keys_row_count * sizeof *instance->handlers);
    instance->statistics = mem_zalloc(keys_row_count * sizeof *instance->statistics);
    instance->traits = mem_zalloc(keys_row_count * sizeof *instance->traits);
    for (size_t i = 0; i < keys_row_count; i++) {
        instance->handlers[i] = keys_rows[i].run != NULL ? NULL : own_of(keys_rows[i].name);
        instance->traits[i] = traits_of(&keys_rows[i]);
    }
    service_random(service, &instance->seed, sizeof instance->seed);
    uint8_t random[20];
    service_random(service, random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++) snprintf(instance->run_id + 2 * i, 3, "%02x", random[i]);
    instance->channels = channels_new(instance->seed);
    instance->config = config_values_new(s);
    instance->now_ms = instance->ticked_ms = service_now_ms(service);
    return instance;
}

static void redis_stop(void *context) {
    struct instance *instance = context;
    ENSURE(instance->connection_count == 0);
    channels_free(instance->channels);
    config_values_free(instance->config);
    mem_free(instance->spare.items);
    mem_free(instance->argv);
    mem_free(instance->handlers);
    mem_free(instance->traits);
    mem_free(instance->statistics);
    writer_free(&instance->command);
    writer_free(&instance->scratch);
    writer_free(&instance->line);
    mem_free(instance);
}

// ---- connections

_Static_assert(sizeof(struct connection) <= 384, "an idle connection stays small");

static void *redis_open(void *context, struct client *client) {
    struct instance *instance = context;
    struct connection *c = mem_zalloc(sizeof *c);
    struct service_status status;
    service_status(instance->service, &status);
    c->instance = instance;
    c->client = client;
    c->id = (uint64_t)status.id << ID_NODE_SHIFT | ++instance->next_id;
    c->opened_unix_ms = service_unix_ms(instance->service);
    c->last_ms = service_now_ms(instance->service);
    c->authenticated = instance->settings.password == NULL;
    list_init(&c->waiting);
    list_push_back(&instance->connections, &c->link);
    instance->connection_count++;
    instance->connections_received++;
    ring_init(&c->requests, sizeof(struct request));
    return c;
}

static void redis_close(void *context) {
    struct connection *c = context;
    ENSURE(c->instance->connection_count > 0);
    c->instance->connection_count--;
    subscriber_leave(c);
    transaction_end(c);
    list_remove(&c->waiting);
    list_remove(&c->link);
    requests_free(c);
    parse_free(&c->parse);
    mem_free(c->name);
    mem_free(c->library);
    mem_free(c->library_version);
    mem_free(c);
}

void redis_end(struct connection *c, bool flush) {
    if (c->closing) return;
    c->closing = true;
    subscriber_leave(c);
    list_remove(&c->waiting);
    client_close(c->client, flush);
}

// RESET: as it was when it was opened.
void redis_reset(struct connection *c) {
    transaction_end(c);
    subscriber_leave(c);
    text_set(&c->name, bytes_of(NULL, 0));
    c->database = 0;
    c->resp3 = c->local_reads = c->silent = c->silent_next = c->silent_now = c->no_evict = false;
    c->authenticated = c->instance->settings.password == NULL;
}

struct connection *redis_connection_by_id(struct instance *instance, uint64_t id) {
    for (struct list *at = instance->connections.next; at != &instance->connections; at = at->next) {
        struct connection *c = CONTAINER_OF(at, struct connection, link);
        if (c->id == id) return c;
    }
    return NULL;
}

// ---- bytes

static void spans_take(struct connection *c) {
    if (c->parse.spans.items != NULL) return;
    c->parse.spans = c->instance->spare;
    c->instance->spare = (struct parse_spans){0};
}

static void spans_give(struct connection *c) {
    struct parse_spans *spare = &c->instance->spare;
    parse_restart(&c->parse);
    if (spare->items != NULL || c->parse.spans.capacity > SPARE_SPANS_MAX)
        parse_free(&c->parse);
    else
        *spare = c->parse.spans;
    c->parse = (struct parse){0};
}

static void protocol_error(struct connection *c, const char *error) {
    struct writer text = {0};
    struct reply reply = {.to = &text};
    reply_error(&reply, "ERR %s", error);
    if (c->requests.count == 0) {
        client_write(c->client, text.data, text.len);
    } else { // what was asked before is answered before
        requests_hold(c, requests_push(c, NULL, REQUEST_READY), bytes_of(text.data, text.len));
    }
    writer_free(&text);
    c->ends = true;
    c->instance->errors++;
}

// The whole request's arguments in instance->argv, pointing into where they came in.
static size_t arguments_of(struct connection *c, const uint8_t *base) {
    struct bytes *argv = requests_arguments(c->instance, c->parse.count);
    for (uint32_t i = 0; i < c->parse.count; i++)
        argv[i] = bytes_of(base + c->parse.spans.items[i].at, c->parse.spans.items[i].len);
    return c->parse.count;
}

// A browser that was made to send a form here, with commands in its body.
static bool is_http(struct bytes name) {
    return word_is(name, "post") || word_is(name, "host:");
}

// Bytes of the request at the front. 0: it is not whole, or cannot be taken now.
static size_t take(struct connection *c, const uint8_t *data, size_t len, const struct parse_limits *limits) {
    struct instance *instance = c->instance;
    const char *error = NULL;
    spans_take(c);
    enum parse_outcome outcome = parse_step(&c->parse, data, len, limits, &instance->line, &error);
    if (outcome == PARSE_MORE) {
        if (c->parse.at == 0 && c->parse.count == 0 && c->parse.seen == 0) spans_give(c);
        return 0;
    }
    size_t used = c->parse.at;
    if (outcome == PARSE_ERROR) {
        spans_give(c);
        protocol_error(c, error);
        return len;
    }
    bool taken = true;
    if (outcome != PARSE_NOTHING) {
        size_t argc = arguments_of(c, outcome == PARSE_INLINE ? instance->line.data : data);
        if (is_http(instance->argv[0])) {
            LOG_WARN(service_log(instance->service), "redis connection closed reason=\"looks like HTTP\"");
            redis_end(c, false);
            taken = true;
        } else {
            taken = requests_request(c, instance->argv, argc);
        }
    }
    spans_give(c);
    return taken ? used : 0;
}

static struct parse_limits limits_of(const struct connection *c) {
    return (struct parse_limits){.arguments_max = KEYS_ARGUMENTS_MAX,
                                 .bulk_bytes_max = KEYS_VALUE_BYTES_MAX,
                                 .request_bytes_max = COMMAND_BYTES_MAX + (1u << 20),
                                 .guest = !c->authenticated};
}

static size_t redis_input(void *context, const uint8_t *data, size_t len) {
    struct connection *c = context;
    struct instance *instance = c->instance;
    size_t at = 0;
    instance->now_ms = c->last_ms = service_now_ms(instance->service);
    while (at < len && !c->closing && !c->ends && !c->paused) {
        if (client_output_pending(c->client) > CLIENT_OUTPUT_HOLD) return at;
        struct parse_limits limits = limits_of(c);
        size_t used = take(c, data + at, len - at, &limits);
        if (used == 0) break;
        at += used;
    }
    if (c->ends && c->requests.count == 0) redis_end(c, true);
    if (c->closing || c->ends) return len;
    if (at == len) c->waiting_since_ms = 0;
    return at;
}

static bool redis_owes(const void *context) {
    const struct connection *c = context;
    return !list_empty(&c->waiting);
}

static void redis_reply(void *context, uint64_t tag, const struct result *result) {
    requests_reply(context, tag, result);
}

static void redis_read_ready(void *context, uint64_t tag, int error) {
    requests_read_ready(context, tag, error);
}

// ---- time

static void waiting_go_on(struct instance *instance, bool leader) {
    struct list *at = instance->waiting.next;
    while (at != &instance->waiting) {
        struct connection *c = CONTAINER_OF(at, struct connection, waiting);
        at = at->next;
        if (!leader && instance->now_ms - c->waiting_since_ms < instance->settings.leader_wait_ms) continue;
        list_remove(&c->waiting);
        c->paused = false;
        client_resume(c->client);
    }
}

static void second_passed(struct instance *instance) {
    struct service_status status;
    service_status(instance->service, &status);
    uint64_t ms = instance->now_ms - instance->ticked_ms;
    instance->commands_per_second = (instance->commands - instance->ticked_commands) * 1000 / ms;
    instance->ticked_ms = instance->now_ms;
    instance->ticked_commands = instance->commands;
    if (status.data_bytes_estimate > instance->peak_memory) instance->peak_memory = status.data_bytes_estimate;
    if (instance->scratch.capacity > SCRATCH_KEPT_BYTES) writer_free(&instance->scratch);
    if (instance->command.capacity > SCRATCH_KEPT_BYTES) writer_free(&instance->command);
}

// Clients in Sentinel form listen for it.
static void tell_new_leader(struct instance *instance, const struct service_member *from,
                            const struct service_member *to) {
    char old_host[ADDRESS_TEXT_MAX], new_host[ADDRESS_TEXT_MAX];
    int64_t old_port, new_port;
    struct writer message = {0};
    redis_address(from->protocol_address, old_host, &old_port);
    redis_address(to->protocol_address, new_host, &new_port);
    text_format(&message, "%s %s %lld %s %lld", instance->settings.sentinel_name, old_host, (long long)old_port,
                new_host, (long long)new_port);
    channels_publish(instance->channels, bytes_of_text("+switch-master"), bytes_of(message.data, message.len), false);
    writer_free(&message);
}

static void look_at_leader(struct instance *instance) {
    struct node_list nodes;
    nodes_list(instance, &nodes);
    if (nodes.leader == NULL || nodes.leader->id == instance->leader) return;
    for (size_t i = 0; i < nodes.count; i++)
        if (nodes.members[i].id == instance->leader) tell_new_leader(instance, &nodes.members[i], nodes.leader);
    instance->leader = nodes.leader->id;
}

static void redis_tick(void *context, uint64_t now_ms) {
    struct instance *instance = context;
    struct service_reading reading;
    instance->now_ms = now_ms;
    service_reading(instance->service, &reading);
    if (reading.has_leader) look_at_leader(instance);
    waiting_go_on(instance, reading.has_leader);
    if (now_ms - instance->ticked_ms >= 1000) second_passed(instance);
    if (reading.has_leader) return;
    for (struct list *at = instance->connections.next; at != &instance->connections; at = at->next) {
        struct connection *c = CONTAINER_OF(at, struct connection, link);
        if (c->requests.count > 0) requests_tick(c);
    }
}

const struct protocol redis_protocol = {
    .name = "redis",
    .start = redis_start,
    .stop = redis_stop,
    .tick = redis_tick,
    .open = redis_open,
    .input = redis_input,
    .reply = redis_reply,
    .read_ready = redis_read_ready,
    .owes = redis_owes,
    .close = redis_close,
};
