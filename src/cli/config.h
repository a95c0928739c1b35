// What the files of `parley config` share.
#pragma once
#include "base/bytes.h"
#include "cli/native_client.h"

#define CONFIG_EXIT_NONE 75 // no configuration in the time given; CMD did not run

// ---- items (config_items.c): JSON objects as /v1/config/get gives them, each text or {"base64": bytes}. What gives a
// bool says in `error` why it failed.
json_t *config_item_new(struct bytes value);
void config_item_bytes(const json_t *item, struct writer *to);            // appends
bool config_path_good(const char *key);                                   // it may be a file in a folder
bool config_items_read(const char *path, json_t *items, char error[512]); // a folder, FILE.json, or KEY=VALUE lines
bool config_items_write(const char *path, const json_t *items, char error[512]); // the same
bool config_folder_write(const char *folder, const json_t *items, char error[512]);
bool config_file_write(const char *path, struct bytes bytes, char error[512]); // whole or not at all
bool config_file_read(const char *path, struct writer *to, char error[512]);
json_t *config_labels(const char *words); // "zone=a,rack=1" as an array

// ---- watch (config_watch.c)
struct config_watch_options {
    const char *name, *labels, *id, *file, *prefix, *reload, *cache;
    int signal; // 0: CMD is started again
    bool environment, json;
    uint64_t wait_ms, grace_ms;
    char **command; // NULL-terminated
};
int config_watch_run(struct native_client *client, const struct config_watch_options *options); // the exit code
