// etcd:// over etcd's JSON gateway with libcurl (there is no well-kept C library for its gRPC): a key of its own under
// a lease; the one with the lowest create revision has the lock, each other watches the one before it. The token is the
// create revision.
#include "via/kit.h"
#include <curl/curl.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define BODY_BYTES 6000u

struct etcd {
    const struct via_setup *setup;
    CURL *curl;
    struct curl_slist *headers;
    size_t at; // the host that answered last
    char base[1100];
    char key[1200], key64[1700]; // "": no lease
    char lease[32];
    uint64_t leased_ms; // before the lease was last renewed
    uint64_t ttl_ms;    // as granted
    uint64_t revision;  // of our key's creation; 0: none
    uint64_t seen;      // the revision at which the line was looked at
    bool begun;         // the key may be there
    // the answer under way
    char *text;
    size_t len, room;
    unsigned attempts;   // of the last question
    bool watches, event; // a stream that ends with the first deletion
};

// ---- HTTP

static size_t on_body(char *data, size_t one, size_t count, void *context) {
    struct etcd *etcd = context;
    (void)one;
    if (etcd->len + count + 1 > etcd->room) {
        etcd->room = (etcd->len + count + 1) * 2;
        etcd->text = realloc(etcd->text, etcd->room);
        if (etcd->text == NULL) abort();
    }
    memcpy(etcd->text + etcd->len, data, count);
    etcd->len += count;
    etcd->text[etcd->len] = 0;
    if (!etcd->watches) return count;
    etcd->event = strstr(etcd->text, "\"DELETE\"") != NULL;
    if (etcd->event || strstr(etcd->text, "\"canceled\":true") != NULL)
        return 0; // or a watch that etcd ended by itself
    return count;
}

static int on_socket(void *context, curl_socket_t fd, curlsocktype purpose) {
    (void)context, (void)purpose;
    return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? CURL_SOCKOPT_ERROR : CURL_SOCKOPT_OK;
}

static CURLcode post(struct etcd *etcd, const char *path, const char *body, uint64_t limit_ms) {
    const struct via_host *host = &etcd->setup->url.hosts[etcd->at];
    char url[600];
    bool six = strchr(host->host, ':') != NULL;
    snprintf(url, sizeof url, "http://%s%s%s:%u/v3/%s", six ? "[" : "", host->host, six ? "]" : "",
             host->port != 0 ? host->port : 2379u, path);
    etcd->len = 0;
    curl_easy_setopt(etcd->curl, CURLOPT_URL, url);
    curl_easy_setopt(etcd->curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(etcd->curl, CURLOPT_TIMEOUT_MS, (long)limit_ms);
    return curl_easy_perform(etcd->curl);
}

static json_t *ask_one(struct etcd *etcd, const char *path, const char *body, uint64_t limit_ms, bool *again,
                       struct parley_problem *problem) {
    const char *host = etcd->setup->url.hosts[etcd->at].host;
    long status = 0;
    CURLcode code = post(etcd, path, body, limit_ms);
    if (code == CURLE_OK) curl_easy_getinfo(etcd->curl, CURLINFO_RESPONSE_CODE, &status);
    json_t *json = status == 200 ? json_loadb(etcd->text, etcd->len, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
    *again = code != CURLE_OK || status >= 500; // of another answer the next one would give the same
    if (json == NULL && code != CURLE_OK)
        kit_problem(problem, PARLEY_NOT_APPLIED, "%s: %s", host, curl_easy_strerror(code));
    else if (json == NULL)
        kit_problem(problem, PARLEY_NOT_APPLIED, "etcd answered %ld: %.200s", status, etcd->len > 0 ? etcd->text : "");
    return json;
}

// Asks one host after the other, until one answers or the time is over. NULL: why is in `problem`. All that is asked
// may be repeated.
static json_t *ask(struct etcd *etcd, const char *path, const char *body, struct parley_problem *problem) {
    uint64_t now_ms = kit_now_ms(), until_ms = now_ms + etcd->setup->answer_ms;
    size_t count = etcd->setup->url.count;
    struct kit_pause pause = {0};
    etcd->attempts = 0;
    for (bool again = true; again; now_ms = kit_now_ms()) {
        uint64_t left_ms = until_ms > now_ms ? until_ms - now_ms : 1;
        if (count > 1) left_ms = left_ms / 2 + 1; // time is left for the next one
        etcd->attempts++;
        json_t *json = ask_one(etcd, path, body, left_ms, &again, problem);
        if (json != NULL) return json;
        etcd->at = (etcd->at + 1) % count;
        if (again && etcd->attempts % count == 0) again = kit_pause(&pause, until_ms);
    }
    return NULL;
}

// ---- JSON: bytes are in base64, numbers of 64 bits are texts

static void base64(char *out, size_t size, const char *text) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t len = strlen(text), used = 0;
    for (size_t i = 0; i < len && used + 5 < size; i += 3) {
        unsigned bits = (unsigned)(unsigned char)text[i] << 16;
        if (i + 1 < len) bits |= (unsigned)(unsigned char)text[i + 1] << 8;
        if (i + 2 < len) bits |= (unsigned)(unsigned char)text[i + 2];
        out[used++] = digits[bits >> 18];
        out[used++] = digits[bits >> 12 & 63];
        out[used++] = i + 1 < len ? digits[bits >> 6 & 63] : '=';
        out[used++] = i + 2 < len ? digits[bits & 63] : '=';
    }
    out[used] = 0;
}

static uint64_t number(const json_t *json, const char *key) {
    const json_t *value = json_object_get(json, key);
    return json_is_string(value) ? strtoull(json_string_value(value), NULL, 10) : (uint64_t)json_integer_value(value);
}

static const json_t *first_kv(const json_t *range) {
    return json_array_get(json_object_get(range, "kvs"), 0);
}

// ---- the lease

static void forget_lease(struct etcd *etcd) {
    etcd->key[0] = etcd->lease[0] = 0;
    etcd->revision = 0;
    etcd->begun = false;
}

static bool grant_lease(struct etcd *etcd, struct parley_problem *problem) {
    char body[100];
    uint64_t sent_ms = kit_now_ms();
    if (etcd->lease[0] != 0 && sent_ms < etcd->leased_ms + etcd->ttl_ms / 2) return true;
    if (etcd->lease[0] != 0) { // an old one: does it still live?
        struct parley_problem quiet;
        snprintf(body, sizeof body, "{\"ID\":\"%s\"}", etcd->lease);
        json_t *alive = ask(etcd, "lease/keepalive", body, &quiet);
        bool lives = alive != NULL && number(json_object_get(alive, "result"), "TTL") > 0;
        json_decref(alive);
        if (lives) etcd->leased_ms = sent_ms;
        if (lives) return true;
    }
    forget_lease(etcd);
    snprintf(body, sizeof body, "{\"TTL\":\"%llu\"}", (unsigned long long)((etcd->setup->ttl_ms + 999) / 1000));
    json_t *json = ask(etcd, "lease/grant", body, problem);
    const char *id = json_string_value(json_object_get(json, "ID"));
    if (id != NULL) {
        snprintf(etcd->lease, sizeof etcd->lease, "%s", id);
        snprintf(etcd->key, sizeof etcd->key, "%s%llx", etcd->base, strtoull(id, NULL, 10));
        base64(etcd->key64, sizeof etcd->key64, etcd->key);
        etcd->leased_ms = sent_ms;
        etcd->ttl_ms = number(json, "TTL") * 1000;
    }
    json_decref(json);
    return id != NULL;
}

// ---- the line

// Makes our key unless it is there, and tells its create revision.
static bool join(struct etcd *etcd, struct parley_problem *problem) {
    char body[BODY_BYTES], owner[400];
    base64(owner, sizeof owner, etcd->setup->owner);
    snprintf(body, sizeof body,
             "{\"compare\":[{\"key\":\"%s\",\"target\":\"CREATE\",\"result\":\"EQUAL\",\"create_revision\":\"0\"}],"
             "\"success\":[{\"request_put\":{\"key\":\"%s\",\"value\":\"%s\",\"lease\":\"%s\"}}],"
             "\"failure\":[{\"request_range\":{\"key\":\"%s\"}}]}",
             etcd->key64, etcd->key64, owner, etcd->lease, etcd->key64);
    etcd->begun = true;
    json_t *json = ask(etcd, "kv/txn", body, problem);
    if (json == NULL) return false;
    const json_t *range = json_object_get(json_array_get(json_object_get(json, "responses"), 0), "response_range");
    etcd->revision = json_is_true(json_object_get(json, "succeeded"))
                         ? number(json_object_get(json, "header"), "revision")
                         : number(first_kv(range), "create_revision");
    json_decref(json);
    return etcd->revision != 0;
}

// The key before ours, in base64 ("": none).
static bool look(struct etcd *etcd, char before[1700], struct parley_problem *problem) {
    char body[BODY_BYTES], from[1700], to[1700], end[1200];
    base64(from, sizeof from, etcd->base);
    snprintf(end, sizeof end, "%s", etcd->base);
    end[strlen(end) - 1]++; // '/' and what follows it: up to '0'
    base64(to, sizeof to, end);
    snprintf(body, sizeof body,
             "{\"key\":\"%s\",\"range_end\":\"%s\",\"max_create_revision\":\"%llu\",\"sort_order\":\"DESCEND\","
             "\"sort_target\":\"CREATE\",\"limit\":\"1\",\"keys_only\":true}",
             from, to, (unsigned long long)etcd->revision - 1);
    json_t *json = ask(etcd, "kv/range", body, problem);
    const char *key = json_string_value(json_object_get(first_kv(json), "key"));
    snprintf(before, 1700, "%s", key != NULL ? key : "");
    etcd->seen = number(json_object_get(json, "header"), "revision");
    bool ok = json != NULL;
    json_decref(json);
    return ok;
}

// Until the key before is gone, the time is over, or the lease wants to be renewed. What happened since the line was
// looked at is told at once.
static void wait_for(struct etcd *etcd, const char *before, uint64_t until_ms) {
    char body[BODY_BYTES];
    uint64_t now_ms = kit_now_ms(), left_ms = until_ms > now_ms ? until_ms - now_ms : 0;
    if (left_ms == 0) return;
    if (left_ms > etcd->ttl_ms / 3) left_ms = etcd->ttl_ms / 3;
    snprintf(body, sizeof body,
             "{\"create_request\":{\"key\":\"%s\",\"start_revision\":\"%llu\",\"filters\":[\"NOPUT\"]}}", before,
             (unsigned long long)etcd->seen + 1);
    etcd->watches = true;
    etcd->event = false;
    CURLcode code = post(etcd, "watch", body, left_ms);
    etcd->watches = false;
    struct kit_pause pause = {0};
    if (etcd->event || code == CURLE_OPERATION_TIMEDOUT) return;
    etcd->at = (etcd->at + 1) % etcd->setup->url.count;
    kit_pause(&pause, until_ms);
}

static enum parley_error leave(struct etcd *etcd, struct parley_problem *problem) {
    char body[BODY_BYTES];
    if (!etcd->begun) return PARLEY_OK;
    snprintf(body, sizeof body, "{\"key\":\"%s\"}", etcd->key64);
    json_t *json = ask(etcd, "kv/deleterange", body, problem);
    bool ok = json != NULL,
         there = number(json, "deleted") == 1 || etcd->attempts > 1; // an earlier attempt may have done it
    json_decref(json);
    etcd->revision = 0;
    etcd->begun = false;
    if (!ok) forget_lease(etcd); // the key may be there, until the lease ends
    if (!ok) return PARLEY_UNKNOWN;
    return there ? PARLEY_OK : kit_problem(problem, PARLEY_LOST, "its key was gone");
}

// PARLEY_OK: ours. PARLEY_BUSY: another is before us. PARLEY_NOT_APPLIED: nobody answered.
static enum parley_error step(struct etcd *etcd, uint64_t until_ms, struct via_grant *grant,
                              struct parley_problem *problem) {
    char before[1700];
    if (!grant_lease(etcd, problem) || !join(etcd, problem) || !look(etcd, before, problem)) {
        return problem->error != PARLEY_OK ? problem->error : PARLEY_NOT_APPLIED;
    }
    if (before[0] == 0) {
        *grant = (struct via_grant){.token = etcd->revision, .sent_ms = etcd->leased_ms, .valid_ms = etcd->ttl_ms};
        if (kit_now_ms() < etcd->leased_ms + etcd->ttl_ms / 2) return PARLEY_OK;
        return PARLEY_NOT_APPLIED; // a lease so old is renewed first
    }
    wait_for(etcd, before, until_ms);
    return kit_problem(problem, PARLEY_BUSY, "held by another");
}

static enum parley_error etcd_acquire(void *state, uint64_t until_ms, struct via_grant *grant,
                                      struct parley_problem *problem) {
    struct etcd *etcd = state;
    struct kit_pause pause = {0};
    enum parley_error error;
    struct parley_problem quiet;
    if (etcd->revision != 0)
        return kit_problem(problem, PARLEY_BUSY, "held by this handle"); // one key a lease, without a count
    for (;;) {
        *problem = (struct parley_problem){0};
        error = step(etcd, until_ms, grant, problem);
        if (error == PARLEY_OK) return error;
        if (kit_now_ms() >= until_ms) break;
        if (error == PARLEY_NOT_APPLIED && !kit_pause(&pause, until_ms)) break;
    }
    leave(etcd, &quiet);
    return until_ms != 0 ? PARLEY_BUSY : error;
}

static enum via_kept etcd_keep(void *state, struct parley_problem *problem) {
    struct etcd *etcd = state;
    char body[100];
    uint64_t sent_ms = kit_now_ms();
    snprintf(body, sizeof body, "{\"ID\":\"%s\"}", etcd->lease);
    json_t *json = ask(etcd, "lease/keepalive", body, problem);
    if (json == NULL) return VIA_UNSURE;
    bool lives = number(json_object_get(json, "result"), "TTL") > 0;
    json_decref(json);
    if (lives) etcd->leased_ms = sent_ms;
    if (lives) return VIA_KEPT;
    kit_problem(problem, PARLEY_LOST, "its lease has ended");
    return VIA_GONE;
}

static enum parley_error etcd_release(void *state, struct parley_problem *problem) {
    return leave(state, problem);
}

// ---- the module

static bool etcd_open(const struct via_setup *setup, void **state, struct parley_problem *problem) {
    char name[780];
    if (!kit_parameters_known(&setup->url, "", problem)) return false;
    struct etcd *etcd = calloc(1, sizeof *etcd);
    if (etcd == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || (etcd->curl = curl_easy_init()) == NULL) abort();
    etcd->setup = setup;
    kit_escape(name, sizeof name, setup->name);
    snprintf(etcd->base, sizeof etcd->base, "%s/%s/", setup->url.path[0] != 0 ? setup->url.path : "locks", name);
    etcd->headers = curl_slist_append(NULL, "Content-Type: application/json");
    etcd->headers = curl_slist_append(etcd->headers, "Expect:");
    curl_easy_setopt(etcd->curl, CURLOPT_HTTPHEADER, etcd->headers);
    curl_easy_setopt(etcd->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(etcd->curl, CURLOPT_WRITEDATA, etcd);
    curl_easy_setopt(etcd->curl, CURLOPT_SOCKOPTFUNCTION, on_socket);
    curl_easy_setopt(etcd->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(etcd->curl, CURLOPT_NOPROXY, "*");
    *state = etcd;
    return true;
}

static void etcd_close(void *state) {
    struct etcd *etcd = state;
    struct parley_problem quiet;
    if (etcd->lease[0] != 0) { // with the lease goes its key
        char body[100];
        snprintf(body, sizeof body, "{\"ID\":\"%s\"}", etcd->lease);
        json_decref(ask(etcd, "lease/revoke", body, &quiet));
    }
    curl_easy_cleanup(etcd->curl);
    curl_slist_free_all(etcd->headers);
    free(etcd->text);
    free(etcd);
}

PARLEY_API extern const struct via_module parley_via_module;
const struct via_module parley_via_module = {.version = VIA_VERSION,
                                             .schemes = "etcd",
                                             .open = etcd_open,
                                             .acquire = etcd_acquire,
                                             .keep = etcd_keep,
                                             .release = etcd_release,
                                             .close = etcd_close};
