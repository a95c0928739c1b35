// The finished snapshot file of an index, for GET /v1/backup (struct http_settings).
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *backup_open(void *data_folder, uint64_t index, uint64_t *bytes, char name[64]); // NULL: there is none
int64_t backup_read(void *backup, void *data, size_t len);                            // the next bytes; 0: the end
void backup_close(void *backup);
