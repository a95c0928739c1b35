// Which registrations are taken. What is registered is written into the configurations of other programs (parley
// template), so names and addresses are made of few characters, and metadata has no control characters.
#include "model/registry/registry_internal.h"
#include <string.h>

static bool is_alphanumeric(uint8_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool made_of(struct bytes text, const char *signs) {
    for (size_t i = 0; i < text.len; i++)
        if (!is_alphanumeric(text.data[i]) && (text.data[i] == 0 || strchr(signs, text.data[i]) == NULL)) return false;
    return true;
}

bool registry_name_good(struct bytes name, size_t max) {
    return name.len > 0 && name.len <= max && made_of(name, "._-:/@+");
}

static bool port_good(struct bytes port) {
    uint32_t number = 0;
    if (port.len == 0 || port.len > 5 || port.data[0] == '0') return false;
    for (size_t i = 0; i < port.len; i++) {
        if (port.data[i] < '0' || port.data[i] > '9') return false;
        number = number * 10 + (port.data[i] - '0');
    }
    return number <= 65535;
}

// "host:port", "1.2.3.4:port", "[::1]:port"
bool registry_address_good(struct bytes address) {
    if (address.len > REGISTRY_ADDRESS_BYTES_MAX || address.len < 3) return false;
    size_t colon = address.len - 1;
    while (colon > 0 && address.data[colon] != ':') colon--;
    struct bytes host = bytes_of(address.data, colon);
    if (!port_good(bytes_of(address.data + colon + 1, address.len - colon - 1))) return false;
    if (host.len > 2 && host.data[0] == '[' && host.data[host.len - 1] == ']')
        return made_of(bytes_of(host.data + 1, host.len - 2), ":.%");
    return host.len > 0 && made_of(host, ".-_");
}

static bool printable(struct bytes text) {
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < ' ' || text.data[i] == 0x7f) return false;
    return true;
}

// ---- metadata: pairs of blobs

void registry_metadata_write(struct writer *w, struct bytes key, struct bytes value) {
    write_blob(w, key);
    write_blob(w, value);
}

bool registry_metadata_read(struct reader *pairs, struct bytes *key, struct bytes *value) {
    if (reader_left(pairs) == 0) return false;
    *key = read_blob(pairs);
    *value = read_blob(pairs);
    return !pairs->failed;
}

struct bytes registry_metadata_get(struct bytes metadata, struct bytes key) {
    struct reader pairs = reader_of(metadata.data, metadata.len);
    struct bytes at, value;
    while (registry_metadata_read(&pairs, &at, &value))
        if (bytes_equal(at, key)) return value.data ? value : bytes_of("", 0);
    return bytes_of(NULL, 0);
}

bool registry_metadata_good(struct bytes metadata) {
    if (metadata.len > REGISTRY_METADATA_BYTES_MAX) return false;
    struct reader pairs = reader_of(metadata.data, metadata.len);
    struct bytes key, value;
    unsigned count = 0;
    while (registry_metadata_read(&pairs, &key, &value)) {
        struct bytes before = bytes_of(metadata.data, (size_t)(key.data - metadata.data) - varint_size(key.len));
        if (++count > REGISTRY_PAIRS_MAX || !registry_name_good(key, REGISTRY_KEY_BYTES_MAX)) return false;
        if (value.len > REGISTRY_VALUE_BYTES_MAX || !printable(value)) return false;
        if (registry_metadata_get(before, key).data != NULL) return false; // twice
    }
    return !pairs.failed;
}

// ---- registrations

static bool check_good(const struct registry_check *check) {
    if (check->kind == REGISTRY_CHECK_NONE)
        return check->path.len == 0 && check->interval_ms == 0 && check->timeout_ms == 0 && check->failures == 0 &&
               check->successes == 0;
    bool http = check->kind == REGISTRY_CHECK_HTTP;
    if (!http && (check->kind != REGISTRY_CHECK_TCP || check->path.len > 0)) return false;
    if (http && (check->path.len == 0 || check->path.len > REGISTRY_PATH_BYTES_MAX || check->path.data[0] != '/'))
        return false;
    if (!made_of(check->path, "._-:/@+?=&%~,!$'()*;")) return false; // of URLs
    return check->interval_ms >= REGISTRY_INTERVAL_MS_MIN && check->interval_ms <= REGISTRY_INTERVAL_MS_MAX &&
           check->timeout_ms >= REGISTRY_TIMEOUT_MS_MIN && check->timeout_ms <= REGISTRY_TIMEOUT_MS_MAX &&
           check->failures > 0 && check->failures <= REGISTRY_STREAK_MAX && check->successes > 0 &&
           check->successes <= REGISTRY_STREAK_MAX;
}

bool registry_registration_good(const struct registry_registration *r) {
    bool by_ttl = r->binding == REGISTRY_BY_TTL;
    if (r->binding > REGISTRY_PERMANENT || by_ttl != (r->ttl_ms > 0) || r->ttl_ms > REGISTRY_TTL_MS_MAX) return false;
    if (r->binding == REGISTRY_PERMANENT && r->check.kind == REGISTRY_CHECK_NONE) return false; // nobody would notice
    if (r->zone.len > 0 && !registry_name_good(r->zone, REGISTRY_ZONE_BYTES_MAX)) return false;
    return registry_name_good(r->service, REGISTRY_NAME_BYTES_MAX) &&
           registry_name_good(r->id, REGISTRY_ID_BYTES_MAX) && registry_address_good(r->address) &&
           registry_metadata_good(r->metadata) && r->weight > 0 && r->weight <= REGISTRY_WEIGHT_MAX &&
           check_good(&r->check);
}
