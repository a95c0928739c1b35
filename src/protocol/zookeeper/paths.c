// Which characters ZooKeeper takes in a path that is written. How its parts may look (".", "//", a trailing slash) is
// the tree's to judge.
#include "protocol/zookeeper/internal.h"

// One character of UTF-8 at *at; UINT32_MAX: not UTF-8 (over-long forms and surrogates are not).
static uint32_t utf8_next(struct bytes text, size_t *at) {
    uint8_t first = text.data[(*at)++];
    if (first < 0x80) return first;
    size_t more = first >= 0xf0 && first < 0xf5   ? 3
                  : first >= 0xe0 && first < 0xf0 ? 2
                  : first >= 0xc2 && first < 0xe0 ? 1
                                                  : 0;
    if (more == 0 || text.len - *at < more) return UINT32_MAX;
    uint32_t c = first & (0x3fu >> more);
    for (size_t i = 0; i < more; i++) {
        uint8_t next = text.data[(*at)++];
        if ((next & 0xc0) != 0x80) return UINT32_MAX;
        c = (c << 6) | (next & 0x3fu);
    }
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    return c < least[more] ? UINT32_MAX : c;
}

// PathUtils' ranges. Java sees characters beyond 0xffff as two surrogates, so they are refused with those.
bool path_characters(struct bytes path) {
    const uint64_t each = 0x0101010101010101u, top = each << 7;
    for (size_t at = 0; at < path.len;) {
        if (path.len - at >= 8) { // eight at once that are all 0x20 to 0x7e: neither bound carries into a neighbour
            uint64_t eight = get_u64_le(path.data + at);
            if (((eight | (eight + each) | (((eight | top) - each * 0x20) ^ top)) & top) == 0) {
                at += 8;
                continue;
            }
        }
        uint32_t c = utf8_next(path, &at);
        if (c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0xd800 && c <= 0xf8ff) || c >= 0xfff0) return false;
    }
    return true;
}
