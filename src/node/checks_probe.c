// One look at an instance: a TCP connection that is accepted, or a GET whose status line says 2xx, in time. Of an
// answer only the first line is read.
#include "base/assert.h"
#include "node/checks.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct io *io_of(const struct probe *probe) {
    return probe->check->checks->service->io;
}

void probe_end(struct probe *probe) {
    if (probe->until_ms == NO_DEADLINE) return;
    if (probe->pending != NULL) io_of(probe)->ops->connect_cancel(io_of(probe), probe->pending);
    if (probe->conn != NULL) io_of(probe)->ops->conn_close(probe->conn, false);
    probe->pending = NULL;
    probe->conn = NULL;
    probe->until_ms = NO_DEADLINE;
    list_remove(&probe->link);
    probe->check->checks->under_way--;
}

static void over(struct probe *probe, bool passes, const char *words) {
    probe_end(probe);
    checks_seen(probe->check, passes, words);
}

static void failed(struct probe *probe, const char *what, int error) {
    char words[REGISTRY_OUTPUT_BYTES_MAX + 1];
    snprintf(words, sizeof words, "%s: %.64s", what, strerror(-error));
    over(probe, false, words);
}

// "HTTP/1.1 204 No Content"
static int status_of(const char *line) {
    int status = 0;
    if (strncmp(line, "HTTP/1.", 7) != 0 || line[7] == '\0' || line[8] != ' ') return 0;
    for (size_t i = 9; i < 12; i++) {
        if (line[i] < '0' || line[i] > '9') return 0;
        status = status * 10 + (line[i] - '0');
    }
    return line[12] == ' ' || line[12] == '\r' || line[12] == '\n' ? status : 0;
}

static void judge(struct probe *probe) {
    char words[64];
    int status = status_of(probe->answer);
    if (status == 0)
        snprintf(words, sizeof words, "its answer is no HTTP/1");
    else
        snprintf(words, sizeof words, "HTTP %d", status);
    over(probe, status >= 200 && status < 300, words);
}

static void on_read(struct io_conn *conn, const uint8_t *data, size_t len) {
    struct probe *probe = io_conn_context(conn);
    size_t room = sizeof probe->answer - 1 - probe->len, take = len < room ? len : room;
    memcpy(probe->answer + probe->len, data, take);
    probe->len += take;
    probe->answer[probe->len] = '\0';
    if (strchr(probe->answer, '\n') != NULL || probe->len == sizeof probe->answer - 1) judge(probe);
}

static void on_closed(struct io_conn *conn, int error) {
    struct probe *probe = io_conn_context(conn);
    if (error != 0)
        failed(probe, "no answer", error);
    else
        over(probe, false, "closed before it answered");
}

static const struct io_conn_handler handler = {.read = on_read, .closed = on_closed};

static void ask(struct probe *probe) {
    char request[REGISTRY_PATH_BYTES_MAX + REGISTRY_ADDRESS_BYTES_MAX + 128];
    const struct check *check = probe->check;
    int len = snprintf(request, sizeof request,
                       "GET %.*s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: parley-check\r\nConnection: close\r\n\r\n",
                       (int)check->path.len, (const char *)check->path.data, (int)check->address.len,
                       (const char *)check->address.data);
    ENSURE(len > 0 && (size_t)len < sizeof request);
    io_of(probe)->ops->conn_start(probe->conn, &handler, probe, 0);
    io_of(probe)->ops->conn_write(probe->conn, request, (size_t)len);
}

static void on_connected(struct io_conn *conn, int error, void *context) {
    struct probe *probe = context;
    probe->pending = NULL;
    if (conn == NULL) {
        failed(probe, "no connection", error);
        return;
    }
    probe->conn = conn;
    if (probe->check->http)
        ask(probe);
    else
        over(probe, true, "connected");
}

void probe_begin(struct probe *probe, uint64_t now_ms) {
    const struct check *check = probe->check;
    struct checks *checks = check->checks;
    char address[REGISTRY_ADDRESS_BYTES_MAX + 1];
    memcpy(address, check->address.data, check->address.len);
    address[check->address.len] = '\0';
    probe->until_ms = now_ms + check->timeout_ms;
    probe->len = 0;
    list_push_back(&checks->probes, &probe->link);
    checks->under_way++;
    int error = io_of(probe)->ops->connect(io_of(probe), address, NULL, check->timeout_ms * 1000, on_connected, probe,
                                           &probe->pending);
    if (error != 0) failed(probe, "no connection", error);
}

void probe_tick(struct probe *probe, uint64_t now_ms) {
    if (probe->conn != NULL && now_ms >= probe->until_ms) failed(probe, "no answer", -ETIMEDOUT);
}
