// scheme://[user[:password]@]host[:port][,host[:port]...][/path][?name=value[&name=value...]], with %XX in all parts
// but the hosts.
#include "client/via.h"
#include <stdlib.h>
#include <string.h>

static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool copy(char *out, size_t size, const char *from, const char *end) {
    size_t used = 0;
    for (; from < end; from++) {
        int value = (unsigned char)*from;
        if (*from == '%') {
            if (end - from < 3 || digit(from[1]) < 0 || digit(from[2]) < 0) return false;
            value = digit(from[1]) * 16 + digit(from[2]);
            from += 2;
        }
        if (value == 0 || used + 1 >= size) return false;
        out[used++] = (char)value;
    }
    out[used] = 0;
    return true;
}

static const char *find(const char *from, const char *end, char c) {
    const char *at = memchr(from, c, (size_t)(end - from));
    return at != NULL ? at : end;
}

static bool read_host(struct via_host *host, const char *from, const char *end) {
    const char *colon = find(from, end, ':');
    if (from < end && *from == '[') { // IPv6
        const char *close = find(from, end, ']');
        if (close == end) return false;
        colon = close + 1;
        if (colon < end && *colon != ':') return false;
        from++;
        if (!copy(host->host, sizeof host->host, from, close)) return false;
    } else if (!copy(host->host, sizeof host->host, from, colon)) {
        return false;
    }
    host->port = 0;
    if (host->host[0] == 0) return false;
    if (colon == end) return true;
    char text[8], *rest;
    if (!copy(text, sizeof text, colon + 1, end) || digit(text[0]) < 0) return false;
    unsigned long port = strtoul(text, &rest, 10);
    host->port = (uint16_t)port;
    return *rest == 0 && port > 0 && port <= UINT16_MAX;
}

static bool read_hosts(struct via_url *url, const char *from, const char *end) {
    for (;;) {
        const char *comma = find(from, end, ',');
        if (url->count == VIA_HOSTS_MAX || !read_host(&url->hosts[url->count++], from, comma)) return false;
        if (comma == end) return true;
        from = comma + 1;
    }
}

static bool read_parameters(struct via_url *url, const char *from, const char *end) {
    while (from < end) {
        const char *and = find(from, end, '&'), *equals = find(from, and, '=');
        if (url->parameter_count == VIA_PARAMETERS_MAX || equals == and || equals == from) return false;
        struct via_parameter *one = &url->parameters[url->parameter_count++];
        if (!copy(one->name, sizeof one->name, from, equals) || !copy(one->value, sizeof one->value, equals + 1, and))
            return false;
        from = and < end ? and+1 : end;
    }
    return true;
}

bool via_url_read(const char *text, struct via_url *url) {
    const char *mark = strstr(text, "://"), *end = text + strlen(text);
    *url = (struct via_url){0};
    if (mark == NULL || mark == text || !copy(url->scheme, sizeof url->scheme, text, mark)) return false;
    const char *from = mark + 3, *query = find(from, end, '?'), *slash = find(from, query, '/');
    const char *at = slash;
    while (at > from && at[-1] != '@') at--; // the last one: a password may have one
    if (at > from) {
        const char *colon = find(from, at - 1, ':');
        if (!copy(url->user, sizeof url->user, from, colon)) return false;
        if (colon < at - 1 && !copy(url->password, sizeof url->password, colon + 1, at - 1)) return false;
    }
    if (slash < query && !copy(url->path, sizeof url->path, slash + 1, query)) return false;
    return read_hosts(url, at, slash) && (query == end || read_parameters(url, query + 1, end));
}
