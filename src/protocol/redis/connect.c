// Greetings: who speaks, in which version, to which database.
#include "protocol/redis/internal.h"

// The whole of both is looked at, so that time tells nothing of how much was right.
static bool password_is(const struct instance *instance, struct bytes given) {
    const char *password = instance->settings.password;
    size_t len = strlen(password);
    unsigned wrong = given.len != len;
    for (size_t i = 0; i < given.len; i++) wrong |= (unsigned)(given.data[i] ^ password[len == 0 ? 0 : i % len]);
    return wrong == 0;
}

static bool log_in(struct connection *c, struct bytes user, struct bytes password) {
    bool known = bytes_equal(user, bytes_of_text("default"));
    if (!known || (c->instance->settings.password != NULL && !password_is(c->instance, password))) return false;
    c->authenticated = true;
    return true;
}

static bool name_is_plain(struct bytes name) {
    for (size_t i = 0; i < name.len; i++)
        if (name.data[i] < '!' || name.data[i] > '~') return false;
    return true;
}

static bool take_name(struct connection *c, struct bytes name, struct reply *reply) {
    if (!name_is_plain(name)) {
        reply_error(reply, "ERR Client names cannot contain spaces, newlines or special characters.");
        return false;
    }
    text_set(&c->name, name);
    return true;
}

void own_ping(struct connection *c, const struct call *call) {
    if (call->argc > 2) {
        reply_error(call->reply, "ERR wrong number of arguments for 'ping' command");
    } else if (subscriber_restricted(c)) {
        reply_array(call->reply, 2);
        reply_text(call->reply, "pong");
        reply_bulk(call->reply, call->argc == 2 ? call->argv[1] : bytes_of("", 0));
    } else if (call->argc == 2) {
        reply_bulk(call->reply, call->argv[1]);
    } else {
        reply_simple(call->reply, "PONG");
    }
}

void own_echo(struct connection *c, const struct call *call) {
    reply_bulk(call->reply, call->argv[1]);
}

void own_quit(struct connection *c, const struct call *call) {
    reply_ok(call->reply);
    c->ends = true;
}

void own_select(struct connection *c, const struct call *call) {
    int64_t database;
    if (!parse_number(call->argv[1], &database)) {
        reply_error(call->reply, "ERR value is not an integer or out of range");
    } else if (database < 0 || database >= KEYS_DATABASES) {
        reply_error(call->reply, "ERR DB index is out of range");
    } else {
        c->database = (uint8_t)database;
        reply_ok(call->reply);
    }
}

void own_auth(struct connection *c, const struct call *call) {
    if (call->argc > 3) {
        reply_syntax(call->reply);
        return;
    }
    if (call->argc == 2 && c->instance->settings.password == NULL) {
        reply_error(call->reply, "ERR AUTH <password> called without any password configured for the default user. "
                                 "Are you sure your configuration is correct?");
        return;
    }
    struct bytes user = call->argc == 3 ? call->argv[1] : bytes_of_text("default");
    if (log_in(c, user, call->argv[call->argc - 1]))
        reply_ok(call->reply);
    else
        reply_error(call->reply, "WRONGPASS invalid username-password pair or user is disabled.");
}

static void write_greeting(struct connection *c, struct reply *reply) {
    struct service_status status;
    service_status(c->instance->service, &status);
    reply_map(reply, 7);
    reply_text(reply, "server");
    reply_text(reply, "redis");
    reply_text(reply, "version");
    reply_text(reply, REDIS_VERSION);
    reply_text(reply, "proto");
    reply_number(reply, c->resp3 ? 3 : 2);
    reply_text(reply, "id");
    reply_number(reply, (int64_t)c->id);
    reply_text(reply, "mode");
    reply_text(reply, c->instance->settings.cluster ? "cluster" : "standalone");
    reply_text(reply, "role");
    reply_text(reply, status.leading ? "master" : "replica");
    reply_text(reply, "modules");
    reply_array(reply, 0);
}

static bool hello_options(struct connection *c, const struct call *call, struct bytes *name, bool *named) {
    for (size_t i = 2; i < call->argc; i++) {
        size_t more = call->argc - 1 - i;
        if (word_is(call->argv[i], "auth") && more >= 2) {
            if (!log_in(c, call->argv[i + 1], call->argv[i + 2])) {
                reply_error(call->reply, "WRONGPASS invalid username-password pair or user is disabled.");
                return false;
            }
            i += 2;
        } else if (word_is(call->argv[i], "setname") && more >= 1) {
            *name = call->argv[++i];
            *named = true;
        } else {
            reply_error(call->reply, "ERR Syntax error in HELLO option '%.*s'", (int)call->argv[i].len,
                        (const char *)call->argv[i].data);
            return false;
        }
    }
    return true;
}

void own_hello(struct connection *c, const struct call *call) {
    int64_t version = c->resp3 ? 3 : 2;
    struct bytes name = {0};
    bool named = false;
    if (call->argc > 1 && !parse_number(call->argv[1], &version)) {
        reply_error(call->reply, "ERR Protocol version is not an integer or out of range");
        return;
    }
    if (version < 2 || version > 3) {
        reply_error(call->reply, "NOPROTO unsupported protocol version");
        return;
    }
    if (!hello_options(c, call, &name, &named)) return;
    if (!c->authenticated) {
        reply_error(call->reply,
                    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> "
                    "AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol "
                    "version at the same time");
        return;
    }
    if (named && !take_name(c, name, call->reply)) return;
    c->resp3 = call->reply->resp3 = version == 3;
    write_greeting(c, call->reply);
}

void own_reset(struct connection *c, const struct call *call) {
    redis_reset(c);
    call->reply->resp3 = false;
    reply_simple(call->reply, "RESET");
}

void own_client_setname(struct connection *c, const struct call *call) {
    if (take_name(c, call->argv[2], call->reply)) reply_ok(call->reply);
}

void own_client_setinfo(struct connection *c, const struct call *call) {
    char **to = word_is(call->argv[2], "lib-name")  ? &c->library
                : word_is(call->argv[2], "lib-ver") ? &c->library_version
                                                    : NULL;
    if (to == NULL) {
        reply_error(call->reply, "ERR Unrecognized option '%.*s'", (int)call->argv[2].len,
                    (const char *)call->argv[2].data);
    } else if (!name_is_plain(call->argv[3])) {
        reply_error(call->reply, "ERR %s cannot contain spaces, newlines or special characters.",
                    to == &c->library ? "lib-name" : "lib-ver");
    } else {
        text_set(to, call->argv[3]);
        reply_ok(call->reply);
    }
}
