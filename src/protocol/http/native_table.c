// The rooms of native operations, and all errors.
#include "protocol/http/native_internal.h"
#include <string.h>

const struct native_room *const native_rooms[] = {
#define X(name) &name##_room,
    NATIVE_ROOMS(X)
#undef X
};
const size_t native_room_count = sizeof native_rooms / sizeof native_rooms[0];

const struct native_operation *native_at(size_t place) {
    for (size_t r = 0; r < native_room_count; place -= native_rooms[r++]->count)
        if (place < native_rooms[r]->count) return &native_rooms[r]->operations[place];
    return NULL;
}

const struct native_operation *native_find(const char *path) {
    const struct native_operation *operation;
    for (size_t i = 0; (operation = native_at(i)) != NULL; i++)
        if (strcmp(operation->path, path) == 0) return operation;
    return NULL;
}

// ---- errors
const char native_common_errors[] =
    "bad-request forbidden bad-method too-large disk-full memory-full not-applied level unknown ";
const struct native_error native_errors[] = {
    {"bad-request", 400, "The request cannot be understood"},
    {"forbidden", 403, "This may not be done from there"},
    {"not-found", 404, "There is none of this name"},
    {"none-ready", 404, "No instance of the service is passing and stays"},
    {"bad-method", 405, "Not by this method"},
    {"busy", 409, "Held by another"},
    {"timed-out", 409, "Not granted in the time given"},
    {"cancelled", 409, "Waits no longer: it was cancelled"},
    {"superseded", 409, "A newer request of the same owner has its place in line"},
    {"not-held", 409, "Not held, or not waited for, under this number"},
    {"deadlock", 409, "Waiting would close a circle of owners that wait for each other"},
    {"kind", 409, "Held or queued in another way"},
    {"limit", 409, "More than may be held, waited for, asked for or remembered at once"},
    {"exhausted", 409, "The sequence has reached its ceiling"},
    {"key-needed", 409, "A gapless sequence gives numbers only under a key"},
    {"restored", 409, "Restored from a backup: an operator must set it behind the numbers given since"},
    {"exists", 409, "There is one with other settings"},
    {"backward", 409, "A sequence is only set forward"},
    {"later", 409, "None can be given now"},
    {"clock", 409, "The cluster's clock shows no time that ids can have"},
    {"in-progress", 409, "A run under this key is under way"},
    {"already", 409, "Completed before, with another status or body"},
    {"consumed", 409, "Consumed before"},
    {"state", 409, "In another state"},
    {"version", 409, "Of another version"},
    {"old-token", 409, "A newer fencing token was seen"},
    {"below", 409, "It would fall below its floor"},
    {"above", 409, "It would rise above its ceiling"},
    {"session-moved", 409, "The session was attached at another node or anew; what was asked was not done"},
    {"old-registration", 409, "A newer registration has taken its place"},
    {"not-claimed", 409, "The delivery is over, or another's"},
    {"full", 409, "It has as much as it may have"},
    {"gap", 409, "An earlier number is missing"},
    {"not-empty", 409, "There is something in it"},
    {"releasing", 409, "A gradual release is under way"},
    {"not-releasing", 409, "No gradual release of this version is under way"},
    {"not-assigned", 409, "Not read under this token, or not any more"},
    {"not-member", 409, "No member of the group, or not any more"},
    {"strategy", 409, "The group's members have another strategy"},
    {"offset", 409, "Beyond the partition's end"},
    {"session-expired", 410, "There is no such session, or it has ended"},
    {"too-large", 413, "Larger than one entry of the log may be"},
    {"mismatch", 422, "The key, token or request's id was used for something else"},
    {"not-applied", 503, "Not done; may be sent again, here or to another node"},
    {"level", 503, "Not done: not every member of this cluster is of a version that knows this operation"},
    {"unknown", 504, "It may have been done or not"},
    {"disk-full", 507, "Not done: the disk is full"},
    {"memory-full", 507, "Not done: memory-max is reached; what ends or gives back something goes through"},
};
const size_t native_error_count = sizeof native_errors / sizeof native_errors[0];
