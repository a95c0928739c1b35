// Values of settings: numbers with units, addresses, and the nearest of known words.
#include "base/assert.h"
#include "server/config.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static bool digits(const char **at, uint64_t *value) {
    const char *from = *at;
    uint64_t n = 0;
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        uint64_t digit = (uint64_t)(**at - '0');
        if (n > (UINT64_MAX - digit) / 10) return false;
        n = n * 10 + digit;
    }
    *value = n;
    return *at != from;
}

struct unit {
    const char *name;
    uint64_t factor;
};

static bool with_unit(const char *text, const struct unit *units, size_t count, uint64_t *value) {
    uint64_t n;
    if (!digits(&text, &n)) return false;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, units[i].name) != 0) continue;
        if (n > UINT64_MAX / units[i].factor) return false;
        *value = n * units[i].factor;
        return true;
    }
    return false;
}

bool config_parse_duration(const char *text, uint64_t *ms) {
    static const struct unit units[] = {{"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    return with_unit(text, units, sizeof units / sizeof units[0], ms);
}

bool config_parse_bytes(const char *text, uint64_t *bytes) {
    static const struct unit units[] = {{"", 1},           {"K", 1u << 10},   {"M", 1u << 20},
                                        {"G", 1u << 30},   {"T", 1ull << 40}, {"KiB", 1u << 10},
                                        {"MiB", 1u << 20}, {"GiB", 1u << 30}, {"TiB", 1ull << 40}};
    return with_unit(text, units, sizeof units / sizeof units[0], bytes);
}

static bool host_is_good(const char *host, size_t len) {
    if (len == 0) return false;
    for (size_t i = 0; i < len; i++) {
        char c = host[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '-' && c != '.' && c != '_') return false;
    }
    return true;
}

static bool parse_port(const char *text, uint32_t *port) {
    uint64_t n;
    const char *at = text;
    if (!digits(&at, &n) || *at != 0 || n == 0 || n > 65535) return false;
    *port = (uint32_t)n;
    return true;
}

static bool bad(char error[256], const char *what) {
    snprintf(error, 256, "%s", what);
    return false;
}

bool config_parse_address(const char *text, uint32_t port_default, char out[ADDRESS_TEXT_MAX], char error[256]) {
    ENSURE(text != NULL && out != NULL);
    if (strlen(text) >= ADDRESS_TEXT_MAX - 16) return bad(error, "is too long for an address");
    if (text[0] == 0) return bad(error, "is empty: an address is HOST:PORT");
    uint32_t port = port_default;
    if (text[strspn(text, "0123456789")] == 0) { // a port alone
        if (!parse_port(text, &port)) return bad(error, "is no port: allowed are 1 to 65535");
        snprintf(out, ADDRESS_TEXT_MAX, "localhost:%u", port);
        return true;
    }
    char host[ADDRESS_TEXT_MAX];
    const char *behind;
    if (text[0] == '[') {
        const char *end = strchr(text, ']');
        struct in6_addr ignored;
        if (end == NULL) return bad(error, "lacks the ] behind its IPv6 address");
        snprintf(host, sizeof host, "%.*s", (int)(end - text - 1), text + 1);
        if (inet_pton(AF_INET6, host, &ignored) != 1) return bad(error, "holds no IPv6 address between [ and ]");
        snprintf(host, sizeof host, "%.*s", (int)(end - text + 1), text);
        behind = end + 1;
    } else {
        behind = strchr(text, ':');
        if (behind == NULL) behind = text + strlen(text);
        if (behind == text && strchr(text + 1, ':') == NULL)
            return bad(error, "names no host: write localhost:PORT for this machine only, 0.0.0.0:PORT (or [::]:PORT) "
                              "to serve others");
        if (behind[0] != 0 && strchr(behind + 1, ':') != NULL)
            return bad(error, "has several colons: an IPv6 address is written [ADDRESS]:PORT");
        snprintf(host, sizeof host, "%.*s", (int)(behind - text), text);
        if (strcmp(host, "*") != 0 && !host_is_good(host, strlen(host)))
            return bad(error, "is no address: a host has letters, digits, dots and dashes");
        bool number = host[strspn(host, "0123456789.")] == 0;
        struct in_addr ignored;
        if (number && inet_pton(AF_INET, host, &ignored) != 1) return bad(error, "is no IPv4 address");
    }
    if (behind[0] == ':') {
        if (!parse_port(behind + 1, &port)) return bad(error, "has no valid port: allowed are 1 to 65535");
    } else if (behind[0] != 0) {
        return bad(error, "has more behind the ]: an address is [ADDRESS]:PORT");
    } else if (port == 0) {
        return bad(error, "lacks a port: an address is HOST:PORT");
    }
    snprintf(out, ADDRESS_TEXT_MAX, "%.240s:%u", host, port);
    return true;
}

// ---- the nearest word: Levenshtein's distance with one row of a table
#define WORD_MAX 64u

static size_t distance(const char *a, const char *b) {
    size_t row[WORD_MAX + 1], len_a = strlen(a), len_b = strlen(b);
    if (len_a > WORD_MAX || len_b > WORD_MAX) return SIZE_MAX;
    for (size_t j = 0; j <= len_b; j++) row[j] = j;
    for (size_t i = 1; i <= len_a; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= len_b; j++) {
            size_t replace = diagonal + (a[i - 1] != b[j - 1]),
                   best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            diagonal = row[j];
            row[j] = replace < best ? replace : best;
        }
    }
    return row[len_b];
}

const char *config_nearest(const char *word, const char *const *names, size_t count) {
    const char *best = NULL;
    size_t least = strlen(word) / 3 + 1; // more edits than a third of it is another word
    for (size_t i = 0; i < count; i++) {
        size_t far = distance(word, names[i]);
        if (far <= least && (best == NULL || far < least)) {
            best = names[i];
            least = far;
        }
    }
    if (best != NULL) return best;
    size_t len = strlen(word);
    for (size_t i = 0; len >= 3 && i < count; i++)
        if (strncmp(names[i], word, len) == 0) return names[i]; // the beginning of a longer name
    return NULL;
}
