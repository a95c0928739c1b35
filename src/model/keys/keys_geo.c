// Places on the earth: a score holds longitude and latitude as 26 bits each, interleaved, so that near places have near
// scores.
#include "base/alloc.h"
#include "model/keys/angles.h"
#include "model/keys/double_text.h"
#include "model/keys/zset.h"
#include <stdio.h>

#define STEPS 26u
#define LONGITUDE_MAX 180.0
#define LATITUDE_MAX 85.05112878 // of Mercator's square
#define EARTH_RADIUS_M 6372797.560856
#define RADIANS (3.14159265358979323846 / 180)

struct place {
    double longitude, latitude;
};

static uint64_t spread(uint32_t bits) { // each bit to twice its place
    uint64_t out = 0;
    for (unsigned i = 0; i < 32; i++) out |= (uint64_t)(bits >> i & 1) << (2 * i);
    return out;
}

static uint32_t gather(uint64_t bits) {
    uint32_t out = 0;
    for (unsigned i = 0; i < 32; i++) out |= (uint32_t)(bits >> (2 * i) & 1) << i;
    return out;
}

static uint32_t cell_of(double value, double max) {
    return (uint32_t)((value + max) / (2 * max) * (1u << STEPS));
}

static uint64_t hash_of(const struct place *p, double latitude_max) {
    return spread(cell_of(p->latitude, latitude_max)) | spread(cell_of(p->longitude, LONGITUDE_MAX)) << 1;
}

// The middle of a cell.
static double middle_of(uint32_t cell, double max) {
    double low = -max + cell * 1.0 / (1u << STEPS) * (2 * max);
    double high = -max + (cell + 1) * 1.0 / (1u << STEPS) * (2 * max), middle = (low + high) / 2;
    return middle > max ? max : middle < -max ? -max : middle;
}

static struct place place_of(double score) {
    // A score that is no place, as Redis on x86 takes it: the bits of the signed number.
    bool fits = score > -0x1p63 && score < 0x1p63;
    uint64_t bits = fits ? (uint64_t)(int64_t)score : 0;
    return (struct place){middle_of(gather(bits >> 1), LONGITUDE_MAX), middle_of(gather(bits), LATITUDE_MAX)};
}

static bool read_place(struct keys_call *call, const struct bytes *at, struct place *p) {
    if (!double_read_whole(at[0], &p->longitude) || !double_read_whole(at[1], &p->latitude)) {
        reply_error(&call->out, "ERR value is not a valid float");
        return false;
    }
    if (p->longitude >= -LONGITUDE_MAX && p->longitude <= LONGITUDE_MAX && p->latitude >= -LATITUDE_MAX &&
        p->latitude <= LATITUDE_MAX)
        return true;
    reply_error(&call->out, "ERR invalid longitude,latitude pair %f,%f", p->longitude, p->latitude);
    return false;
}

// GEOADD key [NX | XX] [CH] longitude latitude member ...: a ZADD of the places' scores.
void geo_add(struct keys_call *call) {
    size_t from = 2, given = 0;
    bool only_new = false, only_old = false;
    for (; from < call->argc; from++) {
        bool nx = text_is(call->argv[from], "nx"), xx = text_is(call->argv[from], "xx");
        if (!nx && !xx && !text_is(call->argv[from], "ch")) break;
        only_new |= nx;
        only_old |= xx;
    }
    if ((call->argc - from) % 3 != 0 || (only_new && only_old)) {
        reply_syntax(&call->out);
        return;
    }
    size_t places = (call->argc - from) / 3;
    struct bytes *argv = mem_alloc((from + 2 * places) * sizeof *argv);
    char(*texts)[24] = mem_alloc(places * sizeof *texts + 1);
    memcpy(argv, call->argv, from * sizeof *argv);
    for (struct place p; given < places && read_place(call, &call->argv[from + 3 * given], &p); given++) {
        size_t len = number_write(texts[given], (int64_t)hash_of(&p, LATITUDE_MAX));
        argv[from + 2 * given] = bytes_of(texts[given], len);
        argv[from + 2 * given + 1] = call->argv[from + 3 * given + 2];
    }
    if (given == places) {
        struct keys_call adding = *call;
        adding.argv = argv;
        adding.argc = from + 2 * places;
        zset_add(&adding);
    }
    mem_free(argv);
    mem_free(texts);
}

// ---- looking

static void reply_coordinate(struct keys_call *call, double value) {
    char text[64];
    int len = snprintf(text, sizeof text, "%.17f", value);
    while (text[len - 1] == '0') len--;
    if (text[len - 1] == '.') len--;
    text[len] = '\0';
    if (call->out.resp3) {
        write_u8(call->out.to, ',');
        write_span(call->out.to, bytes_of_text(text));
        write_span(call->out.to, bytes_of_text("\r\n"));
    } else {
        reply_text(&call->out, text);
    }
}

static bool find_place(const struct key *key, struct bytes member, struct place *p) {
    double score;
    if (key == NULL || !zset_find(key, member, &score)) return false;
    *p = place_of(score);
    return true;
}

void geo_pos(struct keys_call *call) {
    bool wrong;
    struct place p;
    const struct key *key = key_find_typed(call, call->argv[1], KEY_ZSET, &wrong);
    if (wrong) return;
    reply_array(&call->out, call->argc - 2);
    for (size_t i = 2; i < call->argc; i++) {
        if (!find_place(key, call->argv[i], &p)) {
            reply_null_array(&call->out);
            continue;
        }
        reply_array(&call->out, 2);
        reply_coordinate(call, p.longitude);
        reply_coordinate(call, p.latitude);
    }
}

// Geohashes have the whole range of latitudes, and 5 bits a letter; the eleventh has none left.
void geo_hash(struct keys_call *call) {
    static const char letters[] = "0123456789bcdefghjkmnpqrstuvwxyz";
    bool wrong;
    struct place p;
    const struct key *key = key_find_typed(call, call->argv[1], KEY_ZSET, &wrong);
    if (wrong) return;
    reply_array(&call->out, call->argc - 2);
    for (size_t i = 2; i < call->argc; i++) {
        if (!find_place(key, call->argv[i], &p)) {
            reply_null(&call->out);
            continue;
        }
        char text[12] = "00000000000";
        uint64_t bits = hash_of(&p, 90);
        for (unsigned at = 0; at < 10; at++) text[at] = letters[bits >> (2 * STEPS - 5 * (at + 1)) & 31];
        reply_text(&call->out, text);
    }
}

static double distance_m(const struct place *a, const struct place *b) {
    double a_latitude = a->latitude * RADIANS, b_latitude = b->latitude * RADIANS;
    double v = angle_sin((b->longitude * RADIANS - a->longitude * RADIANS) / 2);
    double u = angle_sin((b_latitude - a_latitude) / 2), apart = b_latitude - a_latitude;
    if (v == 0) return EARTH_RADIUS_M * (apart < 0 ? -apart : apart);
    return 2.0 * EARTH_RADIUS_M *
           angle_asin(square_root(u * u + angle_cos(a_latitude) * angle_cos(b_latitude) * v * v));
}

static bool read_unit(struct keys_call *call, struct bytes word, double *metres) {
    static const struct {
        const char *word;
        double metres;
    } units[] = {{"m", 1}, {"km", 1000}, {"ft", 0.3048}, {"mi", 1609.34}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        *metres = units[i].metres;
        if (text_is(word, units[i].word)) return true;
    }
    reply_error(&call->out, "ERR unsupported unit provided. please use M, KM, FT, MI");
    return false;
}

// GEODIST key member member [unit]
void geo_dist(struct keys_call *call) {
    bool wrong;
    double metres = 1;
    struct place a, b;
    char text[64];
    if (call->argc > 5) {
        reply_syntax(&call->out);
        return;
    }
    if (call->argc == 5 && !read_unit(call, call->argv[4], &metres)) return;
    const struct key *key = key_find_typed(call, call->argv[1], KEY_ZSET, &wrong);
    if (wrong) return;
    if (!find_place(key, call->argv[2], &a) || !find_place(key, call->argv[3], &b)) {
        reply_null(&call->out);
        return;
    }
    snprintf(text, sizeof text, "%.4f", distance_m(&a, &b) / metres);
    reply_text(&call->out, text);
}
