// Access control lists: interned by their encoded bytes, checked against who asks. Semantics: ZooKeeper's checkACL and
// fixupACL.
#include "base/alloc.h"
#include "base/assert.h"
#include "model/tree/tree_internal.h"
#include <string.h>

#define ACL_DOMAIN 0x7472656561636cull // "treeacl"

const uint8_t tree_acl_open[15] = {1, TREE_ALL, 5, 'w', 'o', 'r', 'l', 'd', 6, 'a', 'n', 'y', 'o', 'n', 'e'};
const uint8_t tree_acl_world_read[15] = {1, TREE_READ, 5, 'w', 'o', 'r', 'l', 'd', 6, 'a', 'n', 'y', 'o', 'n', 'e'};

struct acl_entry {
    uint8_t perms;
    struct bytes scheme, id;
};

static bool text_is(struct bytes span, const char *text) {
    return bytes_equal(span, bytes_of_text(text));
}

static struct acl_entry entry_read(struct reader *r) {
    struct acl_entry entry;
    entry.perms = read_u8(r);
    entry.scheme = read_blob(r);
    entry.id = read_blob(r);
    return entry;
}

bool tree_acl_read(struct reader *r, struct bytes *encoded) {
    size_t start = r->at;
    uint64_t count = read_varint(r);
    for (uint64_t i = 0; i < count && !r->failed; i++) entry_read(r);
    if (r->failed) return false;
    *encoded = bytes_of(r->data + start, r->at - start);
    return true;
}

// ---- addresses. Own parsers: every node must judge the same text alike, whatever its libc.

struct ip {
    uint8_t bytes[16];
    uint32_t bits; // 32 or 128
};

// Digits of `base` at *at, at most `digits` of them; -1: none or too many.
static int32_t ip_number(struct bytes t, size_t *at, uint32_t base, uint32_t digits) {
    uint32_t value = 0, n = 0;
    for (; *at < t.len; ++*at, n++) {
        uint8_t c = t.data[*at], lower = c | 0x20;
        uint32_t digit = c >= '0' && c <= '9'           ? (uint32_t)c - '0'
                         : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10u
                                                        : 99;
        if (digit >= base) break;
        if (n == digits) return -1;
        value = value * base + digit;
    }
    return n ? (int32_t)value : -1;
}

static bool ip4_parse(struct bytes t, uint8_t out[4]) {
    size_t at = 0;
    for (int i = 0; i < 4; i++) {
        if (i && (at >= t.len || t.data[at++] != '.')) return false;
        int32_t v = ip_number(t, &at, 10, 3);
        if (v < 0 || v > 255) return false;
        out[i] = (uint8_t)v;
    }
    return at == t.len;
}

static bool ip6_parse(struct bytes t, uint8_t out[16]) {
    uint8_t groups[16];
    size_t n = 0, gap = SIZE_MAX, at = 0;
    if (t.len >= 2 && t.data[0] == ':' && t.data[1] == ':') {
        gap = 0;
        at = 2;
    }
    while (at < t.len) {
        size_t start = at;
        int32_t v = ip_number(t, &at, 16, 4);
        if (at < t.len && t.data[at] == '.') { // the last 32 bits as IPv4
            if (n > 12 || !ip4_parse(bytes_of(t.data + start, t.len - start), groups + n)) return false;
            n += 4;
            at = t.len;
            break;
        }
        if (v < 0 || n > 14) return false;
        groups[n++] = (uint8_t)(v >> 8);
        groups[n++] = (uint8_t)v;
        if (at == t.len) break;
        if (t.data[at++] != ':' || at == t.len) return false;
        if (t.data[at] == ':') {
            if (gap != SIZE_MAX) return false;
            gap = n;
            at++;
        }
    }
    if (gap == SIZE_MAX ? n != 16 : n > 14) return false;
    size_t head = gap == SIZE_MAX ? n : gap;
    memset(out, 0, 16);
    memcpy(out, groups, head);
    memcpy(out + 16 - (n - head), groups + head, n - head);
    return true;
}

// IPv4 in IPv6's clothes (::ffff:1.2.3.4, as a dual-stack socket shows it) counts as IPv4.
static bool ip_parse(struct bytes t, struct ip *ip) {
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (ip4_parse(t, ip->bytes)) {
        ip->bits = 32;
        return true;
    }
    if (!ip6_parse(t, ip->bytes)) return false;
    ip->bits = 128;
    if (memcmp(ip->bytes, mapped, sizeof mapped) == 0) {
        memmove(ip->bytes, ip->bytes + 12, 4);
        ip->bits = 32;
    }
    return true;
}

static bool ip_pattern_parse(struct bytes text, struct ip *ip, uint32_t *prefix) {
    const uint8_t *slash = text.len ? memchr(text.data, '/', text.len) : NULL;
    if (!slash) {
        if (!ip_parse(text, ip)) return false;
        *prefix = ip->bits;
        return true;
    }
    size_t len = (size_t)(slash - text.data), at = len + 1;
    if (!ip_parse(bytes_of(text.data, len), ip)) return false;
    int32_t bits = ip_number(text, &at, 10, 3);
    if (bits < 0 || at != text.len) return false;
    if (ip->bits == 32 && memchr(text.data, ':', len)) bits -= 96; // the mask was meant for the 128 bits
    if (bits < 0 || (uint32_t)bits > ip->bits) return false;
    *prefix = (uint32_t)bits;
    return true;
}

bool tree_ip_valid(struct bytes text, bool allow_mask) {
    struct ip ip;
    uint32_t prefix;
    return allow_mask ? ip_pattern_parse(text, &ip, &prefix) : ip_parse(text, &ip);
}

bool tree_ip_matches(struct bytes address, struct bytes pattern) {
    struct ip have, want;
    uint32_t prefix;
    if (!ip_parse(address, &have) || !ip_pattern_parse(pattern, &want, &prefix) || have.bits != want.bits) return false;
    uint32_t whole = prefix / 8, rest = prefix % 8;
    if (memcmp(have.bytes, want.bytes, whole) != 0) return false;
    return rest == 0 || ((have.bytes[whole] ^ want.bytes[whole]) >> (8 - rest)) == 0;
}

// ---- who may

static struct reader identities_reader(struct tree_identities who, uint64_t *count) {
    struct reader r = reader_of(who.encoded.data, who.encoded.len);
    *count = who.encoded.len ? read_varint(&r) : 0;
    return r;
}

bool tree_identities_valid(struct tree_identities who) {
    uint64_t count;
    struct reader r = identities_reader(who, &count);
    for (uint64_t i = 0; i < count && !r.failed; i++) {
        read_blob(&r);
        read_blob(&r);
    }
    return reader_done(&r);
}

static bool identity_matches(struct bytes scheme, struct bytes id, const struct acl_entry *entry) {
    if (!bytes_equal(scheme, entry->scheme)) return false;
    return text_is(scheme, "ip") ? tree_ip_matches(id, entry->id) : bytes_equal(id, entry->id);
}

bool tree_acl_allows(const struct tree_acl *acl, uint8_t perms, struct tree_identities who) {
    if (acl->world_perms & perms) return true;
    uint64_t identities;
    struct reader all = identities_reader(who, &identities);
    if (identities == 0 || all.failed) return false;
    for (uint64_t i = 0; i < identities && !all.failed; i++) {
        struct bytes scheme = read_blob(&all), id = read_blob(&all);
        if (all.failed) return false;
        if (text_is(scheme, "super")) return true;
        struct reader r = reader_of(acl->encoded, acl->len);
        for (uint64_t count = read_varint(&r); count > 0; count--) {
            struct acl_entry entry = entry_read(&r);
            if ((entry.perms & perms) && identity_matches(scheme, id, &entry)) return true;
        }
    }
    return false;
}

bool tree_event_allows(const struct tree_event *event, struct tree_identities identities) {
    return tree_acl_allows(event->acl, TREE_READ, identities);
}

// ---- interning

static bool acl_matches(const struct hash_node *node, const void *key) {
    const struct tree_acl *acl = CONTAINER_OF_CONST(node, struct tree_acl, index);
    const struct bytes *want = key;
    return acl->len == want->len && memcmp(acl->encoded, want->data, want->len) == 0;
}

static struct tree_acl *acl_find(const struct tree *tree, struct bytes encoded, uint64_t hash) {
    struct hash_node *node = hash_find(&tree->acl_index, hash, acl_matches, &encoded);
    return node ? CONTAINER_OF(node, struct tree_acl, index) : NULL;
}

static uint64_t acl_hash(struct bytes encoded) {
    return hash_bytes(encoded.data, encoded.len, ACL_DOMAIN);
}

uint32_t tree_acl_ref(struct tree *tree, struct bytes stored) {
    uint64_t hash = acl_hash(stored);
    struct tree_acl *acl = acl_find(tree, stored, hash);
    if (acl) {
        acl->refs++;
        return acl->id;
    }
    ENSURE(stored.len <= TREE_ACL_BYTES_MAX);
    if (tree->acl_free_count == 0 && tree->acl_count == tree->acl_capacity) {
        tree->acl_capacity = tree->acl_capacity ? tree->acl_capacity * 2 : 16;
        tree->acls = mem_realloc(tree->acls, tree->acl_capacity * sizeof *tree->acls);
        tree->acl_free = mem_realloc(tree->acl_free, tree->acl_capacity * sizeof *tree->acl_free);
    }
    acl = mem_zalloc(sizeof *acl + stored.len);
    acl->id = tree->acl_free_count ? tree->acl_free[--tree->acl_free_count] : tree->acl_count++;
    acl->refs = 1;
    acl->len = (uint32_t)stored.len;
    acl->digest = digest_hash(stored.data, stored.len, ACL_DOMAIN);
    memcpy(acl->encoded, stored.data, stored.len);
    struct reader r = reader_of(acl->encoded, acl->len);
    for (uint64_t count = read_varint(&r); count > 0; count--) {
        struct acl_entry entry = entry_read(&r);
        ENSURE(!r.failed);
        if (text_is(entry.scheme, "world") && text_is(entry.id, "anyone")) acl->world_perms |= entry.perms;
    }
    hash_insert(&tree->acl_index, &acl->index, hash);
    tree->acls[acl->id] = acl;
    tree->memory += sizeof *acl + acl->len;
    return acl->id;
}

void tree_acl_unref(struct tree *tree, uint32_t id) {
    ENSURE(id < tree->acl_count);
    struct tree_acl *acl = tree->acls[id];
    ENSURE(acl && acl->refs > 0);
    if (--acl->refs) return;
    hash_remove(&tree->acl_index, &acl->index);
    tree->memory -= sizeof *acl + acl->len;
    tree->acls[id] = NULL;
    tree->acl_free[tree->acl_free_count++] = id; // as large as acls, so there is room
    mem_free(acl);
}

// ---- taking in a list

static bool entry_valid(const struct acl_entry *entry) {
    if (text_is(entry->scheme, "world")) return text_is(entry->id, "anyone");
    if (text_is(entry->scheme, "ip")) return tree_ip_valid(entry->id, true);
    if (text_is(entry->scheme, "digest")) {
        size_t colons = 0;
        for (size_t i = 0; i < entry->id.len; i++) colons += entry->id.data[i] == ':';
        return colons == 1;
    }
    return text_is(entry->scheme, "x509") && entry->id.len > 0;
}

// The list being built: entries without the count, repeats left out (each is compared with all before it; lists are
// bounded).
struct acl_builder {
    struct writer entries;
    uint64_t count;
};

static void builder_add(struct acl_builder *b, const struct acl_entry *entry) {
    struct reader r = reader_of(b->entries.data, b->entries.len);
    for (uint64_t i = 0; i < b->count; i++) {
        struct acl_entry other = entry_read(&r);
        if (other.perms == entry->perms && bytes_equal(other.scheme, entry->scheme) && bytes_equal(other.id, entry->id))
            return;
    }
    write_u8(&b->entries, entry->perms);
    write_blob(&b->entries, entry->scheme);
    write_blob(&b->entries, entry->id);
    b->count++;
}

// `auth` stands for each identity that was proven (an address is not).
static bool builder_add_auth(struct acl_builder *b, uint8_t perms, struct tree_identities who) {
    uint64_t count;
    struct reader r = identities_reader(who, &count);
    bool any = false;
    for (; count > 0 && !r.failed; count--) {
        struct acl_entry entry = {.perms = perms};
        entry.scheme = read_blob(&r);
        entry.id = read_blob(&r);
        if (!text_is(entry.scheme, "digest") && !text_is(entry.scheme, "x509")) continue;
        any = true;
        builder_add(b, &entry);
    }
    return any;
}

int tree_acl_check(struct tree *tree, struct bytes encoded, struct tree_identities who, struct bytes *stored) {
    *stored = encoded;
    if (acl_find(tree, encoded, acl_hash(encoded)))
        return 0; // what stands there has been checked, and never holds `auth`
    if (encoded.len > TREE_ACL_BYTES_MAX) return TREE_INVALIDACL;
    struct reader r = reader_of(encoded.data, encoded.len);
    uint64_t count = read_varint(&r);
    struct acl_builder b = {.count = 0};
    writer_init(&b.entries);
    bool valid = count > 0;
    for (; valid && count > 0; count--) {
        struct acl_entry entry = entry_read(&r);
        if (text_is(entry.scheme, "auth"))
            valid = builder_add_auth(&b, entry.perms, who);
        else if ((valid = entry_valid(&entry)))
            builder_add(&b, &entry);
        valid = valid && b.entries.len + 10 <= TREE_ACL_BYTES_MAX;
    }
    if (valid) {
        struct writer whole;
        writer_init(&whole);
        write_varint(&whole, b.count);
        write_span(&whole, bytes_of(b.entries.data, b.entries.len));
        *stored = arena_copy(&tree->arena, bytes_of(whole.data, whole.len));
        writer_free(&whole);
    }
    writer_free(&b.entries);
    return valid ? 0 : TREE_INVALIDACL;
}
