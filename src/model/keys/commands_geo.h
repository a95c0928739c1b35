// 640 .. 659: places on the earth, as scores of sorted sets.
#pragma once

#define KEYS_GEO_COMMANDS(X)                                                                                           \
    X(640, "geoadd", -5, 1, 1, 1, KEYS_WRITE | KEYS_DENYOOM, KEYS_IN_WRITE | KEYS_IN_GEO | KEYS_IN_SLOW, geo_add)      \
    X(641, "geopos", -2, 1, 1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_GEO | KEYS_IN_SLOW, geo_pos)                   \
    X(642, "geohash", -2, 1, 1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_GEO | KEYS_IN_SLOW, geo_hash)                 \
    X(643, "geodist", -4, 1, 1, 1, KEYS_READONLY, KEYS_IN_READ | KEYS_IN_GEO | KEYS_IN_SLOW, geo_dist)
