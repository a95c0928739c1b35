#include "support/line_protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/ring.h"
#include "model/tree/tree.h"

enum wait { WAIT_COMMAND, WAIT_READ, WAIT_NOTHING };
struct request {
    enum wait wait;
    uint64_t tag;
    char path[256]; // WAIT_NOTHING: a GET that stands behind others, or "" with PONG
};
struct line_conn {
    struct service *service;
    struct client *client;
    struct ring waiting; // struct request
};

static void *line_start(struct service *service, const void *settings) {
    return service;
}
static void line_stop(void *instance) {}

static void *line_open(void *instance, struct client *client) {
    struct line_conn *conn = mem_zalloc(sizeof *conn);
    conn->service = instance;
    conn->client = client;
    ring_init(&conn->waiting, sizeof(struct request));
    return conn;
}

static void line_close(void *connection) {
    struct line_conn *conn = connection;
    ring_free(&conn->waiting);
    mem_free(conn);
}

static void say(struct line_conn *conn, const char *text) {
    client_write(conn->client, text, strlen(text));
}

static void get(struct line_conn *conn, const char *path) {
    struct tree_query query = {.op = TREE_GET, .path = bytes_of_text(path)};
    struct result result;
    client_query(conn->client, MODEL_TREE, &query, &result);
    char line[64];
    if (result.error != 0) {
        snprintf(line, sizeof line, "ERR %d\n", result.error);
        say(conn, line);
        return;
    }
    const struct tree_answer *answer = result.value;
    say(conn, "DATA ");
    client_write(conn->client, answer->data.data, answer->data.len);
    say(conn, "\n");
}

// Requests at the front that wait for nothing any more are answered.
static void run_ready(struct line_conn *conn) {
    struct request *front;
    while ((front = ring_front(&conn->waiting)) != NULL && front->wait == WAIT_NOTHING) {
        struct request request = *front;
        ring_pop(&conn->waiting);
        if (request.path[0] == 0)
            say(conn, "PONG\n");
        else
            get(conn, request.path);
    }
}

static struct request *add(struct line_conn *conn, enum wait wait) {
    struct request *request = ring_push(&conn->waiting);
    request->wait = wait;
    return request;
}

static void submit(struct line_conn *conn, uint8_t op, const char *path, const char *data, uint8_t flags) {
    struct writer w;
    struct bytes bytes = bytes_of_text(data);
    struct tree_acl_entry acl = {.perms = TREE_ALL, .scheme = bytes_of_text("world"), .id = bytes_of_text("anyone")};
    writer_init(&w);
    command_write_head(&w, MODEL_TREE, op, client_session(conn->client), client_attach_number(conn->client));
    write_blob(&w, bytes_of(NULL, 0));
    if (op == TREE_OP_CREATE)
        tree_write_create(&w, bytes_of_text(path), &bytes, &acl, 1, flags, 0);
    else
        tree_write_set(&w, bytes_of_text(path), &bytes, -1);
    struct request *request = add(conn, WAIT_COMMAND);
    request->tag = client_submit(conn->client, bytes_of(w.data, w.len));
    writer_free(&w);
}

static void hex_in(uint8_t *out, const char *hex, size_t len) {
    for (size_t i = 0; i < len && hex[2 * i] != 0 && hex[2 * i + 1] != 0; i++) {
        char two[3] = {hex[2 * i], hex[2 * i + 1], 0};
        out[i] = (uint8_t)strtoul(two, NULL, 16);
    }
}

static void on_line(struct line_conn *conn, char *line) {
    char *save = NULL;
    char *verb = strtok_r(line, " ", &save);
    if (verb == NULL) return;
    char *first = strtok_r(NULL, " ", &save), *second = strtok_r(NULL, " ", &save), *third = strtok_r(NULL, " ", &save);
    if (strcmp(verb, "CREATE") == 0) {
        submit(conn, TREE_OP_CREATE, first, second, 0);
    } else if (strcmp(verb, "EPHEMERAL") == 0) {
        submit(conn, TREE_OP_CREATE, first, second, TREE_EPHEMERAL);
    } else if (strcmp(verb, "SET") == 0) {
        submit(conn, TREE_OP_SET, first, second, 0);
    } else if (strcmp(verb, "GET") == 0) {
        snprintf(add(conn, WAIT_NOTHING)->path, 256, "%s", first);
    } else if (strcmp(verb, "SYNC") == 0) {
        struct request *request = add(conn, WAIT_READ);
        request->tag = client_read_index(conn->client);
    } else if (strcmp(verb, "ATTACH") == 0) {
        uint8_t password[LEASE_PASSWORD_BYTES] = {0};
        if (third != NULL)
            hex_in(password, third, sizeof password);
        else
            service_random(conn->service, password, sizeof password);
        struct request *request = add(conn, WAIT_COMMAND);
        request->tag = client_attach(conn->client, second == NULL ? 0 : strtoull(second, NULL, 10), password,
                                     (uint32_t)strtoul(first, NULL, 10), LEASE_KIND_NATIVE);
    } else if (strcmp(verb, "CLOSE") == 0) {
        struct writer w;
        writer_init(&w);
        lease_write_close(&w, client_session(conn->client), client_attach_number(conn->client));
        struct request *request = add(conn, WAIT_COMMAND);
        request->tag = client_submit(conn->client, bytes_of(w.data, w.len));
        writer_free(&w);
    } else if (strcmp(verb, "FLOOD") == 0) {
        size_t len = strtoul(first, NULL, 10);
        memset(writer_extend(client_output(conn->client), len), 'x', len);
        write_u8(client_output(conn->client), '\n');
        client_output_ready(conn->client);
    } else {
        add(conn, WAIT_NOTHING);
    }
    run_ready(conn);
}

static size_t line_input(void *connection, const uint8_t *data, size_t len) {
    struct line_conn *conn = connection;
    size_t at = 0;
    while (at < len) {
        if (client_output_pending(conn->client) > CLIENT_OUTPUT_HOLD) break;
        const uint8_t *end = memchr(data + at, '\n', len - at);
        if (end == NULL) break;
        size_t line_len = (size_t)(end - (data + at));
        char *line = mem_alloc(line_len + 1);
        memcpy(line, data + at, line_len);
        line[line_len] = 0;
        bool attaching = strncmp(line, "ATTACH", 6) == 0;
        on_line(conn, line);
        mem_free(line);
        at += line_len + 1;
        if (attaching) break; // the node gives the rest when it is applied
    }
    return at;
}

static void line_reply(void *connection, uint64_t tag, const struct result *result) {
    struct line_conn *conn = connection;
    struct request *front = ring_front(&conn->waiting);
    ENSURE(front != NULL && front->wait == WAIT_COMMAND && front->tag == tag);
    ring_pop(&conn->waiting);
    char line[128];
    if (result->error != 0) {
        snprintf(line, sizeof line, "ERR %d\n", result->error);
        say(conn, line);
    } else if (result->model == MODEL_LEASE && result->op == LEASE_ATTACH) {
        const struct lease_result *lease = result->value;
        size_t n = (size_t)snprintf(line, sizeof line, "SESSION %llu ", (unsigned long long)lease->session);
        for (size_t i = 0; i < LEASE_PASSWORD_BYTES; i++)
            n += (size_t)snprintf(line + n, sizeof line - n, "%02x", lease->password[i]);
        snprintf(line + n, sizeof line - n, "\n");
        say(conn, line);
    } else if (result->model == MODEL_TREE) {
        const struct tree_result *tree = result->value;
        snprintf(line, sizeof line, "OK %d\n", tree->stat.version);
        say(conn, line);
    } else {
        say(conn, "OK 0\n");
    }
    run_ready(conn);
}

static void line_read_ready(void *connection, uint64_t tag, int error) {
    struct line_conn *conn = connection;
    struct request *front = ring_front(&conn->waiting);
    // Reads run when their index is applied, commands when they are: both in this connection's order.
    ENSURE(front != NULL && front->wait == WAIT_READ && front->tag == tag);
    ring_pop(&conn->waiting);
    char line[64];
    if (error != 0)
        snprintf(line, sizeof line, "ERR %d\n", error);
    else
        snprintf(line, sizeof line, "SYNCED\n");
    say(conn, line);
    run_ready(conn);
}

const struct protocol line_protocol = {.name = "line",
                                       .start = line_start,
                                       .stop = line_stop,
                                       .open = line_open,
                                       .input = line_input,
                                       .reply = line_reply,
                                       .read_ready = line_read_ready,
                                       .close = line_close};
