// "host:port" and socket addresses.
#include "base/assert.h"
#include "io/io_uv_internal.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

socklen_t address_bytes(const struct uv_address *address) {
    return address->any.sa_family == AF_INET6 ? sizeof address->v6 : sizeof address->v4;
}

uint16_t address_port(const struct uv_address *address) {
    return ntohs(address->any.sa_family == AF_INET6 ? address->v6.sin6_port : address->v4.sin_port);
}

void address_set_port(struct uv_address *address, uint16_t port) {
    if (address->any.sa_family == AF_INET6)
        address->v6.sin6_port = htons(port);
    else
        address->v4.sin_port = htons(port);
}

void address_text(const struct uv_address *address, char out[ADDRESS_TEXT_MAX]) {
    char host[INET6_ADDRSTRLEN];
    out[0] = 0;
    if (address->any.sa_family == AF_INET6) {
        const struct in6_addr *v6 = &address->v6.sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(v6)) { // a v4 client of a socket bound to [::]
            inet_ntop(AF_INET, &v6->s6_addr[12], host, sizeof host);
            snprintf(out, ADDRESS_TEXT_MAX, "%s:%u", host, address_port(address));
        } else {
            inet_ntop(AF_INET6, v6, host, sizeof host);
            snprintf(out, ADDRESS_TEXT_MAX, "[%s]:%u", host, address_port(address));
        }
    } else if (address->any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof host);
        snprintf(out, ADDRESS_TEXT_MAX, "%s:%u", host, address_port(address));
    }
}

int address_split(const char *text, char host[ADDRESS_TEXT_MAX], uint16_t *port) {
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon[1] == 0 || strlen(text) >= ADDRESS_TEXT_MAX) return -EINVAL;
    unsigned long number = 0;
    for (const char *at = colon + 1; *at != 0; at++) {
        if (*at < '0' || *at > '9' || at - colon > 5) return -EINVAL;
        number = number * 10 + (unsigned long)(*at - '0');
    }
    if (number > 65535) return -EINVAL;
    const char *from = text;
    size_t len = (size_t)(colon - text);
    if (len >= 2 && text[0] == '[') {
        if (text[len - 1] != ']') return -EINVAL;
        from++;
        len -= 2;
        if (len == 0) return -EINVAL;
    } else if (memchr(text, ':', len) != NULL) {
        return -EINVAL; // an IPv6 address without brackets
    }
    memcpy(host, from, len);
    host[len] = 0;
    if (strcmp(host, "*") == 0) host[0] = 0;
    *port = (uint16_t)number;
    return 0;
}

static bool parse_number(const char *host, uint16_t port, struct uv_address *out) {
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1) {
        out->any.sa_family = AF_INET;
    } else if (inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1) {
        out->any.sa_family = AF_INET6;
    } else {
        return false;
    }
    address_set_port(out, port);
    return true;
}

size_t address_known(const char *host, uint16_t port, struct uv_address *out) {
    if (strcmp(host, "localhost") == 0) { // both, whatever /etc/hosts says: programs say localhost and mean either
        bool ok = parse_number("127.0.0.1", port, &out[0]) && parse_number("::1", port, &out[1]);
        ENSURE(ok);
        return 2;
    }
    return parse_number(host, port, &out[0]) ? 1 : 0;
}

size_t address_from_info(const struct addrinfo *info, uint16_t port, struct uv_address *out) {
    size_t count = 0;
    for (; info != NULL && count < UV_ADDRESSES_MAX; info = info->ai_next) {
        if (info->ai_family != AF_INET && info->ai_family != AF_INET6) continue;
        ENSURE(info->ai_addrlen <= sizeof out[0]);
        memset(&out[count], 0, sizeof out[count]);
        memcpy(&out[count], info->ai_addr, info->ai_addrlen);
        address_set_port(&out[count], port);
        bool known = false;
        for (size_t i = 0; i < count; i++) known |= memcmp(&out[i], &out[count], sizeof out[i]) == 0;
        if (!known) count++;
    }
    return count;
}
