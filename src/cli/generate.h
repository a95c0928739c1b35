// Texts for packages that follow from the tables of settings and commands. A test compares them with the files in docs/
// and packaging/.
#pragma once
#include "base/bytes.h"

// "settings", "bash", "zsh", "man", "native", "openapi", "redis"; false: unknown
bool generate_write(const char *what, struct writer *w);
void generate_native(struct writer *w); // generate_native.c
void generate_openapi(struct writer *w);
void generate_redis(struct writer *w); // generate_redis.c
